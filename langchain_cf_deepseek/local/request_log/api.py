"""The logs API of the REST host: list, get, edit, delete, and the stored bodies.

https://developers.cloudflare.com/api/resources/ai_gateway/subresources/logs/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from langchain_cf_deepseek.local.cloudflare.admission import Settings
from langchain_cf_deepseek.local.exchange import Call, CallNext, GatewayResponse, json_response
from langchain_cf_deepseek.local.faults.error_bodies import rest_refusal
from langchain_cf_deepseek.local.request_log.entries import Body, LogEntry
from langchain_cf_deepseek.local.request_log.queries import (
    parse_delete_query,
    parse_list_query,
    refuse,
)
from langchain_cf_deepseek.local.request_log.store import LogStore

JSON = dict[str, Any]

_PATH = re.compile(
    r"accounts/(?P<account>[^/]+)/ai-gateway/gateways/(?P<gateway>[^/]+)/logs"
    r"(?:/(?P<id>[^/]+)(?P<part>/request|/response)?)?"
)
NOT_FOUND = 7002
MAX_HEAD_CHARACTERS = 4096
"""How much of a body an entry contains."""

_RANGES = {"feedback": (-1, 1), "score": (0, 100)}


class LogsAPI:
    """Serves the part of Cloudflare's REST API that manages logs."""

    def __init__(self, settings: Settings, logs: LogStore) -> None:
        self._settings = settings
        self._logs = logs
        self._list_methods: Mapping[str, Callable[[Call, str], GatewayResponse]] = {
            "GET": self._list,
            "DELETE": self._delete,
        }
        self._entry_methods: Mapping[
            tuple[str, str | None], Callable[[Call, LogEntry], GatewayResponse]
        ] = {
            ("GET", None): _get,
            ("PATCH", None): _patch,
            ("GET", "/request"): lambda _, log: _stored_body(log.request, "Request"),
            ("GET", "/response"): lambda _, log: _stored_body(log.response, "Response"),
        }

    async def step(self, call: Call, call_next: CallNext) -> GatewayResponse:
        """Respond to a request for logs, and let every other call proceed."""
        path = _PATH.fullmatch(call.endpoint)
        if path is None or path["account"] != self._settings.account_id:
            return await call_next()
        if path["gateway"] not in {self._settings.gateway_id, "default"}:
            raise rest_refusal(404, (NOT_FOUND, "Gateway not found"))
        method = call.request.method
        if path["id"] is None:
            if method not in self._list_methods:
                return await call_next()
            return self._list_methods[method](call, path["gateway"])
        if (method, path["part"]) not in self._entry_methods:
            return await call_next()
        for log in self._logs.visible(path["gateway"]):
            if log.row["id"] == path["id"]:
                return self._entry_methods[method, path["part"]](call, log)
        raise rest_refusal(404, (NOT_FOUND, "Log not found"))

    def _list(self, call: Call, gateway: str) -> GatewayResponse:
        query = parse_list_query(call.request.query)
        found = query.matching(self._logs.visible(gateway))
        page = query.requested_page(found)
        info = {
            "page": query.page,
            "per_page": query.per_page,
            "count": len(page),
            "total_count": len(found),
        }
        return _success([log.row for log in page], result_info=info)

    def _delete(self, call: Call, gateway: str) -> GatewayResponse:
        query = parse_delete_query(call.request.query)
        found = query.matching(self._logs.visible(gateway))
        self._logs.remove(query.requested_page(found))
        return _success({})


def _success(result: object, **others: object) -> GatewayResponse:
    return json_response(
        200, {"result": result, "success": True, "errors": [], "messages": [], **others}
    )


def _get(_: Call, log: LogEntry) -> GatewayResponse:
    return _success({**log.row, **_head("request", log.request), **_head("response", log.response)})


def _head(name: str, body: Body | None) -> JSON:
    text = None if body is None else body.data.decode(errors="replace")
    return {
        f"{name}_size": 0 if body is None else len(body.data),
        f"{name}_head": text and text[:MAX_HEAD_CHARACTERS],
        f"{name}_head_complete": text is not None and len(text) <= MAX_HEAD_CHARACTERS,
    }


def _stored_body(body: Body | None, name: str) -> GatewayResponse:
    if body is None:
        raise rest_refusal(404, (NOT_FOUND, f"{name} not found"))
    return GatewayResponse(200, body.data, body.content_type)


def _patch(call: Call, log: LogEntry) -> GatewayResponse:
    changes = call.request.body
    if not isinstance(changes, dict):
        refuse("Expected object")
    for name, (minimum, maximum) in _RANGES.items():
        value = changes.get(name)
        if value is not None and not (_is_number(value) and minimum <= value <= maximum):
            refuse(f"{name}: expected number between {minimum} and {maximum}")
    metadata = changes.get("metadata")
    if metadata is not None and not (
        isinstance(metadata, dict)
        and all(isinstance(value, str | int | float) for value in metadata.values())
    ):
        refuse("metadata: expected strings, numbers and booleans")
    log.row |= {name: changes[name] for name in _RANGES if name in changes}
    if "metadata" in changes:
        log.row["metadata"] = metadata or {}
    return _success({})


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
