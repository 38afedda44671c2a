"""Halves of UTF-16 surrogate pairs, which JSON can spell and UTF-8 cannot.

Models write one alone now and then, and a stream can cut a character beyond U+FFFF in two.
"""

import re

from typing_extensions import override

_SURROGATE = re.compile("[\ud800-\udfff]")
_FIRST_HALF = re.compile("[\ud800-\udbff]")


def join_surrogates(text: str) -> str:
    """Return `text` with halves that meet as their character, and every other half as U+FFFD."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class SurrogateJoiner:
    """Joins the halves of characters in a text that comes in pieces."""

    def __init__(self) -> None:
        self._half = ""

    def feed(self, piece: str) -> str:
        """Return what can be handed on: all but a first half whose second half may follow."""
        if not self._half and piece.isascii():
            return piece
        if not piece:
            return ""
        piece = self._half + piece
        self._half = piece[-1] if _FIRST_HALF.match(piece[-1]) else ""
        return join_surrogates(piece[:-1] if self._half else piece)

    def close(self) -> str:
        """Return what is left of a text that ended in a first half."""
        half, self._half = self._half, ""
        return join_surrogates(half)


# The escapes of a JSON text. An `open` one is at its end, and more that belongs to it can follow.
_JSON_ESCAPE = re.compile(
    r"""\\(?:
        ud[89ab]..\\ud[c-f]..
      | (?P<open>(?:ud[89ab]..(?:\\(?:u.{0,3})?)?|u.{0,3})?)\Z
      | (?P<lone>ud[89a-f][0-9a-f]{2})
      | .
    )""",
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)


class JsonSurrogateJoiner(SurrogateJoiner):
    """Joins the halves of characters in a JSON text that comes in pieces, escaped ones as well.

    Escaped halves that meet stay two escapes, which a JSON parser joins.
    """

    def __init__(self) -> None:
        super().__init__()
        self._open_escape = ""

    @override
    def feed(self, piece: str) -> str:
        text = self._open_escape + super().feed(piece)
        if "\\" not in text:
            return text
        self._open_escape = ""
        return _JSON_ESCAPE.sub(self._replace_escape, text)

    @override
    def close(self) -> str:
        text, self._open_escape = self._open_escape, ""
        return text + super().close()

    def _replace_escape(self, escape: re.Match[str]) -> str:
        if escape["open"] is not None:
            self._open_escape = escape[0]
            return ""
        return r"\ufffd" if escape["lone"] else escape[0]


def join_json_surrogates(text: str) -> str:
    """Return a JSON text as `join_surrogates` does, escaped halves included."""
    joiner = JsonSurrogateJoiner()
    return joiner.feed(text) + joiner.close()
