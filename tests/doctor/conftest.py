"""A gateway with its own credentials, and the command with its own variables."""

import os
from collections.abc import Callable, Iterator, Mapping

import pytest

from langchain_cf_deepseek.cli import main
from langchain_cf_deepseek.local import LocalGateway
from tests.doctor.expected_output import CREDENTIALS, SECRET_VARIABLES, repeatable

Doctor = Callable[..., tuple[int, str]]


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("SSL_CERT_"):
            monkeypatch.delenv(name)


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Return a function that runs the command: its status, and its output made repeatable."""

    def run(variables: Mapping[str, str | None], *arguments: str) -> tuple[int, str]:
        for name, value in variables.items():
            if value is not None:
                monkeypatch.setenv(name, value)
        status = main(["doctor", *arguments])
        out, err = capsys.readouterr()
        assert err == ""
        assert_holds_no_part_of_a_secret(out, variables)
        return status, repeatable(out)

    return run


def assert_holds_no_part_of_a_secret(printed: str, variables: Mapping[str, str | None]) -> None:
    secrets = [*CREDENTIALS.values(), *(variables.get(name) for name in SECRET_VARIABLES)]
    for secret in filter(None, secrets):
        parts = {secret[start : start + 4] for start in range(len(secret) - 3)}
        assert not [part for part in parts if part in printed]


@pytest.fixture
def gateway() -> Iterator[LocalGateway]:
    with LocalGateway(**CREDENTIALS) as running:
        yield running
