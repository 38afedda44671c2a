"""Server-sent events are decoded the same however their bytes are split."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_cf_deepseek._http.sse import DONE, EventDecoder


def _decoded(*pieces: bytes) -> list[Any]:
    decoder = EventDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)] + decoder.close()
    return [event if event == DONE else json.loads(event) for event in events]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b'data: {"a": 1}\n\ndata: {"a": 2}\n\ndata: [DONE]\n\n', [{"a": 1}, {"a": 2}, DONE]),
        (b'data:{"a": 1}\r\n\r\ndata:[DONE]\r\n\r\n', [{"a": 1}, DONE]),
        (b'data: {"a": 1}\r\rdata: {"a": 2}\r\r', [{"a": 1}, {"a": 2}]),
        (b'\n\n: keep-alive\n\n: keep-alive\n\ndata: {"a": 1}\n\n', [{"a": 1}]),
        (b'event: message\nid: 7\nretry: 10\ndata: {"a": 1}\n\n', [{"a": 1}]),
        (b'data: {"a":\ndata: 1}\n\n', [{"a": 1}]),
        (b'data: {"a": 1}', [{"a": 1}]),
        (b'data: {"a": 1}\n', [{"a": 1}]),
        (b"data:\n\ndata: \n\ndata\n\n", []),
        (b"", []),
    ],
)
def test_event_stream_is_decoded_as_the_standard_says(stream: bytes, events: list[Any]) -> None:
    assert _decoded(stream) == events


@given(
    events=st.lists(st.dictionaries(st.text(), st.text() | st.integers(), max_size=3), max_size=5),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    cuts=st.lists(st.integers(min_value=0, max_value=400), max_size=20),
)
def test_event_stream_gives_the_same_events_for_any_split(
    events: list[dict[str, Any]], newline: str, cuts: list[int]
) -> None:
    lines = [f"data: {json.dumps(event, ensure_ascii=False)}{newline}{newline}" for event in events]
    stream = f": keep-alive{newline}{newline}".join(["", *lines, f"data: [DONE]{newline}{newline}"])
    data = stream.encode()
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(edges)]
    assert _decoded(*pieces) == [*events, DONE]
