"""Any response is a completion or a typed error, and the same one however it is split."""

import gzip
import itertools
import time
from typing import Any

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from langchain_cf_deepseek.errors import CFDeepSeekError
from tests.conftest import PATHS
from tests.fuzz.conftest import share
from tests.fuzz.servers import MemoryTransport, RawServer
from tests.fuzz.strategies.answers import (
    Answer,
    answers,
    changed,
    cut,
    cuts,
    damaged,
    event_streams,
    events_of,
    raw_answers,
    to_bytes,
)
from tests.fuzz.strategies.values import plain_texts

memory = MemoryTransport()
MODELS = {version: memory.chat_model(output_version=version) for version in ("v0", "v1")}
TOOLS = [{"type": "function", "function": {"name": "f"}}]

versions = st.sampled_from(sorted(MODELS))
parameters = st.sampled_from([{}, {"tools": TOOLS}, {"response_format": {"type": "json_object"}}])
streams = st.sampled_from(["stream", "astream"])

valid_streams = answers().flatmap(events_of)
odd_streams = st.one_of(
    valid_streams.flatmap(changed).flatmap(changed).flatmap(event_streams),
    valid_streams.flatmap(event_streams).flatmap(damaged),
    st.binary(max_size=60),
    st.lists(
        st.sampled_from([b"data", b":", b"\n", b"\r", b" ", b"[DONE]", b"{", b"}", b"[", b"]"]),
        max_size=12,
    ).map(b"".join),
)
whole_answers = answers().map(Answer.whole)


def _asked(path: str, llm: Any, data: bytes, places: list[int], **kwargs: Any) -> AIMessage:
    memory.pieces = cut(data, places)
    return PATHS[path](llm, "Say json", **kwargs)


@given(streams, versions, odd_streams, cuts, parameters)
@example("stream", "v0", b'data: {"choices": [{"delta": {"reasoning_content": 5}}]}\n\n', [], {})
@example(
    "stream", "v0", b'data: {"object": [], "choices": [{"delta": {"content": "Hi"}}]}\n\n', [], {}
)
@example(
    "stream",
    "v0",
    b'data: {"choices": [{"delta": {"odd": [{"index": 0, "id": []}, {"index": 0, "id": 1}]}}]}\n\n',
    [],
    {},
)
def test_stream_of_any_events_is_a_completion_or_a_typed_error(
    path: str, version: str, data: bytes, places: list[int], kwargs: dict[str, Any]
) -> None:
    try:
        _asked(path, MODELS[version], data, places, **kwargs)
    except CFDeepSeekError as error:
        event(type(error).__name__)


@given(
    st.sampled_from(sorted(PATHS)),
    versions,
    whole_answers.flatmap(changed).map(to_bytes) | whole_answers.map(to_bytes).flatmap(damaged),
    parameters,
)
def test_response_with_any_body_is_a_completion_or_a_typed_error(
    path: str, version: str, data: bytes, kwargs: dict[str, Any]
) -> None:
    try:
        _asked(path, MODELS[version], data, [], **kwargs)
    except CFDeepSeekError as error:
        event(type(error).__name__)


@share(1 / 5)
@given(st.sampled_from(sorted(PATHS)), raw_answers(valid_streams.flatmap(event_streams)))
def test_raw_bytes_on_the_connection_are_a_completion_or_a_typed_error(
    path: str, raw: bytes
) -> None:
    with RawServer() as server:
        server.answer = raw
        begun = time.monotonic()
        try:
            PATHS[path](server.chat_model(timeout=5), "Hi")
        except CFDeepSeekError as error:
            event(type(error).__name__)
        assert time.monotonic() - begun < 4


def _outcome(path: str, llm: Any, data: bytes, places: list[int]) -> Any:
    """Return the parts of an outcome that do not differ between requests."""
    try:
        message = _asked(path, llm, data, places, tools=TOOLS)
    except CFDeepSeekError as error:
        return type(error), str(error), error.partial
    fields = message.model_dump(exclude={"id", "content"})
    # Only a stream numbers its blocks.
    blocks = [
        {key: value for key, value in block.items() if key != "index"}
        for block in message.content_blocks
    ]
    return fields, blocks, message.text


@st.composite
def _whole_and_streamed(draw: st.DrawFn) -> tuple[bytes, bytes]:
    answer = draw(answers(plain_texts))
    return to_bytes(answer.whole()), draw(event_streams(draw(events_of(answer))))


@given(streams, versions, _whole_and_streamed(), cuts, cuts)
def test_completion_is_the_same_streamed_or_not_and_however_it_is_split(
    path: str, version: str, both: tuple[bytes, bytes], places: list[int], other: list[int]
) -> None:
    whole, stream = both
    llm = MODELS[version]
    outcome = _outcome("invoke", llm, whole, [])
    assert _outcome(path, llm, stream, places) == outcome
    assert _outcome(path, llm, stream, other) == outcome
    assert _outcome(path, llm, whole, places) == outcome


def _stream_of(*deltas: dict[str, Any]) -> bytes:
    choices: list[dict[str, Any]] = [{"delta": delta} for delta in deltas]
    choices[-1]["finish_reason"] = "tool_calls" if "tool_calls" in deltas[-1] else "stop"
    return b"".join(b"data: " + to_bytes({"choices": [choice]}) + b"\n\n" for choice in choices)


@pytest.mark.parametrize("path", ["stream", "astream"])
@pytest.mark.parametrize("version", ["v0", "v1"])
def test_tool_name_repeated_in_every_delta_is_not_doubled(path: str, version: str) -> None:
    pieces = [
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": text}}
        for text in ('{"x"', ": 1}")
    ]
    data = _stream_of(*({"tool_calls": [piece]} for piece in pieces))
    assert _asked(path, MODELS[version], data, []).tool_calls == [
        {"name": "f", "args": {"x": 1}, "id": "a", "type": "tool_call"}
    ]


@pytest.mark.parametrize("path", ["stream", "astream"])
def test_unknown_key_that_changes_its_type_keeps_its_first_value(path: str) -> None:
    said: list[Any] = [{"a": "x"}, {"a": 1}, 7, "x", {"a": "y"}, None, {"a": "xy"}]
    data = _stream_of(*({"content": "Hi", "odd": value} for value in said))
    message = _asked(path, MODELS["v0"], data, [])
    assert message.additional_kwargs == {"deepseek": {"odd": {"a": "xy"}}}


@pytest.mark.parametrize("logprobs", [0.5, [1], {"content": 0.5}, {"content": [{"index": 0}]}])
@pytest.mark.parametrize("path", ["stream", "astream"])
def test_log_probabilities_that_cannot_be_merged_are_an_error(path: str, logprobs: Any) -> None:
    choice = {"delta": {"content": "a"}, "finish_reason": "stop", "logprobs": logprobs}
    data = b"data: " + to_bytes({"choices": [choice]}) + b"\n\n"
    with pytest.raises(CFDeepSeekError, match="not of the shape that DeepSeek documents"):
        _asked(path, MODELS["v0"], data, [])


@pytest.mark.parametrize("path", ["stream", "astream"])
def test_byte_order_mark_can_be_split(path: str) -> None:
    for data in (_stream_of({"content": "Hi"}), to_bytes(_WHOLE)):
        for size in (1, 2, 3):
            marked = b"\xef\xbb\xbf" + data
            places = list(range(0, len(marked), size))
            assert _asked(path, MODELS["v0"], marked, places).content == "Hi"


_WHOLE = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}


def test_malformed_gzip_body_is_a_typed_error() -> None:
    body = gzip.compress(to_bytes(_WHOLE))[:40]
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body)
    for path, truth in itertools.product(PATHS, (body, b"\0" * len(body))):
        with RawServer() as server:
            server.answer = head + truth
            with pytest.raises(CFDeepSeekError):
                PATHS[path](server.chat_model(), "Hi")
