"""Joins halves of UTF-16 surrogate pairs, which JSON can encode and UTF-8 cannot.

Models sometimes write a lone half, and a stream can split a character beyond U+FFFF.
"""

import re

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
