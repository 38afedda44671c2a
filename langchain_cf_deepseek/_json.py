"""JSON for the wire; what it cannot carry is named, not guessed at."""

import json
import reprlib
from typing import Any

from langchain_cf_deepseek._surrogates import join_surrogates

# Deeper than any body goes, and the end of one that holds itself.
_MAX_DEPTH_NAMED = 32


def encode(body: dict[str, Any]) -> bytes:
    """Return the body of a request.

    Raises:
        ValueError: It holds what JSON in UTF-8 has no form for; the text says where, and what.
    """
    encoded = _encoded(body)
    if encoded is None:
        raise ValueError(encoding_error_message(body))
    return encoded


def encoding_error_message(value: Any, place: str = "") -> str:
    """Return what is wrong with a value that cannot be sent.

    Args:
        value: The value.
        place: Where it stands in the request.
    """
    for _ in range(_MAX_DEPTH_NAMED):
        entries: Any = value.items() if isinstance(value, dict) else ()
        if isinstance(value, list | tuple):
            entries = enumerate(value)
        culprit = next((entry for entry in entries if _encoded(entry[1]) is None), None)
        if culprit is None:
            break
        key, value = culprit
        place += f"[{key}]" if isinstance(key, int) else f".{key}"
    # Such a number is too long to be written, here too.
    shown = "so long a number" if isinstance(value, int) else reprlib.repr(value)
    return f"`{place.removeprefix('.')}` cannot be sent: JSON in UTF-8 has no form for {shown}."


def json_text(value: Any) -> str:
    """Return the JSON of a value for a model to read; what JSON has no form for, as Python has it.

    Raises:
        ValueError: It is nested too deeply, or a number too long, to be written at all.
    """
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        return str(value)


def utf8(text: str) -> bytes:
    """Return a text in UTF-8: two halves of a surrogate pair are one character, one is U+FFFD.

    Models write a lone half now and then, tools repeat it, and DeepSeek refuses it.
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
