"""A stream that breaks goes on in the same stream, or ends in the error that it is."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import takewhile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from pydantic import ValidationError
from typing_extensions import override

from langchain_cf_deepseek import ChatCloudflareDeepSeek, errors
from langchain_cf_deepseek._http import retries
from langchain_cf_deepseek.local import Fault, LocalGateway, Reply, ScriptedCall
from tests.conftest import ACCOUNT, PATHS, Ask
from tests.streaming import delta, event_stream, streamed

CHAT = "/v1/0123456789abcdef0123456789abcdef/local/deepseek/chat/completions"
BETA = CHAT.replace("/chat/", "/beta/chat/")

REPLY = Reply(content="one two three four", reasoning="Count to four.")
CALLED = Reply(content="Let me see.", reasoning="Ask.", tool_calls=[ScriptedCall("look", {"at": "x"})])
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}

BREAKS: dict[str, Fault] = {
    "cut": Fault(then="cut"),
    "reset": Fault(then="reset"),
    "error_event": Fault(then="error_event"),
    "bad_json": Fault(then="bad_json"),
}

# What differs between a message of one response and the same message of two.
_OF_A_RESPONSE = ("cloudflare_gateway", "id", "resumed", "token_usage")


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "_INITIAL_DELAY", 0.01)


def _model(gw: LocalGateway, **settings: Any) -> ChatCloudflareDeepSeek:
    return gw.chat_model(**{"streaming": True, "resume": 1, "max_retries": 0, **settings})


def _script(gw: LocalGateway, *replies: Reply) -> None:
    for reply in replies:
        gw.reply(reply)


def _essence(message: AIMessage) -> dict[str, Any]:
    metadata = message.response_metadata
    calls = [{**call, "id": None} for call in message.tool_calls]
    return {
        "content": message.content,
        "additional_kwargs": message.additional_kwargs,
        "tool_calls": calls,
        "invalid_tool_calls": message.invalid_tool_calls,
        "metadata": {key: metadata[key] for key in metadata if key not in _OF_A_RESPONSE},
    }


def _parts(gw: LocalGateway, reply: Reply, **settings: Any) -> list[tuple[str, str]]:
    """Return reasoning and text of each event before the finish reason of a streamed reply."""
    _script(gw, reply)
    chunks = takewhile(
        lambda chunk: "finish_reason" not in chunk.response_metadata,
        _model(gw, **settings).stream("Count"),
    )
    return [
        (str(chunk.additional_kwargs.get("reasoning_content", "")), chunk.text) for chunk in chunks
    ]


def _received(parts: list[tuple[str, str]], count: int) -> tuple[str, str]:
    reasonings, texts = zip(*parts[:count], strict=True) if count else ((), ())
    return "".join(reasonings), "".join(texts)


def _rest(reply: Reply, reasoning: str, text: str) -> Reply:
    return Reply(
        content=reply.content.removeprefix(text),
        reasoning=(reply.reasoning or "").removeprefix(reasoning),
    )


@pytest.mark.parametrize("then", BREAKS)
@pytest.mark.parametrize("thinking", ["enabled", "disabled"])
def test_a_stream_broken_at_any_event_goes_on_to_the_message_of_the_unbroken_one(
    gw: LocalGateway, ask: Ask, then: str, thinking: str
) -> None:
    settings = {"thinking": thinking}
    parts = _parts(gw, REPLY, **settings)
    _script(gw, REPLY)
    unbroken = ask(_model(gw, **settings), "Count")
    for count in range(len(parts) + 1):
        gw.reset()
        reasoning, text = _received(parts, count)
        _script(gw, REPLY, _rest(REPLY, reasoning, text))
        gw.fault(Fault(then=BREAKS[then].then, after_chunks=count))
        message = ask(_model(gw, **settings), "Count")
        assert _essence(message) == _essence(unbroken)
        first, second = gw.requests
        turn = {"role": "assistant", "content": text, "prefix": True}
        if reasoning:
            turn["reasoning_content"] = reasoning
        turns = [turn] if reasoning or text else []
        assert second.body == {**first.body, "messages": [*first.body["messages"], *turns]}
        assert [first.path, second.path] == [CHAT, BETA if turns else CHAT]
        assert second.headers["cf-aig-skip-cache"] == "true"
        (resumed,) = message.response_metadata["resumed"]
        assert resumed["reasoning_characters"] == len(reasoning)
        assert resumed["text_characters"] == len(text)
