"""`langchain-cf-deepseek doctor`: check a set-up, and print what to change."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING

from langchain_cf_deepseek.cli.shared import (
    FAILED,
    OK,
    add_local,
    add_model,
    add_routing,
    local_gateway,
    printable,
)
from langchain_cf_deepseek.data.routings import DEFAULT_ROUTING, VARIABLES

if TYPE_CHECKING:
    from langchain_cf_deepseek.doctor import CheckResult

_OUTCOME_WIDTH = len("outcome")
_GAP = "  "
_ALL_OK = "All checks passed."
_LOCAL_GATEWAY_OK = "All checks passed with the local gateway: fake credentials, simulated model."


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `doctor` to the commands."""
    doctor = commands.add_parser(
        "doctor",
        help="check settings, credentials, model, streaming and cache with a few small requests",
        description=(
            "Check the set-up in the environment variables with at most four small requests, and "
            "print for each failure the one thing to change. No credential is printed."
        ),
    )
    add_model(doctor)
    add_routing(doctor, f"{DEFAULT_ROUTING}, or {VARIABLES['routing']}")
    doctor.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    add_local(doctor)
    doctor.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    from langchain_cf_deepseek.doctor import diagnose  # noqa: PLC0415  # too long for `--help`

    with ExitStack() as opened:
        environment: Mapping[str, str] = os.environ
        if arguments.local:
            gateway = opened.enter_context(local_gateway())
            environment = gateway.environment(arguments.routing or DEFAULT_ROUTING)
        results = diagnose(environment, model=arguments.model, routing=arguments.routing)
    is_ok = all(result.outcome != "fail" for result in results.values())
    if arguments.json:
        record = {
            "ok": is_ok,
            "local_gateway": arguments.local,
            "checks": {name: asdict(result) for name, result in results.items()},
        }
        sys.stdout.write(json.dumps(record) + "\n")
    else:
        for line in _report(results, local=arguments.local):
            sys.stdout.write(printable(line, sys.stdout) + "\n")
    sys.stdout.flush()
    return OK if is_ok else FAILED


def _report(results: Mapping[str, CheckResult], *, local: bool) -> Iterator[str]:
    """Yield the lines of a table of the checks, and what to change."""
    width = max(map(len, results))
    yield _row(width, "check", "outcome", "found")
    for name, result in results.items():
        first, *others = result.found.split("\n")
        yield _row(width, name, result.outcome, first)
        for other in others:
            yield _row(width, "", "", other)
    yield ""
    changes = [f"{name}: {result.change}" for name, result in results.items() if result.change]
    yield from changes or [_LOCAL_GATEWAY_OK if local else _ALL_OK]


def _row(width: int, name: str, outcome: str, found: str) -> str:
    return _GAP.join([name.ljust(width), outcome.ljust(_OUTCOME_WIDTH), found])
