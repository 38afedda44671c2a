"""JSON in the text of a response, never completed by guess."""

import json
import re
from typing import Any

from langchain_cf_deepseek._surrogates import join_json_surrogates

_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL | re.IGNORECASE)

_DECODER = json.JSONDecoder(strict=False)


def read_json(text: str) -> Any:
    """Return the first JSON object or array in `text`, fenced or not, or the one value it is.

    What stands behind it does not count: DeepSeek's JSON mode lets it pass.

    Raises:
        ValueError: There is none, or it is not whole.
    """
    for place in _candidates(join_json_surrogates(text)):
        start = json_start(place)
        try:
            return _DECODER.raw_decode(place, start)[0] if start >= 0 else json.loads(place)
        except (ValueError, RecursionError):
            continue
    msg = "the text holds no whole JSON value"
    raise ValueError(msg)


def is_whole_json(text: str) -> bool:
    """Return whether `read_json` finds a value."""
    try:
        read_json(text)
    except ValueError:
        return False
    return True


def json_start(text: str) -> int:
    """Return where the first JSON object or array of `text` begins; -1 if none does."""
    places = [place for bracket in "{[" if (place := text.find(bracket)) >= 0]
    return min(places, default=-1)


def _candidates(text: str) -> list[str]:
    fenced = _FENCED.search(text)
    return [fenced[1], text] if fenced else [text]
