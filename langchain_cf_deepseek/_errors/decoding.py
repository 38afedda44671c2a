"""Decodes the bytes of a body into JSON or text."""

import codecs
import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any


def remove_control_characters(text: str) -> str:
    """Return a text without control characters, which a terminal would execute."""
    if text.isprintable():
        return text
    return "".join(char for char in text if char in "\t\n" or unicodedata.category(char) != "Cc")


def parse_json_or_text(content: bytes) -> Any:
    """Return the JSON value of a body, or its text if it is not JSON."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content.decode(errors="replace")


def parse_error_body(content: bytes, headers: Mapping[str, str]) -> Any:
    """Return the JSON value of a body or its text; a description of a binary body."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        text = _decode_text(content, headers)
    if text is not None:
        return text
    encoding = headers.get("content-encoding")
    suffix = f", with content encoding {encoding[:40]!a}" if encoding else ""
    return f"a body of {len(content)} bytes that is not text{suffix}"


def _decode_text(content: bytes, headers: Mapping[str, str]) -> str | None:
    """Return the text of a body, without an incomplete last character; `None` if it is binary."""
    charset = re.search(r"charset=\"?([\w.:-]+)", headers.get("content-type", ""), re.IGNORECASE)
    for encoding in ("utf-8", *(charset.groups() if charset else ())):
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(content)
        except (LookupError, ValueError):
            continue
        if remove_control_characters(text) == text.replace("\r", "").replace("\f", ""):
            return text
    return None


def is_html(text: str) -> bool:
    """Return whether a text is an HTML page."""
    return text[:200].lstrip().lower().startswith(("<!doctype html", "<html"))
