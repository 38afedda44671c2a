"""The logs API of the REST host: list, look up, give feedback, delete, and the stored bodies.

https://developers.cloudflare.com/api/resources/ai_gateway/subresources/logs/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from langchain_cf_deepseek.local.cloudflare.admission import Settings
from langchain_cf_deepseek.local.exchange import Answer, Call, CallNext, json_answer
from langchain_cf_deepseek.local.faults.error_bodies import rest_refusal
from langchain_cf_deepseek.local.request_log.entries import Body, Log
from langchain_cf_deepseek.local.request_log.filters import refuse
from langchain_cf_deepseek.local.request_log.queries import parse_delete_query, parse_list_query
from langchain_cf_deepseek.local.request_log.store import Logs

JSON = dict[str, Any]

_PATH = re.compile(
    r"accounts/(?P<account>[^/]+)/ai-gateway/gateways/(?P<gateway>[^/]+)/logs"
    r"(?:/(?P<id>[^/]+)(?P<part>/request|/response)?)?"
)
NOT_FOUND = 7002
HEAD_CHARACTERS = 4096
"""How much of a body an entry itself shows."""

_RANGES = {"feedback": (-1, 1), "score": (0, 100)}


class LogsAPI:
    """Answers what the management part of the REST host answers about logs."""

    def __init__(self, settings: Settings, logs: Logs) -> None:
        self._settings = settings
        self._logs = logs
        self._of_all: Mapping[str, Callable[[Call, str], Answer]] = {
            "GET": self._list,
            "DELETE": self._delete,
        }
        self._of_one: Mapping[tuple[str, str | None], Callable[[Call, Log], Answer]] = {
            ("GET", None): _entry,
            ("PATCH", None): _patch,
            ("GET", "/request"): lambda _, log: _stored(log.request, "Request"),
            ("GET", "/response"): lambda _, log: _stored(log.response, "Response"),
        }

    async def step(self, call: Call, call_next: CallNext) -> Answer:
        """Answer a call about logs, and let every other one proceed."""
        path = _PATH.fullmatch(call.endpoint)
        if path is None or path["account"] != self._settings.account_id:
            return await call_next()
        if path["gateway"] not in {self._settings.gateway_id, "default"}:
            raise rest_refusal(404, (NOT_FOUND, "Gateway not found"))
        method = call.request.method
        if path["id"] is None:
            if method not in self._of_all:
                return await call_next()
            return self._of_all[method](call, path["gateway"])
        if (method, path["part"]) not in self._of_one:
            return await call_next()
        for log in self._logs.of(path["gateway"]):
            if log.row["id"] == path["id"]:
                return self._of_one[method, path["part"]](call, log)
        raise rest_refusal(404, (NOT_FOUND, "Log not found"))

    def _list(self, call: Call, gateway: str) -> Answer:
        query = parse_list_query(call.request.query)
        found = query.matches(self._logs.of(gateway))
        page = query.paged(found)
        info = {
            "page": query.page,
            "per_page": query.per_page,
            "count": len(page),
            "total_count": len(found),
        }
        return _success([log.row for log in page], result_info=info)

    def _delete(self, call: Call, gateway: str) -> Answer:
        query = parse_delete_query(call.request.query)
        self._logs.remove(query.paged(query.matches(self._logs.of(gateway))))
        return _success({})


def _success(result: object, **others: object) -> Answer:
    return json_answer(
        200, {"result": result, "success": True, "errors": [], "messages": [], **others}
    )


def _entry(_: Call, log: Log) -> Answer:
    return _success({**log.row, **_head("request", log.request), **_head("response", log.response)})


def _head(name: str, body: Body | None) -> JSON:
    text = None if body is None else body.data.decode(errors="replace")
    return {
        f"{name}_size": 0 if body is None else len(body.data),
        f"{name}_head": text and text[:HEAD_CHARACTERS],
        f"{name}_head_complete": text is not None and len(text) <= HEAD_CHARACTERS,
    }


def _stored(body: Body | None, name: str) -> Answer:
    if body is None:
        raise rest_refusal(404, (NOT_FOUND, f"{name} not found"))
    return Answer(200, body.data, body.content_type)


def _patch(call: Call, log: Log) -> Answer:
    changes = call.request.body
    if not isinstance(changes, dict):
        refuse("Expected object")
    for name, (least, most) in _RANGES.items():
        value = changes.get(name)
        if value is not None and not (_is_number(value) and least <= value <= most):
            refuse(f"{name}: expected number between {least} and {most}")
    tags = changes.get("metadata")
    if tags is not None and not (
        isinstance(tags, dict) and all(isinstance(tag, str | int | float) for tag in tags.values())
    ):
        refuse("metadata: expected strings, numbers and booleans")
    log.row |= {name: changes[name] for name in _RANGES if name in changes}
    if "metadata" in changes:
        log.row["metadata"] = tags or {}
    return _success({})


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
