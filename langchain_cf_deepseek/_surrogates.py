"""Halves of UTF-16 surrogate pairs, which JSON can spell and UTF-8 cannot.

Models write one alone now and then, and a stream can cut a character beyond U+FFFF in two.
"""

import re

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
