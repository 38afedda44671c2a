"""Joins halves of UTF-16 surrogate pairs, which JSON can encode and UTF-8 cannot.

Models sometimes write a lone half, and a stream can split a character beyond U+FFFF.
"""

import re

from typing_extensions import override

_SURROGATE = re.compile("[\ud800-\udfff]")
_FIRST_HALF = re.compile("[\ud800-\udbff]")


def join_surrogates(text: str) -> str:
    """Return `text` with adjacent halves joined, and every lone half replaced by U+FFFD."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class SurrogateJoiner:
    """Joins surrogate pairs in a text that arrives in pieces."""

    def __init__(self) -> None:
        self._half = ""

    def feed(self, piece: str) -> str:
        """Return the text so far, without a first half whose second half can follow."""
        if not self._half and piece.isascii():
            return piece
        if not piece:
            return ""
        piece = self._half + piece
        self._half = piece[-1] if _FIRST_HALF.match(piece[-1]) else ""
        return join_surrogates(piece[:-1] if self._half else piece)

    def close(self) -> str:
        """Return the rest of a text that ended in a first half."""
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
