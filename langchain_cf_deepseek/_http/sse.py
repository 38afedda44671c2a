"""Decodes server-sent events from bytes, without I/O.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

DONE = b"[DONE]"


class ErrorData(bytes):
    """The data of an event named `error`, of any content."""

    __slots__ = ()


class EventDecoder:
    """Decodes an event stream, wherever its bytes are split.

    Ignores comments (`: keep-alive`) and all fields but `data` and the event name `error`.
    """

    def __init__(self) -> None:
        self._incomplete_line: list[bytes] = []  # in the pieces in which it arrived
        self._data: list[bytes] = []  # the data lines of the current event
        self._is_error = False  # whether the current event is named `error`
        self._after_cr = False

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the data of every event that `piece` completes."""
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]  # the second half of a CRLF that was split
            self._after_cr = False
        if not piece:
            return []
        self._after_cr = piece.endswith(b"\r")
        lines = piece.splitlines()
        incomplete = None if piece.endswith((b"\n", b"\r")) else lines.pop()
        if self._incomplete_line and lines:
            lines[0] = b"".join([*self._incomplete_line, lines[0]])
            self._incomplete_line.clear()
        if incomplete is not None:
            self._incomplete_line.append(incomplete)
        events: list[bytes] = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:])
            elif not line:
                if (event := self._complete_event()) is not None:
                    events.append(event)
            elif line.startswith(b"event:"):
                self._is_error = line[6:].strip().lower() == b"error"
        return events

    def _complete_event(self) -> bytes | None:
        """Return the data of the event that a blank line ends; `None` if it has none."""
        data = b"\n".join(self._data).strip()
        self._data.clear()
        if self._is_error:
            self._is_error = False
            return ErrorData(data)
        return data or None

    def close(self) -> list[bytes]:
        """Return the data of an event that the end of the stream cut.

        The standard drops it, but some servers omit the last blank line.
        """
        return self.feed(b"\n\n")
