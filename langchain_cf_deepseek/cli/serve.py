"""`langchain-cf-deepseek serve`: a gateway on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from langchain_cf_deepseek.cli.shared import (
    OK,
    add_routing,
    add_upstream,
    local_gateway,
    write_error,
)
from langchain_cf_deepseek.data.routings import DEFAULT_ROUTING

if TYPE_CHECKING:
    from langchain_cf_deepseek.local import LocalGateway

_MAX_PORT = 65535
_SLEEP_SECONDS = 3600.0


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `serve` to the commands."""
    serve = commands.add_parser(
        "serve",
        help="run a gateway on this machine, to try things out and to test",
        description=(
            "Run a gateway on 127.0.0.1 until Ctrl-C, and print the environment variables that "
            "point the client at it. Not for production."
        ),
    )
    serve.add_argument(
        "--port", type=_port, default=0, metavar="N", help="the port to listen on (any free one)"
    )
    add_upstream(serve, "")
    add_routing(serve, DEFAULT_ROUTING)
    serve.set_defaults(run=_serve)


def _port(text: str) -> int:
    if text.isdecimal() and int(text) <= _MAX_PORT:
        return int(text)
    msg = f"{text!r} is not a port: use a number up to {_MAX_PORT}"
    raise argparse.ArgumentTypeError(msg)


def _serve(arguments: argparse.Namespace) -> int:
    earlier = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with local_gateway(port=arguments.port, upstream=arguments.upstream) as gateway:
            _announce(gateway, arguments)
            _wait_for_signal()
    except KeyboardInterrupt:
        return OK
    finally:
        signal.signal(signal.SIGTERM, earlier)


def _announce(gateway: LocalGateway, arguments: argparse.Namespace) -> None:
    simulated = "" if arguments.upstream else " and a simulated model"
    write_error(
        f"# Local gateway on {gateway.url}, which uses fake credentials{simulated}: not for "
        "production.\n"
        "# Paste these lines where the client runs; Ctrl-C stops the gateway."
    )
    for name, value in gateway.environment(arguments.routing or DEFAULT_ROUTING).items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    sys.stdout.flush()


def _wait_for_signal() -> NoReturn:
    while True:
        time.sleep(_SLEEP_SECONDS)
