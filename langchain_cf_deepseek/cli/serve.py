"""`langchain-cf-deepseek serve`: a gateway on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from langchain_cf_deepseek.cli.shared import OK, add_routing, add_upstream, local_gateway, say

if TYPE_CHECKING:
    from langchain_cf_deepseek.local import LocalGateway

_LAST_PORT = 65535
_LONG = 3600.0


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `serve` to the commands."""
    serve = commands.add_parser(
        "serve",
        help="run a gateway on this machine, for trying out and testing",
        description=(
            "Run a gateway on 127.0.0.1 until Ctrl-C, and print the environment variables that "
            "point the client at it. For trying out and testing only."
        ),
    )
    serve.add_argument(
        "--port", type=_port, default=0, metavar="N", help="the port to listen on (any free one)"
    )
    add_upstream(serve, "")
    add_routing(serve, "provider-native")
    serve.set_defaults(run=_serve)


def _port(text: str) -> int:
    if text.isdecimal() and int(text) <= _LAST_PORT:
        return int(text)
    msg = f"{text!r} is not a port: use a number up to {_LAST_PORT}"
    raise argparse.ArgumentTypeError(msg)


def _serve(arguments: argparse.Namespace) -> int:
    earlier = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with local_gateway(port=arguments.port, upstream=arguments.upstream) as gateway:
            _announce(gateway, arguments)
            _wait_for_a_signal()
    except KeyboardInterrupt:
        return OK
    finally:
        signal.signal(signal.SIGTERM, earlier)


def _announce(gateway: LocalGateway, arguments: argparse.Namespace) -> None:
    pretended = "credentials" if arguments.upstream else "credentials and answers"
    say(
        f"# A local gateway on {gateway.url}, for trying out and testing only: its {pretended} "
        "are pretended.\n"
        "# Paste these lines where the client runs; Ctrl-C ends the gateway."
    )
    for name, value in gateway.environment(arguments.routing or "provider-native").items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    sys.stdout.flush()


def _wait_for_a_signal() -> NoReturn:
    while True:
        time.sleep(_LONG)
