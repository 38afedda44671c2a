"""What the commands share: exit statuses, options, the local gateway, and printing."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import urlsplit

from langchain_cf_deepseek.data.routings import ROUTINGS

if TYPE_CHECKING:
    from langchain_cf_deepseek.local import LocalGateway

PROGRAM = "langchain-cf-deepseek"

OK = 0
FAILED = 1
WRONG_USAGE = 2

_INSTALL_LOCAL = 'pip install "langchain-cf-deepseek[local]"'


class UsageError(Exception):
    """The arguments or settings of a command are wrong; the message says what to change."""


def add_routing(parser: argparse.ArgumentParser, default: str) -> None:
    """Add `--routing`; `default` describes its default."""
    parser.add_argument(
        "--routing", choices=ROUTINGS, help=f"which Cloudflare endpoint ({default})"
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add `--model`."""
    parser.add_argument(
        "--model", default="deepseek-flash", metavar="NAME", help="which model to use (%(default)s)"
    )


def add_local(parser: argparse.ArgumentParser) -> None:
    """Add `--local`."""
    parser.add_argument(
        "--local",
        action="store_true",
        help="use a gateway on this machine with a simulated model: no account, no credentials",
    )


def add_upstream(parser: argparse.ArgumentParser, condition: str) -> None:
    """Add `--upstream`; `condition` says when it has an effect."""
    parser.add_argument(
        "--upstream",
        type=_url,
        metavar="URL",
        help=(
            f"{condition}an OpenAI-compatible server that answers in place of the simulated model, "
            "for example http://127.0.0.1:11434/v1 for Ollama"
        ),
    )


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        msg = f"{text!r} is not a complete URL such as http://127.0.0.1:11434/v1"
        raise argparse.ArgumentTypeError(msg)
    if parts.path.rstrip("/").endswith("/chat/completions"):
        msg = "it must end before /chat/completions, which is added to it"
        raise argparse.ArgumentTypeError(msg)
    return text


def local_gateway(**settings: Any) -> LocalGateway:
    """Create a local gateway with `settings`.

    Raises:
        UsageError: The extra `local` is not installed.
    """
    try:
        from langchain_cf_deepseek.local import LocalGateway  # noqa: PLC0415  # an extra
    except ImportError as error:
        msg = f"The local gateway needs more packages: {_INSTALL_LOCAL} ({error})"
        raise UsageError(msg) from error
    return LocalGateway(**settings)


# A model or a server must not control the terminal.
_CONTROL_CHARACTERS = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)} - {ord("\n"), ord("\t")})


def printable(text: str, out: TextIO) -> str:
    """Return `text` without control characters if `out` is a terminal."""
    return text.translate(_CONTROL_CHARACTERS) if out.isatty() else text


def write_error(text: str) -> None:
    """Write lines to standard error."""
    sys.stderr.write(printable(text, sys.stderr) + "\n")
    sys.stderr.flush()
