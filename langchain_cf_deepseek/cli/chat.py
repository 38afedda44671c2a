"""`langchain-cf-deepseek chat`: ask a question and print the answer as it arrives."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TextIO

import langchain_cf_deepseek
from langchain_cf_deepseek.cli.shared import (
    FAILED,
    OK,
    PROGRAM,
    UsageError,
    add_local,
    add_model,
    add_routing,
    add_upstream,
    local_gateway,
    printable,
    write_error,
)
from langchain_cf_deepseek.data.routings import DEFAULT_ROUTING, VARIABLES

if TYPE_CHECKING:
    from langchain_core.messages import AIMessageChunk

    from langchain_cf_deepseek import ChatCloudflareDeepSeek

# Equal to the type in `chat_models.py`, whose import is too slow for `--help`.
THINKING = ("enabled", "disabled")

_TRY_LOCAL = (
    f"To try it without an account, with a gateway on this machine: {PROGRAM} chat --local ..."
)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `chat` to the commands."""
    chat = commands.add_parser(
        "chat",
        help="ask a question and print the answer as it arrives",
        description=(
            "Ask a question. Reasoning and answer are written to standard output as they arrive, "
            "tokens and gateway metadata to standard error. Account, gateway and credentials are "
            f"read from {', '.join(VARIABLES.values())}."
        ),
    )
    chat.add_argument("question", help="what to ask; - reads it from standard input")
    add_model(chat)
    add_routing(chat, f"{DEFAULT_ROUTING}, or {VARIABLES['routing']}")
    chat.add_argument("--thinking", choices=THINKING, help="whether the model reasons (enabled)")
    chat.add_argument(
        "--effort", metavar="LEVEL", help="how much it reasons: low, high, max, or none"
    )
    chat.add_argument("--system", metavar="TEXT", help="instructions that precede the question")
    chat.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    add_local(chat)
    add_upstream(chat, "with --local: ")
    chat.set_defaults(run=_chat)


def _chat(arguments: argparse.Namespace) -> int:
    if arguments.upstream and not arguments.local:
        msg = "--upstream needs --local: it answers behind the gateway on this machine."
        raise UsageError(msg)
    messages = _messages(arguments)
    with ExitStack() as opened:
        chunks = _model(arguments, opened).stream(messages)
        try:
            answer = _sum_chunks(chunks if arguments.json else _print_chunks(chunks))
        except langchain_cf_deepseek.CFDeepSeekError as error:
            # The text of a server can be a page of HTML.
            write_error(" ".join(str(error).split()))
            return FAILED
    if arguments.json:
        _write_json(answer, local=arguments.local)
    else:
        write_error(_summary(answer, _simulation_note(arguments)))
    return OK


def _messages(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    question = _read_input() if arguments.question == "-" else _valid_text(arguments.question)
    if not question.strip():
        msg = "The question is empty."
        raise UsageError(msg)
    system = [("system", _valid_text(arguments.system))] if arguments.system else []
    return [*system, ("human", question)]


def _read_input() -> str:
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    return sys.stdin.read()


def _valid_text(argument: str) -> str:
    # Bytes that are not UTF-8 are lone surrogates here, which JSON over HTTP cannot carry.
    return argument.encode(errors="surrogateescape").decode(errors="replace")


def _model(arguments: argparse.Namespace, opened: ExitStack) -> ChatCloudflareDeepSeek:
    """Build the model, and the local gateway if requested; `opened` closes both."""
    # Too slow for `--help`.
    from pydantic import ValidationError  # noqa: PLC0415

    from langchain_cf_deepseek._settings import first_validation_message  # noqa: PLC0415

    # Whatever LC_OUTPUT_VERSION is, the content is printed as text.
    fields: dict[str, Any] = {"model": arguments.model, "output_version": "v0"}
    fields["thinking"] = arguments.thinking
    fields["reasoning_effort"] = arguments.effort
    if arguments.routing:
        fields["routing"] = arguments.routing
    try:
        if not arguments.local:
            model = langchain_cf_deepseek.ChatCloudflareDeepSeek(**fields)
        else:
            gateway = opened.enter_context(local_gateway(upstream=arguments.upstream))
            model = gateway.chat_model(**fields)
    except ValidationError as error:
        hint = "" if arguments.local else f"\n{_TRY_LOCAL}"
        raise UsageError(first_validation_message(error) + hint) from error
    return opened.enter_context(model)


def _print_chunks(chunks: Iterable[AIMessageChunk]) -> Iterator[AIMessageChunk]:
    """Print each chunk, and yield it."""
    with _Transcript(sys.stdout) as transcript:
        for chunk in chunks:
            transcript.write("reasoning", chunk.additional_kwargs.get("reasoning_content", ""))
            transcript.write("answer", chunk.text)
            yield chunk


def _sum_chunks(chunks: Iterable[AIMessageChunk]) -> Any:
    first, *others = chunks
    return first + others


_Part = Literal["reasoning", "answer"]
_DIM, _RESET = "\x1b[2m", "\x1b[0m"
_HEADINGS: dict[_Part, str] = {"reasoning": "[reasoning]\n", "answer": "[answer]\n"}


class _Transcript:
    """Prints reasoning dimmed and the answer on a terminal, both under headings elsewhere."""

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
        """Write text of one part."""
        if not text:
            return
        if part != self._part:
            self._put(self._closing() + self._gap() + self._opening(part))
            self._part = part
        self._put(printable(text, self._out))
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


def _simulation_note(arguments: argparse.Namespace) -> str:
    """Return what tells a simulated model from the real one; `""` for the real one."""
    if not arguments.local:
        return ""
    return f" (local gateway, {'upstream' if arguments.upstream else 'simulated'} model)"


def _summary(answer: AIMessageChunk, simulation_note: str) -> str:
    """Return one line: the model, its tokens, and the gateway metadata."""
    gateway = answer.response_metadata["cloudflare_gateway"]
    parts = [
        f"{answer.response_metadata['model_name']}{simulation_note}",
        _tokens(answer),
        f"gateway cache: {gateway['cache_status']}" if "cache_status" in gateway else "",
        f"log id: {gateway['log_id']}" if "log_id" in gateway else "",
    ]
    return " | ".join(filter(None, parts))


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
