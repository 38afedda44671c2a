"""JSON in the text of a response, never completed by guess."""

import json
import re
from typing import Any

from langchain_cf_deepseek._surrogates import join_json_surrogates

_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL | re.IGNORECASE)

DECODER = json.JSONDecoder(strict=False)
"""Accepts unescaped line breaks in strings, which models write now and then."""


def read_json(text: str) -> Any:
    """Return the first JSON object or array in `text`, fenced or not, or the value that is `text`.

    Text after it is ignored: DeepSeek's JSON mode allows it.

    Raises:
        ValueError: There is no JSON, or it is incomplete.
    """
    for candidate in _candidates(join_json_surrogates(text)):
        start = find_json_start(candidate)
        try:
            return DECODER.raw_decode(candidate, start)[0] if start >= 0 else json.loads(candidate)
        except (ValueError, RecursionError):
            continue
    msg = "the text holds no complete JSON value"
    raise ValueError(msg)


def contains_json(text: str) -> bool:
    """Return whether `read_json` finds a value."""
    try:
        read_json(text)
    except ValueError:
        return False
    return True


def find_json_start(text: str) -> int:
    """Return the index of the first JSON object or array in `text`; -1 without one."""
    starts = [start for bracket in "{[" if (start := text.find(bracket)) >= 0]
    return min(starts, default=-1)


def _candidates(text: str) -> list[str]:
    fenced = _FENCED.search(text)
    return [fenced[1], text] if fenced else [text]
