"""Which logs a request of the logs API is about: filters, search, order and pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from langchain_cf_deepseek.local.request_log.entries import Log
from langchain_cf_deepseek.local.request_log.filters import (
    Filter,
    Pairs,
    contains,
    number,
    one_of,
    parse_filters,
    refuse,
)

PER_PAGE = 20
MAX_PER_PAGE = 50
MAX_DELETED = 10_000

_ORDERS = ("created_at", "provider", "model", "model_type", "success", "cached")
_DELETE_ORDERS = (*_ORDERS, "cost", "tokens_in", "tokens_out", "duration", "feedback")
_DIRECTIONS = ("asc", "desc")


@dataclass(frozen=True)
class Query:
    """What is asked for."""

    filters: Sequence[Filter]
    search: str
    order_by: str
    descending: bool
    page: int
    per_page: int

    def matches(self, logs: Sequence[Log]) -> list[Log]:
        """Return all logs that are asked for, in order, whatever their page."""
        found = [log for log in logs if self._passes(log)]
        found.sort(key=self._rank, reverse=self.descending)
        return found

    def paged(self, logs: Sequence[Log]) -> Sequence[Log]:
        """Return the page that is asked for."""
        start = (self.page - 1) * self.per_page
        return logs[start : start + self.per_page]

    def _passes(self, log: Log) -> bool:
        row = log.row
        tags = [f"{key}={value}" for key, value in row["metadata"].items()]
        texts = [row["id"], row["event_id"], row["provider"], row["model"], *tags]
        return any(contains(text, self.search) for text in texts) and all(
            condition.passes(row) for condition in self.filters
        )

    def _rank(self, log: Log) -> tuple[Any, ...]:
        fact = log.row[self.order_by]
        return fact is not None, fact or 0, log.row["id"]


def parse_list_query(query: str) -> Query:
    """Read the query string of a list; raises `RefusedError` with code 7001."""
    pairs = parse_qsl(query)
    page = _count(pairs, "page", 1)
    return _read(pairs, _ORDERS, page, _count(pairs, "per_page", PER_PAGE, MAX_PER_PAGE))


def parse_delete_query(query: str) -> Query:
    """Read the query string of a deletion; raises `RefusedError` with code 7001."""
    pairs = parse_qsl(query)
    return _read(pairs, _DELETE_ORDERS, 1, _count(pairs, "limit", MAX_DELETED, MAX_DELETED))


def _read(pairs: Pairs, orders: Sequence[str], page: int, per_page: int) -> Query:
    given = dict(pairs)
    direction = given.get("order_by_direction", given.get("direction", "desc"))
    return Query(
        filters=parse_filters(pairs),
        search=given.get("search", ""),
        order_by=one_of(orders, given.get("order_by", "created_at")),
        descending=one_of(_DIRECTIONS, direction) == "desc",
        page=page,
        per_page=per_page,
    )


def _count(pairs: Pairs, name: str, usual: int, most: int | None = None) -> int:
    count = number(dict(pairs).get(name, str(usual)))
    if count < 1 or (most is not None and count > most) or count != int(count):
        bound = "" if most is None else f" and at most {most}"
        refuse(f"{name}: expected a whole number, at least 1{bound}")
    return int(count)
