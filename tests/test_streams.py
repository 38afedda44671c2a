"""A stream is a complete and valid completion, or a typed error."""

import asyncio
import gc
import json
import secrets
import time
import tracemalloc
from typing import Any

import pytest

from langchain_cf_deepseek import errors
from langchain_cf_deepseek._http import stream
from langchain_cf_deepseek._http.stream import _parse_json
from langchain_cf_deepseek.local import Fault, LocalGateway
from tests.conftest import PATHS, Ask
from tests.fuzz.servers import MemoryTransport
from tests.streaming import delta, event_stream, tool_call

TEXT = "one two three four five six seven eight nine ten"

STREAMS = ["stream", "astream"]
WHOLE = ["invoke", "ainvoke"]


def _error_with_fault(
    gw: LocalGateway, path: str, fault: Fault, **settings: Any
) -> errors.CFDeepSeekError:
    """Inject `fault` into a request and return the error."""
    gw.reply(content=TEXT, reasoning="Counting.")
    gw.fault(fault)
    with pytest.raises(errors.CFDeepSeekError) as caught:
        PATHS[path](gw.chat_model(max_retries=0, **settings), "Count")
    return caught.value


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize("then", ["cut", "reset", "bad_json"])
def test_stream_that_breaks_off_is_an_error_with_its_text(
    gw: LocalGateway, path: str, then: Any
) -> None:
    """ChatOpenAI and ChatDeepSeek accept the first of these as a complete response."""
    error = _error_with_fault(gw, path, Fault(then=then, after_chunks=8))
    assert type(error) is errors.CFDeepSeekIncompleteStreamError
    assert error.is_retryable
    assert error.partial
    assert TEXT.startswith(error.partial)
    assert error.partial != TEXT
    assert "log_id" in error.gateway


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize("then", ["cut", "reset"])
def test_stream_that_breaks_before_its_first_event_is_an_error(
    gw: LocalGateway, path: str, then: Any
) -> None:
    error = _error_with_fault(gw, path, Fault(then=then, after_chunks=0))
    assert isinstance(error, errors.CFDeepSeekAPIError)
    assert error.partial == ""


@pytest.mark.parametrize(
    ("finish", "kind"),
    [
        ("insufficient_system_resource", errors.CFDeepSeekAPIError),
        ("aborted", errors.CFDeepSeekAPIError),
        ("content_filter", errors.CFDeepSeekContentBlockedError),
    ],
)
def test_finish_reason_of_a_failure_is_an_error(
    gw: LocalGateway, ask: Ask, finish: str, kind: type[errors.CFDeepSeekError]
) -> None:
    gw.reply(content=TEXT, reasoning="Counting.")
    gw.fault(finish_reason=finish)
    with pytest.raises(errors.CFDeepSeekError) as caught:
        ask(gw.chat_model(), "Count")
    error = caught.value
    assert type(error) is kind
    assert error.partial == TEXT
    assert finish in str(error)
    assert error.is_retryable is (kind is errors.CFDeepSeekAPIError)


def completion(**message: Any) -> dict[str, Any]:
    return {
        "id": "1",
        "model": "deepseek-flash",
        "choices": [
            {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }


def test_completion_instead_of_a_stream_is_read(gw: LocalGateway, ask: Ask) -> None:
    """The gateway responds like this with guardrails."""
    gw.fault(body=completion(content="Hello.", reasoning_content="Greet."))
    message = ask(gw.chat_model(), "Hi")
    assert message.content == "Hello."
    assert message.additional_kwargs == {"reasoning_content": "Greet."}
    assert message.usage_metadata == {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    assert message.response_metadata["finish_reason"] == "stop"


def test_tool_calls_instead_of_a_stream_are_read(gw: LocalGateway, ask: Ask) -> None:
    calls = [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
        {"id": "b", "type": "function", "function": {"name": "f", "arguments": '{"x": 2}'}},
    ]
    gw.fault(body=completion(content=None, tool_calls=calls))
    assert ask(gw.chat_model(), "Hi").tool_calls == [
        {"name": "f", "args": {"x": 1}, "id": "a", "type": "tool_call"},
        {"name": "f", "args": {"x": 2}, "id": "b", "type": "tool_call"},
    ]


@pytest.mark.parametrize("path", STREAMS)
def test_event_stream_with_another_content_type_is_read(gw: LocalGateway, path: str) -> None:
    gw.reply(content=TEXT)
    gw.fault(content_type="application/octet-stream")
    assert PATHS[path](gw.chat_model(), "Count").content == TEXT


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_stream_bytes_can_be_split_anywhere(gw: LocalGateway, ask: Ask, size: int) -> None:
    gw.reply(content="größer 空 🌊", reasoning="ü")
    gw.fault(split=size)
    message = ask(gw.chat_model(), "Count")
    assert message.content == "größer 空 🌊"
    assert message.additional_kwargs == {"reasoning_content": "ü"}


def test_keep_alives_before_a_response_are_ignored(ask: Ask) -> None:
    with LocalGateway(keep_alive=5) as gw:
        gw.reply(content=TEXT)
        assert ask(gw.chat_model(), "Count").content == TEXT


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize("then", ["stall", "keep_alive"])
def test_silence_in_a_stream_is_a_timeout_even_with_keep_alives(
    gw: LocalGateway, path: str, then: Any
) -> None:
    begun = time.monotonic()
    fault = Fault(then=then, after_chunks=8, seconds=10)
    error = _error_with_fault(gw, path, fault, stream_chunk_timeout=0.3)
    assert type(error) is errors.CFDeepSeekTimeoutError
    assert error.is_retryable
    assert error.partial
    assert "stream_chunk_timeout" in error.hint
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("path", STREAMS)
def test_keep_alives_before_the_first_event_are_not_silence(gw: LocalGateway, path: str) -> None:
    """DeepSeek queues a request for up to ten minutes, and sends keep-alives meanwhile."""
    gw.reply(content=TEXT)
    gw.fault(then="keep_alive", after_chunks=0, seconds=1)
    assert PATHS[path](gw.chat_model(stream_chunk_timeout=0.5), "Count").content == TEXT


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize(
    "fault",
    [
        Fault(then="keep_alive", after_chunks=0, seconds=10),
        Fault(then="keep_alive", seconds=10, body=completion(content="Late.")),
    ],
    ids=["comments", "blank lines"],
)
def test_keep_alives_alone_for_longer_than_a_queue_lasts_are_a_timeout(
    gw: LocalGateway, path: str, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_MAX_QUEUE_SECONDS", 0.3)
    begun = time.monotonic()
    error = _error_with_fault(gw, path, fault, stream_chunk_timeout=0.2)
    assert type(error) is errors.CFDeepSeekTimeoutError
    assert error.is_retryable
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("timeout", [None, 0])
def test_silence_bound_can_be_disabled(gw: LocalGateway, timeout: float | None) -> None:
    gw.reply(content=TEXT)
    gw.fault(then="stall", after_chunks=3, seconds=0.2)
    llm = gw.chat_model(stream_chunk_timeout=timeout)
    assert PATHS["stream"](llm, "Count").content == TEXT


def test_empty_completion_is_an_error(gw: LocalGateway, ask: Ask) -> None:
    body = completion(content="")
    body["usage"]["completion_tokens"] = 0
    gw.fault(body=body)
    with pytest.raises(errors.CFDeepSeekEmptyResponseError) as caught:
        ask(gw.chat_model(), "Hi")
    assert caught.value.is_retryable


def test_empty_completion_ended_by_a_stop_word_is_returned(gw: LocalGateway, ask: Ask) -> None:
    gw.fault(body=completion(content=""))
    assert ask(gw.chat_model(), "Hi", stop=["x"]).content == ""


def test_json_mode_with_only_white_space_is_an_error(gw: LocalGateway, ask: Ask) -> None:
    """https://api-docs.deepseek.com/guides/json_mode: the content may come back empty."""
    gw.fault(body=completion(content="    \n  "))
    with pytest.raises(errors.CFDeepSeekEmptyResponseError, match="JSON mode"):
        ask(gw.chat_model(), "JSON", response_format={"type": "json_object"})


def test_tool_call_markup_is_never_returned_as_text(gw: LocalGateway, ask: Ask) -> None:
    """https://github.com/anomalyco/opencode/issues/34676"""
    markup = "<\N{FULLWIDTH VERTICAL LINE}DSML\N{FULLWIDTH VERTICAL LINE}function_calls>"
    tools = [{"type": "function", "function": {"name": "f"}}]
    gw.fault(body=completion(content=f"Let me see. {markup}"))
    with pytest.raises(errors.CFDeepSeekAPIError, match="markup of a tool call"):
        ask(gw.chat_model(), "Hi", tools=tools)
    gw.fault(body=completion(content=f"The markup is {markup}"))
    assert markup in ask(gw.chat_model(), "What does the markup look like?").content


@pytest.mark.parametrize("arguments", ['{"a": 1', '{"a": 1}{"b": 2}', "[1]", '"x"', "nonsense"])
@pytest.mark.parametrize("finish", ["tool_calls", "length"])
def test_tool_call_with_malformed_arguments_is_an_error(
    gw: LocalGateway, ask: Ask, arguments: str, finish: str
) -> None:
    """LangChain would repair truncated arguments of a stream, and run the tool."""
    body = completion(content="Look:", tool_calls=[tool_call(arguments, id="a")])
    body["choices"][0]["finish_reason"] = finish
    gw.fault(body=body)
    with pytest.raises(errors.CFDeepSeekAPIError, match="are not a JSON object") as caught:
        ask(gw.chat_model(), "Hi")
    assert caught.value.partial == "Look:"
    assert ("max_tokens" in caught.value.hint) is (finish == "length")


def test_tool_call_without_arguments_has_none(gw: LocalGateway, ask: Ask) -> None:
    gw.fault(body=completion(content="", tool_calls=[tool_call("", id="a")]))
    assert ask(gw.chat_model(), "Hi").tool_calls[0]["args"] == {}


def test_tool_calls_announced_but_missing_are_an_error(gw: LocalGateway, ask: Ask) -> None:
    body = completion(content="")
    body["choices"][0]["finish_reason"] = "tool_calls"
    gw.fault(body=body)
    with pytest.raises(errors.CFDeepSeekEmptyResponseError):
        ask(gw.chat_model(), "Hi")


def _delta(delta: dict[str, Any], **choice: Any) -> dict[str, Any]:
    return {"choices": [{"delta": delta} | choice]}


@pytest.mark.parametrize("path", STREAMS)
def test_tool_call_pieces_need_no_index(gw: LocalGateway, path: str) -> None:
    pieces = [
        _delta({"tool_calls": [tool_call('{"x"', id="a")]}),
        _delta({"tool_calls": [{"function": {"arguments": ": 1}"}}]}),
        _delta({"tool_calls": [tool_call('{"x": 2}', id="b")]}, finish_reason="tool_calls"),
    ]
    gw.fault(**event_stream(*pieces))
    calls = PATHS[path](gw.chat_model(), "Hi").tool_calls
    assert [(call["id"], call["args"]) for call in calls] == [("a", {"x": 1}), ("b", {"x": 2})]


@pytest.mark.parametrize("path", STREAMS)
def test_repeated_fields_of_a_stream_are_not_doubled(gw: LocalGateway, path: str) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    gw.fault(
        **event_stream(
            _delta({"content": "a", "kind": "x", "score": 0.5}),
            _delta({"content": "b", "kind": "x", "score": 0.7}, finish_reason="stop"),
            _delta({"content": ""}, finish_reason="stop") | {"usage": usage},
            {"choices": [], "usage": usage},
            {"gatewayMetadata": {"keySource": "BYOK"}},
        )
    )
    message = PATHS[path](gw.chat_model(), "Hi")
    assert message.content == "ab"
    assert message.additional_kwargs == {"deepseek": {"kind": "x", "score": 0.7}}
    assert message.response_metadata["finish_reason"] == "stop"
    assert message.usage_metadata == {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}


@pytest.mark.parametrize("path", STREAMS)
def test_choices_after_the_first_are_ignored(gw: LocalGateway, path: str) -> None:
    other = {"index": 1, "delta": {"content": "other"}, "finish_reason": "stop"}
    first = {"index": 0, "delta": {"content": "first"}, "finish_reason": "stop"}
    gw.fault(**event_stream({"choices": [other]}, {"choices": [other, first]}))
    assert PATHS[path](gw.chat_model(), "Hi").content == "first"


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [1]},
        {"choices": [{"message": []}]},
        {"choices": [{"message": {"content": {"a": 1}}, "finish_reason": "stop"}]},
        {"choices": [{"message": {"content": "x", "tool_calls": 7}, "finish_reason": "stop"}]},
        {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": [1]},
        {"choices": {"a": 1}},
        {"choices": "abc"},
        completion(content="x", tool_calls="abc"),
        completion(content="x", tool_calls=[{"id": "a"}]),
        {"choices": [{"message": {"content": "x"}, "finish_reason": ["stop"]}], "usage": [1]},
        {"error": [{"code": [1], "message": "m"}]},
        {"error": {"code": {"a": 1}, "type": ["x"], "message": "\ud800"}},
        {"internalCode": [1]},
    ],
)
def test_json_of_another_shape_is_a_typed_error(
    gw: LocalGateway, ask: Ask, body: dict[str, Any]
) -> None:
    gw.fault(body=body)
    with pytest.raises(errors.CFDeepSeekAPIError):
        ask(gw.chat_model(), "Hi")


@pytest.mark.parametrize("path", STREAMS)
def test_events_after_done_are_ignored(gw: LocalGateway, path: str) -> None:
    event = {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}
    events = f"data: {json.dumps(event)}\n\n"
    gw.fault(
        body=f"{events}data: [DONE]\n\ndata: nonsense\n\n{events}: bye\n\n",
        content_type="text/event-stream",
    )
    assert PATHS[path](gw.chat_model(), "Hi").content == "a"


@pytest.mark.parametrize("path", STREAMS)
def test_stream_without_done_is_complete_after_its_finish_reason(
    gw: LocalGateway, path: str
) -> None:
    event = {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}
    gw.fault(body=f"data: {json.dumps(event)}", content_type="text/event-stream")
    assert PATHS[path](gw.chat_model(), "Hi").content == "a"


def test_first_chunk_is_yielded_before_the_rest_arrives(gw: LocalGateway) -> None:
    gw.reply(content=TEXT)
    gw.fault(then="stall", after_chunks=1, seconds=0.5)
    begun = time.monotonic()
    stream = gw.chat_model().stream("Count")
    next(stream)
    first = time.monotonic() - begun
    list(stream)
    assert first < 0.4 < time.monotonic() - begun


def test_streams_of_one_model_do_not_mix(gw: LocalGateway) -> None:
    llm = gw.chat_model(thinking="disabled")

    async def one(number: int) -> str:
        chunks = [chunk.text async for chunk in llm.astream(f"Number {number}!")]
        return "".join(chunks)

    async def all_of_them() -> list[str]:
        return await asyncio.gather(*(one(number) for number in range(50)))

    texts = asyncio.run(all_of_them())
    assert [f"Number {number}!" in text for number, text in enumerate(texts)] == [True] * 50


def test_parsed_keys_are_cached_and_parsed_texts_are_not() -> None:
    """The same few keys repeat thousands of times; texts would only fill the parser's cache."""
    one, other = (_parse_json(b'{"reasoning_content": "The sky is blue."}') for _ in range(2))
    [key], [other_key] = one, other
    assert (key is other_key, one[key] is other[key]) == (True, False)


def _unknown_keys(number: int) -> dict[str, int]:
    return {f"unknown_{secrets.token_hex(8)}": 1 for _ in range(number)}


def test_unknown_keys_that_all_differ_do_not_accumulate_in_memory() -> None:
    """The parser's cache of keys has a fixed size; nothing else may keep the keys of a stream."""
    memory = MemoryTransport()
    memory.headers = [(b"content-type", b"text/event-stream")]
    llm = memory.chat_model()

    def stream(keys: int) -> None:
        event = delta("stop", content="Hello", **_unknown_keys(keys)) | _unknown_keys(keys)
        memory.pieces = [str(event_stream(event)["body"]).encode()]
        assert PATHS["stream"](llm, "Hi").content == "Hello"
        memory.pieces = ()

    tracemalloc.start()
    try:
        # Several times as many keys as the cache holds, so that each new one replaces another.
        _parse_json(json.dumps(_unknown_keys(60_000)).encode())
        stream(10)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        stream(3_000)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The 6,000 keys alone take 400 kB.
    assert after - before < 100_000
