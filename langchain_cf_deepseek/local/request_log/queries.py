"""Queries of the logs API: filters, order and pages.

The official Python SDK sends a filter as `filters.key`, `filters.operator` and `filters.value`; a
JSON array in `filters` is the alternative. Here both work, except that the SDK's form is ambiguous
for several filters with several values; Cloudflare itself was observed to ignore all but the JSON
array, and then to return every log.
https://developers.cloudflare.com/api/resources/ai_gateway/subresources/logs/methods/list/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import eq
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from langchain_cf_deepseek.local.exchange import parse_json
from langchain_cf_deepseek.local.faults.error_bodies import rest_refusal
from langchain_cf_deepseek.local.request_log.entries import JSON, LogEntry

INVALID = 7001
PER_PAGE = 20
MAX_PER_PAGE = 50
MAX_DELETED = 10_000

_ORDERS = ("created_at", "provider", "model", "model_type", "success", "cached")
_DIRECTIONS = ("asc", "desc")
_FLAGS = ("success", "cached")
_PLAIN_FILTERS = (*_FLAGS, "provider", "model")
_FILTER_KEYS = (*_PLAIN_FILTERS, "id", "event_id", "metadata.key", "metadata.value")
_PARAMETERS = {
    *_PLAIN_FILTERS,
    *("filters", "filters.key", "filters.operator", "filters.value"),
    *("order_by", "order_by_direction", "direction"),
    *("page", "per_page", "limit", "meta_info"),
}

_Pairs = Sequence[tuple[str, str]]


def refuse(reason: str) -> NoReturn:
    """Refuse a request with invalid parameters."""
    raise rest_refusal(400, (INVALID, reason))


def _one_of(choices: Sequence[str], value: object) -> str:
    if not isinstance(value, str) or value not in choices:
        expected = " | ".join(map(repr, choices))
        refuse(f"Invalid enum value. Expected {expected}, received {value!r}")
    return value


def _contains(text: str, part: str) -> bool:
    return part.lower() in text.lower()


_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "eq": eq,
    "neq": eq,
    "contains": _contains,
}


@dataclass(frozen=True)
class _Filter:
    """One condition: any text of the entry under `key` matches any of the values."""

    key: str
    operator: str
    values: Sequence[str]

    def matches(self, row: JSON) -> bool:
        compare = _OPERATORS[self.operator]
        texts = _texts(row, self.key)
        is_match = any(compare(text, value) for text in texts for value in self.values)
        return is_match != (self.operator == "neq")


@dataclass(frozen=True)
class Query:
    """The logs that are requested."""

    filters: Sequence[_Filter]
    order_by: str
    descending: bool
    page: int
    per_page: int

    def matching(self, logs: Sequence[LogEntry]) -> list[LogEntry]:
        """Return the logs of all pages, in order."""
        found = [log for log in logs if all(each.matches(log.row) for each in self.filters)]
        found.sort(key=self._sort_key, reverse=self.descending)
        return found

    def requested_page(self, logs: Sequence[LogEntry]) -> Sequence[LogEntry]:
        """Return the logs of the requested page."""
        start = (self.page - 1) * self.per_page
        return logs[start : start + self.per_page]

    def _sort_key(self, log: LogEntry) -> tuple[Any, ...]:
        value = log.row[self.order_by]
        return value is not None, value or 0, log.row["id"]


def parse_list_query(query: str) -> Query:
    """Parse the query string of a list; raises `RefusedError` with code 7001."""
    pairs = parse_qsl(query)
    page = _parse_count(pairs, "page", 1)
    return _parse(pairs, page, _parse_count(pairs, "per_page", PER_PAGE, MAX_PER_PAGE))


def parse_delete_query(query: str) -> Query:
    """Parse the query string of a deletion; raises `RefusedError` with code 7001."""
    pairs = parse_qsl(query)
    return _parse(pairs, 1, _parse_count(pairs, "limit", MAX_DELETED, MAX_DELETED))


def _parse(pairs: _Pairs, page: int, per_page: int) -> Query:
    parameters = dict(pairs)
    # Ignoring a filter would return, or delete, other logs than requested.
    if unsupported := parameters.keys() - _PARAMETERS:
        refuse(f"{min(unsupported)}: the local gateway does not support this parameter")
    plain = [
        {"key": name, "operator": "eq", "value": [parameters[name]]}
        for name in _PLAIN_FILTERS
        if name in parameters
    ]
    direction = parameters.get("order_by_direction", parameters.get("direction", "desc"))
    return Query(
        filters=[_parse_filter(each) for each in (*plain, *_json_filters(pairs))],
        order_by=_one_of(_ORDERS, parameters.get("order_by", "created_at")),
        descending=_one_of(_DIRECTIONS, direction) == "desc",
        page=page,
        per_page=per_page,
    )


def _parse_count(pairs: _Pairs, name: str, default: int, maximum: int | None = None) -> int:
    text = dict(pairs).get(name, str(default))
    count = int(text) if text.isdecimal() else 0
    if count < 1 or (maximum is not None and count > maximum):
        bound = "" if maximum is None else f" and at most {maximum}"
        refuse(f"{name}: expected a whole number, at least 1{bound}")
    return count


def _json_filters(pairs: _Pairs) -> Iterator[JSON]:
    """Yield the filters of a query as JSON, in whichever form they were sent."""
    parts: dict[str, list[str]] = {}
    for name, value in pairs:
        parts.setdefault(name, []).append(value)
    for listed in map(parse_json, parts.get("filters", ())):
        if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
            refuse("filters: expected an array of objects")
        yield from listed
    keys, operators, values = (
        parts.get(f"filters.{part}", []) for part in ("key", "operator", "value")
    )
    if len(keys) != len(operators):
        refuse("filters: expected a key and an operator in each")
    # The SDK's HTTP library sends the parameters of one name together, so that values cannot be
    # assigned to filters.
    values_of_each = [values] if len(keys) == 1 else [[value] for value in values]
    if len(values_of_each) != len(keys):
        refuse("filters: expected one value in each, or a JSON array of filters in `filters`")
    for key, operator, own_values in zip(keys, operators, values_of_each, strict=True):
        yield {"key": key, "operator": operator, "value": own_values}


def _parse_filter(given: JSON) -> _Filter:
    key = _one_of(_FILTER_KEYS, given.get("key"))
    operator = _one_of(tuple(_OPERATORS), given.get("operator"))
    values = given.get("value")
    if not isinstance(values, list) or not values:
        refuse("filters: expected an array of values")
    texts = [_text(value) for value in values]
    if key in _FLAGS:
        texts = [_one_of(("true", "false"), text) for text in texts]
    return _Filter(key, operator, texts)


def _texts(row: JSON, key: str) -> list[str]:
    if key == "metadata.key":
        return list(row["metadata"])
    if key == "metadata.value":
        return list(map(_text, row["metadata"].values()))
    return [_text(row[key])]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
