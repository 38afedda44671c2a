"""Strings that match a regular expression, for the schemas that ask for one."""

from __future__ import annotations

import re

_ESCAPES = {"d": "1", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a", "b": "", "B": ""}
_QUANTIFIER = re.compile(r"[*?]\??|\+\??|\{(\d+)?(,)?(\d+)?\}\??")


def matches(pattern: str, text: str) -> bool:
    """Whether a text matches; False too for a pattern that Python does not understand."""
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return False


def sample(pattern: str) -> str | None:
    """Make a short string that matches, or None for a pattern that is beyond this sampler.

    It knows literals, classes, escapes, groups, alternatives and quantifiers, and of each takes
    the first and the least.
    """
    try:
        text, rest = _alternatives(pattern)
    except (IndexError, re.error):
        return None
    return text if not rest and matches(pattern, text) else None


def _alternatives(pattern: str) -> tuple[str, str]:
    """Sample up to the end of the group; the first alternative is taken."""
    text, rest = _sequence(pattern)
    while rest.startswith("|"):
        _, rest = _sequence(rest[1:])
    return text, rest


def _sequence(pattern: str) -> tuple[str, str]:
    text = ""
    while pattern and pattern[0] not in "|)":
        item, pattern = _item(pattern)
        quantifier = _QUANTIFIER.match(pattern)
        if quantifier:
            pattern = pattern[quantifier.end() :]
            item *= _least(quantifier)
        text += item
    return text, pattern


def _least(quantifier: re.Match[str]) -> int:
    if quantifier[0][0] in "*?":
        return 0
    return int(quantifier[1] or 0) if quantifier[0][0] == "{" else 1


def _item(pattern: str) -> tuple[str, str]:
    first, rest = pattern[0], pattern[1:]
    if first in "^$":
        return "", rest
    if first == "\\":
        return _ESCAPES.get(rest[0], rest[0]), rest[1:]
    if first == "[":
        return _class(rest)
    if first == "(":
        text, rest = _alternatives(re.sub(r"^\?(?::|P<\w+>|<\w+>)", "", rest))
        return text, rest[1:]
    return ("a" if first == "." else first), rest


def _class(pattern: str) -> tuple[str, str]:
    """Sample a character class, `pattern` beginning behind its bracket."""
    match = re.match(r"(\^?)((?:\\.|[^\]\\])+)\]", pattern)
    if match is None:
        raise IndexError
    content = match[2]
    rest = pattern[match.end() :]
    if match[1]:
        allowed = (char for char in "a1-_ Z." if re.match(f"[^{content}]", char))
        return next(allowed, ""), rest
    return (_ESCAPES.get(content[1], content[1]) if content[0] == "\\" else content[0]), rest
