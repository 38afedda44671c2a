"""Server-sent events from bytes to the data of each, without any input or output of its own.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

DONE = b"[DONE]"


class ErrorData(bytes):
    """The data of an event that is named `error`, whatever it holds."""

    __slots__ = ()


class EventDecoder:
    """Decodes an event stream, however its bytes are split.

    Comments (`: keep-alive`) and fields other than `data` are passed over, but for the name of an
    event that says `error`.
    """

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # the begun line, in the pieces in which it came
        self._data: list[bytes] = []  # the data lines of the begun event
        self._is_error = False  # the begun event is named so
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
        begun = None if piece.endswith((b"\n", b"\r")) else lines.pop()
        if self._rest and lines:
            lines[0] = b"".join([*self._rest, lines[0]])
            self._rest.clear()
        if begun is not None:
            self._rest.append(begun)
        events: list[bytes] = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:])
            elif not line:
                if (event := self._completed()) is not None:
                    events.append(event)
            elif line.startswith(b"event:"):
                self._is_error = line[6:].strip().lower() == b"error"
        return events

    def _completed(self) -> bytes | None:
        """Return the data of the event that a blank line ends, if there is one."""
        data = b"\n".join(self._data).strip()
        self._data.clear()
        if self._is_error:
            self._is_error = False
            return ErrorData(data)
        return data or None

    def close(self) -> list[bytes]:
        """Return the data of the event that the stream ended in the middle of.

        The standard drops it, but servers exist that leave out the last blank line.
        """
        return self.feed(b"\n\n")
