"""Python in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping


def run_python(
    *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run this interpreter with `arguments` and return its status and output.

    Args:
        *arguments: The arguments of the interpreter.
        env: Variables to add to the environment.
        timeout: Seconds after which the process is killed.
    """
    return subprocess.run(  # noqa: S603  # the tests' own code
        [sys.executable, *arguments],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
