"""`langchain-cf-deepseek chat`: ask a question and print the answer as it comes."""

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
    say,
    shown,
)

if TYPE_CHECKING:
    from langchain_core.messages import AIMessageChunk

    from langchain_cf_deepseek import ChatCloudflareDeepSeek

# Equal to the type in `chat_models.py`, whose import takes too long for `--help`.
THINKING = ("enabled", "disabled")

_TRY_LOCAL = (
    f"To try it without an account, on a gateway of this machine: {PROGRAM} chat --local ..."
)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `chat` to the commands."""
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
    add_model(chat)
    add_routing(chat, "provider-native, or CLOUDFLARE_AI_GATEWAY_ROUTING")
    chat.add_argument("--thinking", choices=THINKING, help="whether it reasons (enabled)")
    chat.add_argument(
        "--effort", metavar="LEVEL", help="how much it reasons: low, high, max; none not at all"
    )
    chat.add_argument("--system", metavar="TEXT", help="instructions that precede the question")
    chat.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    add_local(chat)
    add_upstream(chat, "with --local: ")
    chat.set_defaults(run=_chat)


def _chat(arguments: argparse.Namespace) -> int:
    if arguments.upstream and not arguments.local:
        msg = "--upstream needs --local: it is what stands behind the gateway of this machine."
        raise UsageError(msg)
    messages = _messages(arguments)
    with ExitStack() as opened:
        chunks = _model(arguments, opened).stream(messages)
        try:
            answer = _summed(chunks if arguments.json else _printed(chunks))
        except langchain_cf_deepseek.CFDeepSeekError as error:
            # What a server wrote may be a page of HTML.
            say(" ".join(str(error).split()))
            return FAILED
    if arguments.json:
        _write_json(answer, local=arguments.local)
    else:
        say(_facts(answer, _stand_in(arguments)))
    return OK


def _messages(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    question = _standard_input() if arguments.question == "-" else _readable(arguments.question)
    if not question.strip():
        msg = "The question is empty."
        raise UsageError(msg)
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
    # Both take too long for `--help`.
    from pydantic import ValidationError  # noqa: PLC0415

    from langchain_cf_deepseek._settings import first_validation_message  # noqa: PLC0415

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
            gateway = opened.enter_context(local_gateway(upstream=arguments.upstream))
            model = gateway.chat_model(**fields)
    except ValidationError as error:
        hint = "" if arguments.local else f"\n{_TRY_LOCAL}"
        raise UsageError(first_validation_message(error) + hint) from error
    return opened.enter_context(model)


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
        self._put(shown(text, self._out))
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
