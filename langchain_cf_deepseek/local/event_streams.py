"""Event streams: split into events byte for byte, and assembled into a completion.

The client's decoder finds the events.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langchain_cf_deepseek._http.sse import DONE, EventDecoder
from langchain_cf_deepseek.local.exchange import parse_json

JSON = dict[str, Any]


class EventSplitter(EventDecoder):
    """Splits a stream into blocks, each an event or a comment with its blank line."""

    def __init__(self) -> None:
        super().__init__()
        self._block = b""
        self._carriage_return = b""

    @property
    def rest(self) -> bytes:
        """The bytes of an incomplete block."""
        return self._block + self._carriage_return

    def split(self, piece: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the bytes and the data of each block that `piece` completes.

        The data of a comment is empty.
        """
        piece = self._carriage_return + piece
        # A CRLF can be split between two pieces.
        self._carriage_return = b"\r" if piece.endswith(b"\r") else b""
        for line in piece.removesuffix(self._carriage_return).splitlines(keepends=True):
            self._block += line
            for data in self.feed(line):
                yield self._block, data
                self._block = b""

    def _complete_event(self) -> bytes:
        return super()._complete_event() or b""


def _decode(stream: bytes) -> list[bytes]:
    """Return the data of every event of a whole stream."""
    decoder = EventDecoder()
    return decoder.feed(stream) + decoder.close()


def is_complete(stream: bytes) -> bool:
    """Whether a stream ends as DeepSeek ends it."""
    return DONE in _decode(stream)


def assemble_completion(stream: bytes) -> JSON:
    """Return the chat completion that the chunks of a stream, complete or not, add up to.

    Raises:
        AttributeError, KeyError, TypeError: The stream holds something other than chunks.
    """
    completion: JSON = {}
    choices: dict[int, JSON] = {}
    for data in _decode(stream):
        chunk = parse_json(data)
        if chunk is None:  # `[DONE]`, or an incomplete event
            continue
        completion |= {key: value for key, value in chunk.items() if value is not None}
        for part in chunk.get("choices") or ():
            _add(choices.setdefault(part["index"], _empty_choice(part["index"])), part)
    if choices:
        completion |= {"object": "chat.completion", "choices": list(choices.values())}
    return completion


def _empty_choice(index: int) -> JSON:
    return {"index": index, "message": {"role": "assistant"}, "finish_reason": None}


def _add(choice: JSON, part: JSON) -> None:
    """Add a chunk's part of a choice to the choice."""
    message, delta = choice["message"], part["delta"]
    choice["finish_reason"] = part.get("finish_reason") or choice["finish_reason"]
    for key, value in delta.items():
        if isinstance(value, list) and key != "tool_calls":
            _add_blocks(message, key, value)
        elif key in {"reasoning_content", "content", "title"} and value is not None:
            message[key] = message.get(key, "") + value
    for piece in delta.get("tool_calls") or ():
        tool_calls = message.setdefault("tool_calls", [])
        if "id" in piece:
            tool_calls.append({**piece, "function": {}})
        function = tool_calls[-1]["function"]
        for key, text in piece["function"].items():
            function[key] = function.get(key, "") + (text or "")


def _add_blocks(message: JSON, key: str, blocks: list[JSON]) -> None:
    """Add blocks of a list to those with the same index; an empty list adds nothing."""
    if not blocks:
        return
    found = message[key] = message.get(key) or []
    for block in blocks:
        while len(found) <= block["index"]:
            found.append({})
        known = found[block["index"]]
        text = known.get("text", "") + block.get("text", "")
        known |= {name: block[name] for name in block if name != "index"}
        if text:
            known["text"] = text
