"""The command line: `langchain-cf-deepseek chat`, `doctor` and `serve`.

A command imports what it needs when it runs, so that `--help` is quick.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

import langchain_cf_deepseek
from langchain_cf_deepseek.cli import chat, doctor, serve
from langchain_cf_deepseek.cli.shared import FAILED, PROGRAM, WRONG_USAGE, UsageError, write_error

# The exit status that shells give a program ended by a signal: 128 plus the signal's number.
_INTERRUPTED = 130
_PIPE_CLOSED = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments; `None`: those of the process.

    Returns:
        The exit status: 0, or 1 if a request failed, 2 if the command or its settings are wrong,
        130 after Ctrl-C, 141 if the reader closed the pipe.

    Raises:
        SystemExit: After `--help` and `--version`, and for arguments that cannot be parsed.
    """
    arguments = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A character that the terminal cannot encode must not end the program.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status: int = arguments.run(arguments)
    except UsageError as error:
        write_error(str(error))
        return WRONG_USAGE
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        _discard_unflushed_output()
        return _PIPE_CLOSED
    except OSError as error:
        write_error(f"{PROGRAM}: {error}")
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
    """Keep the interpreter from failing again when it flushes at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
