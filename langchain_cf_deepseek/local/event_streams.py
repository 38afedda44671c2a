"""Putting the chunks of a stream together, into the answer that would have come whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

JSON = dict[str, Any]


def assemble_completion(stream: bytes) -> JSON:
    """Return the chat completion that an event stream spells, as far as it came.

    Raises:
        AttributeError, KeyError, TypeError: The stream holds something else than chunks.
    """
    answer: JSON = {}
    choices: dict[int, JSON] = {}
    for event in _events(stream):
        answer |= {key: value for key, value in event.items() if value is not None}
        for part in event.get("choices") or ():
            _add(choices.setdefault(part["index"], _choice(part["index"])), part)
    if choices:
        answer |= {"object": "chat.completion", "choices": list(choices.values())}
    return answer


def _events(stream: bytes) -> Iterator[JSON]:
    for line in stream.splitlines():
        if line.startswith(b"data:"):
            try:
                event = json.loads(line.removeprefix(b"data:"))
            except ValueError:  # `[DONE]`, or what is left of a broken event
                continue
            yield event


def _choice(index: int) -> JSON:
    return {"index": index, "message": {"role": "assistant"}, "finish_reason": None}


def _add(choice: JSON, part: JSON) -> None:
    """Add one chunk's part of a choice."""
    message, delta = choice["message"], part["delta"]
    choice["finish_reason"] = part.get("finish_reason") or choice["finish_reason"]
    for key in ("reasoning_content", "content"):
        if delta.get(key) is not None:
            message[key] = message.get(key, "") + delta[key]
    for piece in delta.get("tool_calls") or ():
        calls = message.setdefault("tool_calls", [])
        if "id" in piece:
            calls.append({**piece, "function": {}})
        function = calls[-1]["function"]
        for key, text in piece["function"].items():
            function[key] = function.get(key, "") + (text or "")
