"""Merges and validates request headers, so that no value can inject another header."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"([\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?)?")


class UnloggedText(str):
    """A header value that logs of HTTP libraries and debuggers show masked."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'**********'"


def merge_headers(*sources: Mapping[Any, Any] | None) -> dict[str, str]:
    """Return the headers of all `sources`; the last one of a name, ignoring case, wins.

    Raises:
        ValueError: A name or value is not valid in a header; the message holds only the name.
    """
    merged: dict[str, tuple[str, str]] = {}
    for source in sources:
        for name, value in (source or {}).items():
            if not isinstance(name, str):
                msg = f"header {name!r:.100}: the name must be text, not a {type(name).__name__}."
                raise ValueError(msg)  # noqa: TRY004 - the name is invalid
            text = value.get_secret_value() if isinstance(value, SecretStr) else value
            if not isinstance(text, str):
                msg = f"header {name!r}: the value must be text, not a {type(text).__name__}."
                raise ValueError(msg)  # noqa: TRY004 - the value is invalid
            if not _NAME.fullmatch(name) or not _VALUE.fullmatch(text):
                msg = (
                    f"header {name!r}: names and values must be printable ASCII in one line, "
                    "without white space at their ends."
                )
                raise ValueError(msg)
            merged[name.lower()] = name, UnloggedText(text)
    return dict(merged.values())
