"""The inner pieces, each with what it must return.

`pytest tests/benchmarks/test_pieces.py -o addopts=` times them, so that a regression shows.
"""

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from pydantic import SecretStr
from pytest_benchmark.fixture import BenchmarkFixture

from langchain_cf_deepseek import CFDeepSeekRateLimitError, ChatCloudflareDeepSeek
from langchain_cf_deepseek._api.response import ResponseReader
from langchain_cf_deepseek._errors.responses import error_from_response
from langchain_cf_deepseek._http.http_library import http
from langchain_cf_deepseek._http.sse import DONE, EventDecoder
from tests.benchmarks.histories import history
from tests.benchmarks.server import events

CHUNKS = 1000
URL = "http://127.0.0.1/chat/completions"
PACKET = 16384
RATE_LIMITED = {
    "success": False,
    "errors": [{"code": 2003, "message": "Rate limited"}],
    "result": None,
    "messages": [],
}


def _model() -> ChatCloudflareDeepSeek:
    return ChatCloudflareDeepSeek(
        model="deepseek-flash", base_url="http://127.0.0.1", api_key=SecretStr("k")
    )


def _response(status: int, **how: Any) -> Any:
    return http.Response(status, request=http.Request("POST", URL), **how)


def _json_of(data: list[bytes]) -> list[Any]:
    return [event if event == DONE else json.loads(event) for event in data]


@pytest.mark.parametrize("packet", [None, PACKET], ids=["an event a piece", "many events a piece"])
def test_event_stream_decoding(benchmark: BenchmarkFixture, packet: int | None) -> None:
    sent = events(CHUNKS)
    stream = b"".join(sent)
    pieces = (
        sent
        if packet is None
        else [stream[start : start + packet] for start in range(0, len(stream), packet)]
    )

    def decode() -> list[bytes]:
        decoder = EventDecoder()
        return [event for piece in pieces for event in decoder.feed(piece)]

    assert _json_of(benchmark(decode)) == _json_of([event[6:-2] for event in sent])


@pytest.mark.parametrize("as_blocks", [False, True], ids=["text", "blocks"])
def test_event_conversion_to_chunks(benchmark: BenchmarkFixture, *, as_blocks: bool) -> None:
    sent = [json.loads(event[6:]) for event in events(CHUNKS)[:-1]]

    def chunks() -> list[ChatGenerationChunk]:
        reader = ResponseReader(as_blocks=as_blocks)
        reader.start_response(_response(200), {"model": "deepseek-flash"})
        with reader.attach_partial_message():
            read = [reader.chunk(event) for event in sent]
        return [chunk for chunk in [*read, reader.closing_chunk()] if chunk]

    first, *others = benchmark(chunks)
    message = sum(others, first).message
    assert isinstance(message, AIMessageChunk)
    assert len(others) == CHUNKS + 1
    assert message.text == "word " * (CHUNKS // 2)
    assert message.usage_metadata == {
        "input_tokens": 5,
        "output_tokens": 5,
        "total_tokens": 10,
        "input_token_details": {"cache_read": 0},
        "output_token_details": {"reasoning": 2},
    }
    assert message.content_blocks[0] == {
        "type": "reasoning",
        "reasoning": "thought " * (CHUNKS // 2),
    } | ({"index": "lc_rsn_0"} if as_blocks else {})


def test_request_body_from_messages(benchmark: BenchmarkFixture) -> None:
    body = benchmark(_model()._get_request_payload, history(500))
    assert body["model"] == "deepseek-flash"
    assert len(body["messages"]) == 500
    assert body["messages"][2] == {
        "role": "assistant",
        "content": "",
        "reasoning_content": "I should look up place number 0 first.",
        "tool_calls": [
            {
                "type": "function",
                "id": "call_0",
                "function": {"name": "look", "arguments": '{"place": "Paris", "n": 0}'},
            }
        ],
    }


def test_error_from_an_error_response(benchmark: BenchmarkFixture) -> None:
    response = _response(429, json=RATE_LIMITED, headers={"retry-after": "7"})
    error = benchmark(error_from_response, response)
    assert type(error) is CFDeepSeekRateLimitError
    assert (error.code, error.retry_after, error.origin) == (2003, 7.0, "gateway")


def test_model_construction(benchmark: BenchmarkFixture) -> None:
    assert benchmark(_model) == _model()
