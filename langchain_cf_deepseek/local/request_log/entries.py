"""One log entry: what the gateway stores of a call.

https://developers.cloudflare.com/ai-gateway/observability/logging/
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from langchain_cf_deepseek.local.cloudflare.metadata import parse_metadata
from langchain_cf_deepseek.local.cloudflare.metering import price_call
from langchain_cf_deepseek.local.cloudflare.prices import Usage, usage_of
from langchain_cf_deepseek.local.deepseek.models import Model
from langchain_cf_deepseek.local.event_streams import assemble_completion
from langchain_cf_deepseek.local.exchange import (
    EVENT_STREAM,
    Call,
    GatewayResponse,
    dump,
    parse_json,
)

JSON = dict[str, Any]

MAX_BODY_BYTES = 10_000_000
"""The maximum size of request and response together that Cloudflare stores."""

_PROVIDER_OF_PREFIX = {"@cf": "workers-ai", "cloudflare": "workers-ai", "dynamic": "deepseek"}


@dataclass(frozen=True)
class Body:
    """A body as it was sent or received; the chunks of a stream are assembled."""

    data: bytes
    content_type: str | None


@dataclass
class LogEntry:
    """One call in the log."""

    gateway: str
    row: JSON
    """The entry as the API returns it."""
    request: Body | None = None
    response: Body | None = None
    """Both are None where the request turned payload logging off, or they are too large."""
    visible_from: float = 0
    """When it becomes visible, in seconds of the store's clock."""

    @property
    def stored_bytes(self) -> int:
        """The size of both bodies."""
        return sum(len(body.data) for body in (self.request, self.response) if body is not None)


class PendingLogEntry:
    """The log entry of a call in progress."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._start = time.perf_counter()
        self._provider = _provider(call)
        # Later steps can rewrite the body.
        self._raw = call.raw

    def finish(
        self, response: GatewayResponse, raw: bytes, models: Mapping[str, Model]
    ) -> LogEntry:
        """Create the entry of the completed call.

        Args:
            response: The response.
            raw: The whole body of the response.
            models: The models served, for their prices.
        """
        call = self._call
        headers = call.request.headers
        completion, body = _parse_response(response, raw)
        row = {
            "id": call.log_id,
            "created_at": _now(),
            "event_id": headers.get("cf-aig-event-id", call.log_id),
            "path": call.endpoint,
            "step": int(call.gateway_headers.get("cf-aig-step", 0)),
            "duration": round((time.perf_counter() - self._start) * 1000),
            "success": response.status < HTTPStatus.BAD_REQUEST,
            "status_code": response.status,
            "cached": call.gateway_headers.get("cf-aig-cache-status") == "HIT",
            "model": call.model,
            "model_type": None,
            "metadata": parse_metadata(headers),
            "feedback": None,
            "score": None,
            "request_type": None,
            "request_content_type": headers.get("content-type"),
            "response_content_type": response.content_type,
            "user_agent": headers.get("user-agent"),
            "authentication": "cf-aig-authorization" in headers,
            "wholesale": call.unified_billing,
            "compatibilityMode": call.routing == "compat",
            "dlp_action": (parse_json(call.gateway_headers.get("cf-aig-dlp", "")) or {}).get(
                "action"
            ),
        }
        log = LogEntry(
            call.gateway or "default", row | self._price(row, usage_of(completion), models)
        )
        stores_bodies = headers.get("cf-aig-collect-log-payload") != "false"
        if stores_bodies and len(self._raw) + len(body.data) <= MAX_BODY_BYTES:
            log.request = Body(self._raw, headers.get("content-type"))
            log.response = body
        return log

    def _price(self, row: JSON, usage: Usage, models: Mapping[str, Model]) -> JSON:
        """Return provider, tokens and cost; a refusal or a HIT costs nothing."""
        provider, dollars, custom = price_call(self._call, usage, models)
        if not row["success"] or row["cached"]:
            dollars, custom = 0.0, False
        return {
            "provider": provider or self._provider,
            "tokens_in": 0 if row["cached"] else usage.tokens_in,
            "tokens_out": usage.tokens_out,
            "cost": dollars,
            "custom_cost": custom,
        }


def _provider(call: Call) -> str:
    """Return the provider of a call, as far as its endpoint and its model show it."""
    if call.routing == "provider-native":
        return call.endpoint.partition("/")[0]
    body = call.request.body
    model = str(body.get("model", "")) if isinstance(body, dict) else ""
    prefix = model.partition("/")[0]
    return _PROVIDER_OF_PREFIX.get(prefix, prefix)


def _parse_response(response: GatewayResponse, raw: bytes) -> tuple[JSON, Body]:
    """Return the completion in a response, or `{}`, and the body to store."""
    if EVENT_STREAM not in (response.content_type or ""):
        completion = parse_json(raw)
        is_json = completion is not None
        body = Body(raw, "application/json" if is_json else response.content_type)
        return completion if isinstance(completion, dict) else {}, body
    try:
        completion = assemble_completion(raw)
    except (AttributeError, KeyError, IndexError, TypeError):
        # An upstream can stream anything: what is not a completion is stored unchanged.
        return {}, Body(raw, response.content_type)
    return completion, Body(dump(completion), "application/json")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
