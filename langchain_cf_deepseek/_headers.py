"""Request headers from several sources as one set, with nothing in them that could break out."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"([\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?)?")


class UnloggedText(str):
    """A header value that does not show in the log of an HTTP library or a debugger."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'**********'"


def merge_headers(*sources: Mapping[Any, Any] | None) -> dict[str, str]:
    """Return the headers of all `sources`; of one name, in whatever case, the last one counts.

    Raises:
        ValueError: A name or value cannot travel in a header; the text holds the name only.
    """
    merged: dict[str, tuple[str, str]] = {}
    for source in sources:
        for name, value in (source or {}).items():
            if not isinstance(name, str):
                msg = f"header {name!r:.100}: the name must be text, not a {type(name).__name__}."
                raise ValueError(msg)  # noqa: TRY004 - the name is what is wrong
            text = value.get_secret_value() if isinstance(value, SecretStr) else value
            if not isinstance(text, str):
                msg = f"header {name!r}: the value must be text, not a {type(text).__name__}."
                raise ValueError(msg)  # noqa: TRY004 - the value is what is wrong
            if not _NAME.fullmatch(name) or not _VALUE.fullmatch(text):
                msg = (
                    f"header {name!r}: names and values must be printable ASCII in one line, "
                    "without white space at their ends."
                )
                raise ValueError(msg)
            merged[name.lower()] = name, UnloggedText(text)
    return dict(merged.values())
