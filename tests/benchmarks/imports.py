"""What imports cost, each in a fresh interpreter."""

import resource
import subprocess
import sys
import time

from tests.benchmarks.contenders import CONTENDERS
from tests.subprocesses import run_python

LIGHT = {
    "version": "from langchain_cf_deepseek import __version__",
    "options": "from langchain_cf_deepseek import GatewayOptions",
    "exceptions": "from langchain_cf_deepseek import CFDeepSeekError",
}

UNWANTED = ("local", "logs", "tokens", "doctor", "cli")
"""Rooms of the package that a model which only chats does not enter."""


def import_times(contender: str, _: str) -> tuple[float, float]:
    """Milliseconds of a process that only imports a contender: by the clock, and CPU."""
    return _process(CONTENDERS[contender].statement)


def light_imports(_: str, __: str) -> tuple[float, ...]:
    """Milliseconds (CPU) beyond the interpreter's own: version, options, exceptions, all three."""
    statements = ["", *LIGHT.values(), "\n".join(LIGHT.values())]
    alone, *taken = [_process(statement)[1] for statement in statements]
    return (alone, *(milliseconds - alone for milliseconds in taken))


def unwanted_modules(contender: str, _: str) -> tuple[float]:
    """How many modules are loaded with the class that only other features need."""
    package = CONTENDERS[contender].package
    code = f"import sys\n{CONTENDERS[contender].statement}\nprint(*sys.modules)"
    loaded = run_python("-c", code).stdout.split()
    rooms = [f"{package}.{room}" for room in UNWANTED]
    return (sum(name == room or name.startswith(f"{room}.") for name in loaded for room in rooms),)


def _process(code: str) -> tuple[float, float]:
    begin, before = time.perf_counter(), _cpu_of_children()
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603  # our own table's
    return 1000 * (time.perf_counter() - begin), 1000 * (_cpu_of_children() - before)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
