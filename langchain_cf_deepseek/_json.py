"""Encodes JSON; a value that JSON cannot represent raises an error that names its path."""

import json
import reprlib
from typing import Any

from langchain_cf_deepseek._surrogates import join_surrogates

# Deeper than any valid body; ends the search in a value that contains itself.
_MAX_PATH_DEPTH = 32


def encode(body: dict[str, Any]) -> bytes:
    """Return a request body as JSON in UTF-8.

    Raises:
        ValueError: JSON cannot represent a value in it; the message says which, and where.
    """
    encoded = _encoded(body)
    if encoded is None:
        raise ValueError(encoding_error_message(body))
    return encoded


def encoding_error_message(value: Any, path: str = "") -> str:
    """Return the message about a value that cannot be sent.

    Args:
        value: The value.
        path: Its path in the request.
    """
    for _ in range(_MAX_PATH_DEPTH):
        entries: Any = value.items() if isinstance(value, dict) else ()
        if isinstance(value, list | tuple):
            entries = enumerate(value)
        culprit = next((entry for entry in entries if _encoded(entry[1]) is None), None)
        if culprit is None:
            break
        key, value = culprit
        path += f"[{key}]" if isinstance(key, int) else f".{key}"
    # Python refuses to format such a number.
    shown = "a number of this length" if isinstance(value, int) else reprlib.repr(value)
    return f"`{path.removeprefix('.')}` cannot be sent: JSON in UTF-8 cannot represent {shown}."


def json_text(value: Any) -> str:
    """Return the JSON of a value for a model to read, or its `str()` if JSON cannot represent it.

    Raises:
        ValueError: It is nested too deeply, or a number is too long, to be formatted at all.
    """
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        return str(value)


def utf8(text: str) -> bytes:
    """Return a text in UTF-8, with surrogate pairs joined and lone halves replaced by U+FFFD.

    Models sometimes write a lone half, tools repeat it, and DeepSeek rejects it.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        return join_surrogates(text).encode()


def _encoded(value: Any) -> bytes | None:
    try:
        return utf8(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return None
