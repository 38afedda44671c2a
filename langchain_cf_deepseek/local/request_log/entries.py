"""One log entry: what is kept of a call and of its answer.

https://developers.cloudflare.com/ai-gateway/observability/logging/
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from langchain_cf_deepseek.local.cloudflare.metadata import parse_metadata
from langchain_cf_deepseek.local.cloudflare.metering import price_call
from langchain_cf_deepseek.local.cloudflare.prices import Usage, usage_of
from langchain_cf_deepseek.local.deepseek.models import Model
from langchain_cf_deepseek.local.event_streams import assemble_completion
from langchain_cf_deepseek.local.exchange import EVENT_STREAM, Answer, Call, dump, parse_json

JSON = dict[str, Any]

MAX_BODY_BYTES = 10_000_000
"""Of request and answer together: the size up to which Cloudflare stores them."""
FIRST_ERROR_STATUS = 400

_PROVIDER_OF_PREFIX = {"@cf": "workers-ai", "cloudflare": "workers-ai", "dynamic": "deepseek"}


@dataclass(frozen=True)
class Body:
    """A body as it was sent or received; the answer of a stream is put together."""

    data: bytes
    content_type: str | None


@dataclass
class Log:
    """What is kept of one call."""

    gateway: str
    row: JSON
    """The entry as the API shows it."""
    request: Body | None = None
    response: Body | None = None
    """Both are None where the call asked for no bodies in its log, or they are too large."""
    visible_from: float = 0
    """When it can be seen, in seconds of the clock of the logs."""

    @property
    def stored_bytes(self) -> int:
        """How much room the bodies take."""
        return sum(len(body.data) for body in (self.request, self.response) if body is not None)


class PendingLogEntry:
    """A call that is under way."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._since = time.perf_counter()
        self._provider = _provider(call)
        # The gateway may rewrite the body on its way.
        self._raw = call.raw

    def ended(self, answer: Answer, raw: bytes, models: Mapping[str, Model]) -> Log:
        """Make the log of the call.

        Args:
            answer: What came of it.
            raw: The whole body of the answer.
            models: The models served, which have prices.
        """
        call = self._call
        headers = call.request.headers
        completion, response = _read(answer, raw)
        row = {
            "id": call.log_id,
            "created_at": _now(),
            "event_id": headers.get("cf-aig-event-id", call.log_id),
            "path": call.endpoint,
            "step": int(call.facts.get("cf-aig-step", 0)),
            "duration": round((time.perf_counter() - self._since) * 1000),
            "success": answer.status < FIRST_ERROR_STATUS,
            "status_code": answer.status,
            "cached": call.facts.get("cf-aig-cache-status") == "HIT",
            "model": call.model,
            "model_type": None,
            "metadata": parse_metadata(headers),
            "feedback": None,
            "score": None,
            "request_type": None,
            "request_content_type": headers.get("content-type"),
            "response_content_type": answer.content_type,
            "user_agent": headers.get("user-agent"),
            "authentication": "cf-aig-authorization" in headers,
            "wholesale": call.billed,
            "compatibilityMode": call.routing == "compat",
            "dlp_action": (parse_json(call.facts.get("cf-aig-dlp", "")) or {}).get("action"),
        }
        log = Log(call.gateway or "default", row | self._price(row, usage_of(completion), models))
        payload = headers.get("cf-aig-collect-log-payload") != "false"
        if payload and len(self._raw) + len(response.data) <= MAX_BODY_BYTES:
            log.request = Body(self._raw, headers.get("content-type"))
            log.response = response
        return log

    def _price(self, row: JSON, usage: Usage, models: Mapping[str, Model]) -> JSON:
        """Tell who served the call, the tokens, and the cost: none for a refusal or a HIT."""
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
    """Name the provider of a call, as far as its address and its model tell."""
    if call.routing == "provider-native":
        return call.endpoint.partition("/")[0]
    body = call.request.body
    model = str(body.get("model", "")) if isinstance(body, dict) else ""
    prefix = model.partition("/")[0]
    return _PROVIDER_OF_PREFIX.get(prefix, prefix)


def _read(answer: Answer, raw: bytes) -> tuple[JSON, Body]:
    """Return the chat completion of an answer, `{}` where it is none, and the body to be stored."""
    if EVENT_STREAM not in (answer.content_type or ""):
        completion = parse_json(raw)
        is_json = completion is not None
        body = Body(raw, "application/json" if is_json else answer.content_type)
        return completion if isinstance(completion, dict) else {}, body
    try:
        completion = assemble_completion(raw)
    except (AttributeError, KeyError, IndexError, TypeError):
        # An upstream may stream anything: what makes no answer is stored as it came.
        return {}, Body(raw, answer.content_type)
    return completion, Body(dump(completion), "application/json")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
