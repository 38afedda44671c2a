"""Server-sent events from bytes to JSON, without any input or output of its own.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

import json
from collections.abc import Iterator
from typing import Any

DONE = "[DONE]"


class EventDecoder:
    """Decodes an event stream, however its bytes are split.

    Comments (`: keep-alive`) and fields other than `data` are passed over.
    """

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # the begun line, in the pieces in which it came
        self._data: list[bytes] = []  # the data lines of the begun event
        self._after_cr = False

    def feed(self, piece: bytes) -> Iterator[Any]:
        """Yield the JSON value of every event that `piece` completes, and `DONE` for `[DONE]`.

        Raises:
            ValueError: An event is not JSON, or not UTF-8.
        """
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]  # the second half of a CRLF that was split
            self._after_cr = False
        if not piece:
            return
        self._after_cr = piece.endswith(b"\r")
        lines = piece.splitlines()
        begun = None if piece.endswith((b"\n", b"\r")) else lines.pop()
        if self._rest and lines:
            lines[0] = b"".join([*self._rest, lines[0]])
            self._rest.clear()
        if begun is not None:
            self._rest.append(begun)
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif not line and self._data:
                text = b"\n".join(self._data).decode().strip()
                self._data.clear()
                if text:
                    yield DONE if text == DONE else json.loads(text)

    def close(self) -> Iterator[Any]:
        """Yield the event that the stream ended in the middle of, if it is whole.

        The standard drops it, but servers exist that leave out the last blank line.

        Raises:
            ValueError: What is left is not JSON.
        """
        yield from self.feed(b"\n\n")
