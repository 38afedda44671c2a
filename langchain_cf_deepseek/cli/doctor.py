"""`langchain-cf-deepseek doctor`: check a set-up, and say what to change."""

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
    shown,
)

if TYPE_CHECKING:
    from langchain_cf_deepseek.doctor import Verdict

_WIDEST_OUTCOME = len("outcome")
_GAP = "  "
_LOCAL_GATEWAY_OK = "Everything works with the local gateway: fake credentials, simulated model."


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `doctor` to the commands."""
    doctor = commands.add_parser(
        "doctor",
        help="check settings, credentials, model, streaming and cache with a few small requests",
        description=(
            "Check the set-up that the environment variables make, with at most four small "
            "requests, and say of each failure the one thing to change. No credential is printed."
        ),
    )
    add_model(doctor)
    add_routing(doctor, "provider-native, or CLOUDFLARE_AI_GATEWAY_ROUTING")
    doctor.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    add_local(doctor)
    doctor.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    from langchain_cf_deepseek.doctor import diagnose  # noqa: PLC0415  # too long for `--help`

    with ExitStack() as opened:
        environment: Mapping[str, str] = os.environ
        if arguments.local:
            gateway = opened.enter_context(local_gateway())
            environment = gateway.environment(arguments.routing or "provider-native")
        verdicts = diagnose(environment, model=arguments.model, routing=arguments.routing)
    is_well = all(verdict.outcome != "fail" for verdict in verdicts.values())
    if arguments.json:
        record = {
            "ok": is_well,
            "local_gateway": arguments.local,
            "checks": {name: asdict(verdict) for name, verdict in verdicts.items()},
        }
        sys.stdout.write(json.dumps(record) + "\n")
    else:
        for line in _report(verdicts, local=arguments.local):
            sys.stdout.write(shown(line, sys.stdout) + "\n")
    sys.stdout.flush()
    return OK if is_well else FAILED


def _report(verdicts: Mapping[str, Verdict], *, local: bool) -> Iterator[str]:
    """Yield a table of the checks, and what to change."""
    width = max(map(len, verdicts))
    yield _row(width, "check", "outcome", "found")
    for name, verdict in verdicts.items():
        first, *others = verdict.found.split("\n")
        yield _row(width, name, verdict.outcome, first)
        for other in others:
            yield _row(width, "", "", other)
    yield ""
    changes = [f"{name}: {verdict.change}" for name, verdict in verdicts.items() if verdict.change]
    yield from changes or [_LOCAL_GATEWAY_OK if local else "All is well."]


def _row(width: int, name: str, outcome: str, found: str) -> str:
    return _GAP.join([name.ljust(width), outcome.ljust(_WIDEST_OUTCOME), found])
