"""Completions, streamed and not, valid and damaged."""

import itertools
import json
import re
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.strategies.values import (
    URL,
    Json,
    json_values,
    optional,
    plain_texts,
    sound_values,
    texts,
)

deep_values = st.sampled_from([100, 900, 3_000, 100_000]).map("@deep{}@".format)
broken_values = json_values | deep_values | st.just("@huge@")
usages = st.fixed_dictionaries(
    {"prompt_tokens": st.integers(0, 9), "completion_tokens": st.integers(1, 9)},
    optional={
        "total_tokens": st.integers(1, 9),
        "prompt_tokens_details": st.just({"cached_tokens": 3}),
        "prompt_cache_hit_tokens": st.just(3),
        "completion_tokens_details": st.just({"reasoning_tokens": 2}),
    },
)
arguments = st.sampled_from(
    ["", "{}", '{"x": 1}', '{"city": "Z\u00fcrich", "n": [1, null, NaN]}', '{"x": "\\ud800"}', "{"]
)
openings = optional(
    id=st.just("answer-1"),
    model=st.just("deepseek-flash"),
    object=st.just("chat.completion"),
    created=st.just(1),
    system_fingerprint=st.just("fp_1"),
    gatewayMetadata=st.just({"keySource": "BYOK"}),
)
undocumented = optional(
    title=plain_texts,
    search=st.lists(st.just({"url": URL, "rank": 1}), max_size=2),
    score=st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    odd=sound_values,
)
_TOKEN = {"token": "a", "logprob": -0.25, "bytes": [97], "top_logprobs": []}


@dataclass(frozen=True)
class Answer:
    """A completion, to be written as one body or as a stream."""

    opening: Json
    reasoning: str
    content: str
    calls: list[Json]
    undocumented: Json
    logprobs: Json | None
    finish_reason: str
    usage: Json

    def whole(self) -> Json:
        message = {
            "role": "assistant",
            "content": self.content,
            "reasoning_content": self.reasoning,
            **({"tool_calls": self.calls} if self.calls else {}),
            **self.undocumented,
        }
        choice = {"message": message, "finish_reason": self.finish_reason}
        return self.event(choice | {"logprobs": self.logprobs}, usage=self.usage)

    def event(self, choice: Json | None, **fields: Any) -> Json:
        choices = [] if choice is None else [{"index": 0, **choice}]
        return {**self.opening, "choices": choices, **fields}


@st.composite
def answers(draw: st.DrawFn, texts: st.SearchStrategy[str] = texts) -> Answer:
    """Generate completions with any content."""
    calls = [
        {
            "index": index,
            "id": f"call_{index}",
            "type": "function",
            "function": {"name": "f", "arguments": draw(arguments)},
        }
        for index in range(draw(st.integers(0, 2)))
    ]
    finishes = ["tool_calls"] if calls else ["stop", "length", "content_filter", "aborted"]
    return Answer(
        opening=draw(openings),
        reasoning=draw(texts),
        content=draw(texts),
        calls=calls,
        undocumented=draw(undocumented),
        logprobs=draw(st.sampled_from([None, {"content": [_TOKEN, _TOKEN]}])),
        finish_reason=draw(st.sampled_from(finishes)),
        usage=draw(usages),
    )


@st.composite
def events_of(draw: st.DrawFn, answer: Answer) -> list[Json]:
    """Generate the events of a completion, as DeepSeek sends them and as others do."""
    deltas: list[Json] = [{"role": "assistant", "content": "", **answer.undocumented}]
    deltas += [
        {"reasoning_content": text, "content": None} for text in draw(_pieces(answer.reasoning))
    ]
    deltas += [{"content": text, "reasoning_content": ""} for text in draw(_pieces(answer.content))]
    says_all_again = draw(st.booleans())
    has_index = draw(st.booleans())
    for call in answer.calls:
        begun = call if has_index else {**call, "index": None}
        for number, text in enumerate(draw(_pieces(call["function"]["arguments"]))):
            function = {"arguments": text}
            if number == 0 or says_all_again:
                piece = {**begun, "function": {"name": "f"} | function}
            else:
                piece = {"index": begun["index"], "function": function}
            if not has_index and says_all_again and number:
                del piece["id"]  # without an index, an id begins a call
            deltas.append({"tool_calls": [piece]})
    choices: list[Json] = [{"delta": delta, "finish_reason": None} for delta in deltas]
    if answer.logprobs:
        for choice, token in zip(choices, answer.logprobs["content"], strict=False):
            choice["logprobs"] = {"content": [token]}
        missing = answer.logprobs["content"][len(choices) :]
    last: Json = {"delta": {"content": ""}, "finish_reason": answer.finish_reason}
    if answer.logprobs and missing:
        last["logprobs"] = {"content": missing}
    events = [answer.event(choice) for choice in choices]
    if draw(st.booleans()):
        return [*events, answer.event(last, usage=answer.usage)]
    return [*events, answer.event(last, usage=None), answer.event(None, usage=answer.usage)]


def _pieces(text: str) -> st.SearchStrategy[list[str]]:
    """Generate a text in one piece or several."""
    places = st.lists(st.integers(0, len(text)), max_size=3).map(sorted)
    edges = places.map(lambda places: [0, *places, len(text)])
    return edges.map(lambda edges: [text[a:b] for a, b in itertools.pairwise(edges)])


@st.composite
def changed(draw: st.DrawFn, value: Any, *, depth: int = 0) -> Any:
    """Generate `value` with one entry, at any depth, replaced or removed."""
    keys: list[Any] = sorted(value) if isinstance(value, dict) else []
    if isinstance(value, list):
        keys = list(range(len(value)))
    if not keys or draw(st.integers(0, 20)) < depth:
        return draw(broken_values)
    copy = value.copy()
    key = draw(st.sampled_from(keys))
    if draw(st.integers(0, 9)) == 0:
        del copy[key]
    else:
        copy[key] = draw(changed(value[key], depth=depth + 1))
    return copy


def to_bytes(value: Any) -> bytes:
    """Return JSON as a server can write it, and Python's encoder would not."""
    # A surrogate half becomes \\ud800, as JSON writes it.
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")
    text = text.replace(b'"@huge@"', b"9" * 5_000)
    return re.sub(
        rb'"@deep(\d+)@"', lambda found: b"[" * int(found[1]) + b"]" * int(found[1]), text
    )


@st.composite
def event_streams(draw: st.DrawFn, events: list[Any]) -> bytes:
    """Generate the bytes of an event stream."""
    newline = draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    begin = draw(st.sampled_from([b"", b"\xef\xbb\xbf", b"\n\n", b": keep-alive\n\n"]))
    field = draw(st.sampled_from([b"data: ", b"data:", b"event: message\ndata: "]))
    texts = [to_bytes(event) for event in events] + draw(st.sampled_from([[b"[DONE]"], []]))
    return begin + b"".join(field + text + newline * 2 for text in texts)


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Generate bytes of which some are replaced, removed, inserted or doubled."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 40)))
        instead = draw(st.sampled_from([b"", data[start:end] * 2]) | st.binary(max_size=5))
        data = data[:start] + instead + data[end:]
    return data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Return `data` in pieces, split at `places` (modulo its length)."""
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


cuts = st.lists(st.integers(0, 2**16), max_size=20)


@st.composite
def raw_answers(draw: st.DrawFn, bodies: st.SearchStrategy[bytes]) -> bytes:
    """Generate the bytes of HTTP responses, whose headers need not match the body."""
    body = draw(bodies)
    head = draw(
        st.sampled_from(
            [
                b"HTTP/1.1 200 OK\r\n",
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
                b"HTTP/1.1 204 No Content\r\n",
                b"HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.1:9/\r\n",
                b"HTTP/1.1 999 What\r\n",
                b"HTTP/1.1 OK\r\n",
                b"HTTP/9.9 200 OK\r\n",
                b"\x16\x03\x01",
                b"",
            ]
        )
    )
    fields = draw(
        st.sampled_from(
            [
                b"content-length: %d\r\n" % len(body),
                b"content-length: %d\r\n" % (len(body) + 9),
                b"content-length: %d\r\n" % (len(body) // 2),
                b"content-length: -1\r\n",
                b"content-encoding: gzip\r\n",
                b"content-encoding: zstd\r\ncontent-length: 9\r\n",
                b"transfer-encoding: chunked\r\n",
                b"content-length: 5\r\ntransfer-encoding: chunked\r\n",
                b"no colon\r\n",
                b"connection: close\r\n",
            ]
        )
    )
    if b"chunked" in fields:
        sizes = st.sampled_from([b"%x" % len(body), b"%x" % (len(body) + 5), b"zz", b"-1", b"0"])
        body = (
            draw(sizes) + b"\r\n" + body + draw(st.sampled_from([b"\r\n0\r\n\r\n", b"\r\n", b""]))
        )
    raw = head + fields + b"\r\n" + body
    return draw(damaged(raw)) if draw(st.integers(0, 3)) == 0 else raw
