"""Server-sent events, cut out of bytes however these arrive."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from langchain_cf_deepseek.local.exchange import parse_json

_EVENT_END = re.compile(rb"\r?\n\r?\n")


class EventSplitter:
    """Cuts a stream into whole events."""

    def __init__(self) -> None:
        self.rest = b""
        """What has come of an event that is not whole yet."""

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the events that end in this piece, each with the blank line behind it."""
        self.rest += piece
        while end := _EVENT_END.search(self.rest):
            event, self.rest = self.rest[: end.end()], self.rest[end.end() :]
            yield event


def event_payload(event: bytes) -> dict[str, Any]:
    """The JSON object in an event, or an empty one."""
    payload = parse_json(event.partition(b"data:")[2])
    return payload if isinstance(payload, dict) else {}
