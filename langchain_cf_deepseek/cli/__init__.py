"""The command line: `langchain-cf-deepseek chat`, `doctor` and `serve`.

What a command needs is imported when it runs, so that `--help` costs next to nothing.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

import langchain_cf_deepseek
from langchain_cf_deepseek.cli import chat, doctor, serve
from langchain_cf_deepseek.cli.shared import FAILED, PROGRAM, WRONG_USAGE, UsageError, say

# What a shell reports of a program that a signal ended: 128 and the signal's number.
_INTERRUPTED = 130
_PIPE_CLOSED = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments; `None` takes those of the process.

    Returns:
        The exit status: 0, or 1 when a request failed, 2 when the command or its settings are
        wrong, 130 after Ctrl-C, 141 when the reader of a pipe went away.

    Raises:
        SystemExit: After `--help` and `--version`, and for arguments that cannot be parsed.
    """
    arguments = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A character that the terminal does not have must not end the answer.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status: int = arguments.run(arguments)
    except UsageError as error:
        say(str(error))
        return WRONG_USAGE
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        _discard_unflushed_output()
        return _PIPE_CLOSED
    except OSError as error:
        say(f"{PROGRAM}: {error}")
        _discard_unflushed_output()
        return FAILED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="DeepSeek's models through Cloudflare AI Gateway."
    )
    parser.add_argument(
        "--version", action="version", version=f"{PROGRAM} {langchain_cf_deepseek.__version__}"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    chat.add(commands)
    doctor.add(commands)
    serve.add(commands)
    return parser


def _discard_unflushed_output() -> None:
    """Keep the interpreter from failing once more when it flushes at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
