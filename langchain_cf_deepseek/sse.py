"""Server-sent events from bytes to the data of each, without any input or output of its own.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

DONE = b"[DONE]"


class EventDecoder:
    """Decodes an event stream, however its bytes are split.

    Comments (`: keep-alive`) and fields other than `data` are passed over.
    """

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # the begun line, in the pieces in which it came
        self._data: list[bytes] = []  # the data lines of the begun event
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
        events = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:])
            elif not line and self._data:
                if data := b"\n".join(self._data).strip():
                    events.append(data)
                self._data.clear()
        return events

    def close(self) -> list[bytes]:
        """Return the data of the event that the stream ended in the middle of.

        The standard drops it, but servers exist that leave out the last blank line.
        """
        return self.feed(b"\n\n")
