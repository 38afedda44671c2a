"""The command line: `langchain-cf-deepseek chat` and `serve`.

What a command needs is imported when it runs, so that `--help` costs next to nothing.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, TextIO
from urllib.parse import urlsplit

import langchain_cf_deepseek

if TYPE_CHECKING:
    from langchain_core.messages import AIMessageChunk

    from langchain_cf_deepseek import ChatCloudflareDeepSeek
    from langchain_cf_deepseek.local import LocalGateway
    from langchain_cf_deepseek.routing import Routing

_PROGRAM = "langchain-cf-deepseek"

_OK = 0
_FAILED = 1
_WRONG_USAGE = 2
# What a shell reports of a program that a signal ended: 128 and the signal's number.
_INTERRUPTED = 130
_PIPE_CLOSED = 141

# Equal to the types in `routing.py` and `chat_models.py`, whose import takes too long for `--help`.
_ROUTINGS: tuple[Routing, ...] = ("provider-native", "unified", "compat")
_THINKING = ("enabled", "disabled")

_TRY_LOCAL = (
    f"To try it without an account, on a gateway of this machine: {_PROGRAM} chat --local ..."
)
_INSTALL_LOCAL = 'pip install "langchain-cf-deepseek[local]"'
_LAST_PORT = 65535
_LONG = 3600.0


class _UsageError(Exception):
    """The command cannot run as it was given; the text says what to change."""


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
    except _UsageError as error:
        _say(str(error))
        return _WRONG_USAGE
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        _drop_what_is_unwritten()
        return _PIPE_CLOSED
    except OSError as error:
        _say(f"{_PROGRAM}: {error}")
        _drop_what_is_unwritten()
        return _FAILED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM, description="DeepSeek's models through Cloudflare AI Gateway."
    )
    parser.add_argument(
        "--version", action="version", version=f"{_PROGRAM} {langchain_cf_deepseek.__version__}"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_chat(commands)
    _add_serve(commands)
    return parser


def _add_chat(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    chat = commands.add_parser(
        "chat",
        help="ask a question and print the answer as it comes",
        description=(
            "Ask a question. Reasoning and answer go to standard output as they come, the "
            "gateway's facts to standard error. Account, gateway and credentials are read from "
            "CLOUDFLARE_ACCOUNT_ID, CLOUDFLARE_GATEWAY_ID, DEEPSEEK_API_KEY, CF_AIG_TOKEN and "
            "CLOUDFLARE_API_TOKEN."
        ),
    )
    chat.add_argument("question", help="what to ask; - reads it from standard input")
    chat.add_argument(
        "--model", default="deepseek-flash", metavar="NAME", help="which model (%(default)s)"
    )
    _add_routing(chat, "provider-native, or CLOUDFLARE_AI_GATEWAY_ROUTING")
    chat.add_argument("--thinking", choices=_THINKING, help="whether it reasons (enabled)")
    chat.add_argument(
        "--effort", metavar="LEVEL", help="how much it reasons: low, high, max; none not at all"
    )
    chat.add_argument("--system", metavar="TEXT", help="instructions that precede the question")
    chat.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    chat.add_argument(
        "--local",
        action="store_true",
        help="use a gateway on this machine with a pretend model: no account, no credentials",
    )
    _add_upstream(chat, "with --local: ")
    chat.set_defaults(run=_chat)


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
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
    _add_upstream(serve, "")
    _add_routing(serve, "provider-native")
    serve.set_defaults(run=_serve)


def _add_routing(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--routing", choices=_ROUTINGS, help=f"which door ({default})")


def _add_upstream(parser: argparse.ArgumentParser, condition: str) -> None:
    parser.add_argument(
        "--upstream",
        type=_url,
        metavar="URL",
        help=(
            f"{condition}an OpenAI-compatible server that answers in place of the pretend model, "
            "for example http://127.0.0.1:11434/v1 for Ollama"
        ),
    )


def _port(text: str) -> int:
    if text.isdecimal() and int(text) <= _LAST_PORT:
        return int(text)
    msg = f"{text!r} is not a port: use a number up to {_LAST_PORT}"
    raise argparse.ArgumentTypeError(msg)


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        msg = f"{text!r} is not a whole URL such as http://127.0.0.1:11434/v1"
        raise argparse.ArgumentTypeError(msg)
    if parts.path.rstrip("/").endswith("/chat/completions"):
        msg = "it must end before /chat/completions, which is added to it"
        raise argparse.ArgumentTypeError(msg)
    return text


def _chat(arguments: argparse.Namespace) -> int:
    if arguments.upstream and not arguments.local:
        msg = "--upstream needs --local: it is what stands behind the gateway of this machine."
        raise _UsageError(msg)
    messages = _messages(arguments)
    with ExitStack() as opened:
        chunks = _model(arguments, opened).stream(messages)
        try:
            answer = _summed(chunks if arguments.json else _printed(chunks))
        except langchain_cf_deepseek.CFDeepSeekError as error:
            # What a server wrote may be a page of HTML.
            _say(" ".join(str(error).split()))
            return _FAILED
    if arguments.json:
        _write_json(answer, local=arguments.local)
    else:
        _say(_facts(answer, _stand_in(arguments)))
    return _OK


def _messages(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    question = _standard_input() if arguments.question == "-" else _readable(arguments.question)
    if not question.strip():
        msg = "The question is empty."
        raise _UsageError(msg)
    system = [("system", _readable(arguments.system))] if arguments.system else []
    return [*system, ("human", question)]


def _standard_input() -> str:
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    return sys.stdin.read()


def _readable(argument: str) -> str:
    # Bytes that are no text arrive as lone surrogates, which JSON over HTTP cannot carry.
    return argument.encode(errors="surrogateescape").decode(errors="replace")


def _model(arguments: argparse.Namespace, opened: ExitStack) -> ChatCloudflareDeepSeek:
    """Build the model, and the gateway of this machine if it is asked for, into `opened`."""
    from pydantic import ValidationError  # noqa: PLC0415  # takes too long for `--help`

    # LC_OUTPUT_VERSION is for a program's messages; here the content is read as text.
    fields: dict[str, Any] = {"model": arguments.model, "output_version": "v0"}
    fields["thinking"] = arguments.thinking
    fields["reasoning_effort"] = arguments.effort
    if arguments.routing:
        fields["routing"] = arguments.routing
    try:
        if not arguments.local:
            model = langchain_cf_deepseek.ChatCloudflareDeepSeek(**fields)
        else:
            gateway = opened.enter_context(_local_gateway(upstream=arguments.upstream))
            model = gateway.chat_model(**fields)
    except ValidationError as error:
        hint = "" if arguments.local else f"\n{_TRY_LOCAL}"
        raise _UsageError(_sentence(error) + hint) from error
    return opened.enter_context(model)


def _sentence(error: Any) -> str:
    """Return the first sentence of pydantic's `ValidationError`, without its decoration."""
    first = error.errors()[0]
    if first["type"] == "value_error":
        return str(first["msg"]).removeprefix("Value error, ")
    return f"`{'.'.join(map(str, first['loc']))}`: {first['msg']}."


def _local_gateway(**settings: Any) -> LocalGateway:
    try:
        from langchain_cf_deepseek.local import LocalGateway  # noqa: PLC0415  # an extra
    except ImportError as error:
        msg = f"The local gateway needs more packages: {_INSTALL_LOCAL} ({error})"
        raise _UsageError(msg) from error
    return LocalGateway(**settings)


def _printed(chunks: Iterable[AIMessageChunk]) -> Iterator[AIMessageChunk]:
    """Hand on chunks, each printed as it comes."""
    with _Transcript(sys.stdout) as transcript:
        for chunk in chunks:
            transcript.write("reasoning", chunk.additional_kwargs.get("reasoning_content", ""))
            transcript.write("answer", chunk.text)
            yield chunk


def _summed(chunks: Iterable[AIMessageChunk]) -> Any:
    first, *others = chunks
    return first + others


_Part = Literal["reasoning", "answer"]
_DIM, _RESET = "\x1b[2m", "\x1b[0m"
_HEADINGS: dict[_Part, str] = {"reasoning": "[reasoning]\n", "answer": "[answer]\n"}


class _Transcript:
    """Reasoning and answer, told apart: dimmed on a terminal, under headings elsewhere."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        # https://no-color.org
        self._dims = out.isatty() and not os.environ.get("NO_COLOR")
        self._part: _Part | None = None
        self._ends_line = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._put(self._closing() + ("" if self._ends_line else "\n"))

    def write(self, part: _Part, text: str) -> None:
        """Write a piece of a part."""
        if not text:
            return
        if part != self._part:
            self._put(self._closing() + self._gap() + self._opening(part))
            self._part = part
        self._put(_shown(text, self._out))
        self._ends_line = text.endswith("\n")

    def _put(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()

    def _opening(self, part: _Part) -> str:
        if self._dims:
            return _DIM if part == "reasoning" else ""
        # An answer without reasoning needs no heading.
        return "" if self._part is None and part == "answer" else _HEADINGS[part]

    def _closing(self) -> str:
        return _RESET if self._dims and self._part == "reasoning" else ""

    def _gap(self) -> str:
        if self._part is None:
            return ""
        return "\n" if self._ends_line else "\n\n"


# A model or a server must not steer the terminal with control characters.
_CONTROLS = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)} - {ord("\n"), ord("\t")})


def _shown(text: str, out: TextIO) -> str:
    return text.translate(_CONTROLS) if out.isatty() else text


def _say(text: str) -> None:
    """Write lines to standard error."""
    sys.stderr.write(_shown(text, sys.stderr) + "\n")
    sys.stderr.flush()


def _write_json(answer: AIMessageChunk, *, local: bool) -> None:
    record = {
        "content": str(answer.text),
        "reasoning": answer.additional_kwargs.get("reasoning_content", ""),
        "model": answer.response_metadata["model_name"],
        "local_gateway": local,
        "usage": answer.usage_metadata,
        "gateway": answer.response_metadata["cloudflare_gateway"],
    }
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


def _stand_in(arguments: argparse.Namespace) -> str:
    """What a reader must know, so that nobody takes a pretend model for the real one."""
    if not arguments.local:
        return ""
    return f" (local gateway, {'upstream' if arguments.upstream else 'pretend'} model)"


def _facts(answer: AIMessageChunk, stand_in: str) -> str:
    """Return one line on what served the answer, and at what expense."""
    gateway = answer.response_metadata["cloudflare_gateway"]
    facts = [
        f"{answer.response_metadata['model_name']}{stand_in}",
        _tokens(answer),
        f"gateway cache: {gateway['cache_status']}" if "cache_status" in gateway else "",
        f"log id: {gateway['log_id']}" if "log_id" in gateway else "",
    ]
    return " | ".join(filter(None, facts))


def _tokens(answer: AIMessageChunk) -> str:
    usage = answer.usage_metadata
    if usage is None:
        return ""
    cached = usage.get("input_token_details", {}).get("cache_read", 0)
    reasoning = usage.get("output_token_details", {}).get("reasoning", 0)
    return (
        f"tokens: {usage['input_tokens']} in ({cached} cached), "
        f"{usage['output_tokens']} out ({reasoning} reasoning)"
    )


def _serve(arguments: argparse.Namespace) -> int:
    earlier = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _local_gateway(port=arguments.port, upstream=arguments.upstream) as gateway:
            _announce(gateway, arguments)
            _wait_for_a_signal()
    except KeyboardInterrupt:
        return _OK
    finally:
        signal.signal(signal.SIGTERM, earlier)


def _announce(gateway: LocalGateway, arguments: argparse.Namespace) -> None:
    pretended = "credentials" if arguments.upstream else "credentials and answers"
    _say(
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


def _drop_what_is_unwritten() -> None:
    """Keep the interpreter from failing once more when it flushes at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
