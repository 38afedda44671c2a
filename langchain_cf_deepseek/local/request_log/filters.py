"""What the logs can be filtered by, and how a filter is spelled in a query string.

A filter travels as `filters.key`, `filters.operator` and `filters.value`, as the official Python
SDK sends it, or as one JSON array in `filters`. Here both count, as far as the SDK's spelling tells
which value is whose; Cloudflare itself was seen to ignore all but the JSON array, and then to
answer with every log.
https://developers.cloudflare.com/api/resources/ai_gateway/subresources/logs/methods/list/
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import eq, ge, gt, le, lt
from typing import Any, NoReturn

from langchain_cf_deepseek.local.exchange import parse_json
from langchain_cf_deepseek.local.faults.error_bodies import rest_refusal

JSON = dict[str, Any]
Pairs = Sequence[tuple[str, str]]
"""A query string, taken apart."""

INVALID = 7001


def refuse(reason: str) -> NoReturn:
    """Refuse a request whose parameters are wrong."""
    raise rest_refusal(400, (INVALID, reason))


def one_of(choices: Sequence[str], value: object) -> str:
    """Return `value` if it is among the choices."""
    if not isinstance(value, str) or value not in choices:
        expected = " | ".join(map(repr, choices))
        refuse(f"Invalid enum value. Expected {expected}, received {value!r}")
    return value


def number(value: str) -> float:
    """Read a number."""
    try:
        read = float(value)
    except ValueError:
        read = math.nan
    if not math.isfinite(read):
        refuse(f"Expected number, received {value!r}")
    return read


def _text(value: str) -> str:
    return value


def _flag(value: str) -> bool:
    return one_of(("true", "false"), value) == "true"


def _moment(value: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        refuse(f"Invalid datetime: {value!r}")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_KEYS: Mapping[str, Callable[[str], Any]] = {
    "id": _text,
    "created_at": _moment,
    "request_content_type": _text,
    "response_content_type": _text,
    "request_type": _text,
    "success": _flag,
    "cached": _flag,
    "provider": _text,
    "model": _text,
    "model_type": _text,
    "cost": number,
    "tokens": number,
    "tokens_in": number,
    "tokens_out": number,
    "duration": number,
    "feedback": number,
    "event_id": _text,
    "metadata.key": _text,
    "metadata.value": _text,
    "authentication": _flag,
    "wholesale": _flag,
    "compatibilityMode": _flag,
    "dlp_action": _text,
    "user_agent": _text,
}
"""What can be filtered by, and how a value of it is read."""


def contains(fact: object, wanted: object) -> bool:
    """Whether one text is part of another, in whatever case."""
    return str(wanted).lower() in str(fact).lower()


_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": eq,
    "neq": eq,
    "contains": contains,
    "lt": lt,
    "gt": gt,
}

_PARAMETERS: Mapping[str, tuple[str, Callable[[Any, Any], bool]]] = {
    **{key: (key, eq) for key in ("success", "cached", "provider", "model", "model_type")},
    **{key: (key, eq) for key in ("request_content_type", "response_content_type")},
    "start_date": ("created_at", ge),
    "end_date": ("created_at", le),
    **{f"min_{key}": (key, ge) for key in ("cost", "duration", "tokens_in", "tokens_out")},
    **{f"max_{key}": (key, le) for key in ("cost", "duration", "tokens_in", "tokens_out")},
    "min_total_tokens": ("tokens", ge),
    "max_total_tokens": ("tokens", le),
}
"""The older way to filter: each parameter's key and comparison."""


@dataclass(frozen=True)
class Filter:
    """One condition. It holds where any fact of the log fits any of the values."""

    key: str
    fits: Callable[[Any, Any], bool]
    values: Sequence[Any]
    negated: bool = False

    def passes(self, row: JSON) -> bool:
        """Whether a log's row fulfils the condition."""
        found = any(
            wanted is None if fact is None else wanted is not None and self.fits(fact, wanted)
            for fact in _facts(row, self.key)
            for wanted in self.values
        )
        return found != self.negated


def parse_filters(pairs: Pairs) -> list[Filter]:
    """Return the filters of a query; raises `RefusedError` with code 7001."""
    given = dict(pairs)
    filters = [
        Filter(key, fits, [_KEYS[key](given[name])])
        for name, (key, fits) in _PARAMETERS.items()
        if name in given
    ]
    if "feedback" in given:
        filters.append(Filter("feedback", eq, [number(one_of(("0", "1"), given["feedback"]))]))
    return [*filters, *map(_filter, _spelled(pairs))]


def _facts(row: JSON, key: str) -> list[Any]:
    if key == "metadata.key":
        return list(row["metadata"])
    if key == "metadata.value":
        return list(map(_spelling, row["metadata"].values()))
    if key == "tokens":
        return [row["tokens_in"] + row["tokens_out"]]
    return [_moment(row[key]) if key == "created_at" else row[key]]


def _spelled(pairs: Pairs) -> Iterator[JSON]:
    """Yield the filters of a query as JSON, in whichever spelling they came."""
    parts: dict[str, list[str]] = {}
    for name, value in pairs:
        parts.setdefault(name, []).append(value)
    for listed in map(parse_json, parts.get("filters", ())):
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            refuse("filters: expected an array of objects")
        yield from listed
    keys, operators, values = (
        parts.get(f"filters.{part}", []) for part in ("key", "operator", "value")
    )
    if len(keys) != len(operators):
        refuse("filters: expected a key and an operator in each")
    # The HTTP library of the SDK puts parameters of one name side by side, so nothing tells any
    # more which values belong together.
    own: list[list[Any]] = [values or [None]] if len(keys) == 1 else [[value] for value in values]
    if len(own) != len(keys):
        refuse("filters: expected one value in each, or a JSON array of filters in `filters`")
    for key, operator, mine in zip(keys, operators, own, strict=True):
        yield {"key": key, "operator": operator, "value": mine}


def _filter(spelled: JSON) -> Filter:
    key = one_of(tuple(_KEYS), spelled.get("key"))
    operator = one_of(tuple(_OPERATORS), spelled.get("operator"))
    values = spelled.get("value", [None])
    if not isinstance(values, list):
        refuse("filters: expected an array of values")
    read = _text if operator == "contains" else _KEYS[key]
    wanted = [None if value is None else read(_spelling(value)) for value in values]
    return Filter(key, _OPERATORS[operator], wanted, negated=operator == "neq")


def _spelling(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
