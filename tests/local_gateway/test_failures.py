"""Known failures by name: each has its own status, headers and body."""

import pytest

from langchain_cf_deepseek.local import FAILURES
from tests.local_gateway.conftest import Caller
from tests.local_gateway.test_admission import gateway_error


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("stream", [False, True])
def test_each_failure_is_injected_once_by_its_name(ask: Caller, name: str, stream: bool) -> None:
    fault = FAILURES[name].fault
    ask.gateway.fail_next(name)
    response = ask.post(stream=stream)
    expected = fault.response()
    assert (response.status_code, response.content, response.headers.get("content-type")) == (
        fault.status,
        expected.body,
        expected.content_type,
    )
    for header, value in fault.headers.items():
        assert response.headers.get(header) == value
    assert ask.post(stream=stream).status_code == 200


def test_a_failure_has_the_documented_body(ask: Caller) -> None:
    ask.gateway.fail_next("gateway-token")
    response = ask.post()
    assert (response.status_code, response.json()) == (
        401,
        gateway_error(2009, 401, "Unauthorized"),
    )
    assert [name for name in response.headers if name.startswith("cf-")] == ["cf-ray"]


def test_a_failure_can_be_requested_several_times(ask: Caller) -> None:
    ask.gateway.fail_next("rate-limit", times=2)
    assert [ask.post().status_code for _ in range(3)] == [429, 429, 200]


def test_an_unknown_failure_is_rejected_with_a_list_of_all(ask: Caller) -> None:
    with pytest.raises(ValueError, match=r"'rate-limt' is not one of .*, rate-limit, "):
        ask.gateway.fail_next("rate-limt")


def test_each_failure_has_a_meaning() -> None:
    assert all(failure.meaning for failure in FAILURES.values())
