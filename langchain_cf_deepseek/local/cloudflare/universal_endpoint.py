"""The universal endpoint: an array of requests, each tried when the one before it fails.

https://developers.cloudflare.com/ai-gateway/usage/universal/
"""

from __future__ import annotations

from functools import partial
from typing import Any

from langchain_cf_deepseek.local.exchange import (
    Call,
    CallNext,
    GatewayResponse,
    first_success,
    response_or_refusal,
    should_fall_back,
)
from langchain_cf_deepseek.local.faults.error_bodies import refusal

BAD_FORMAT = 2019

_CONFIG_HEADERS = {
    "cacheTtl": "cf-aig-cache-ttl",
    "skipCache": "cf-aig-skip-cache",
    "requestTimeout": "cf-aig-request-timeout",
    "maxAttempts": "cf-aig-max-attempts",
    "retryDelay": "cf-aig-retry-delay",
    "backoff": "cf-aig-backoff",
}
"""Key of an entry's `config` -> the equivalent header."""


async def try_entries(call: Call, call_next: CallNext) -> GatewayResponse:
    """Try one entry after another; `cf-aig-step` is the number of the one that responded."""
    entries = call.request.body
    if not isinstance(entries, list) or not entries or not all(map(_is_entry, entries)):
        raise refusal(call, BAD_FORMAT)
    headers = call.request.headers
    attempts = [
        partial(_attempt, call, call_next, step, entry, headers)
        for step, entry in enumerate(entries)
    ]
    return await first_success(call, attempts, should_fall_back)


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("provider"), str)
        and isinstance(entry.get("endpoint"), str)
        and all(isinstance(entry.get(key, {}), dict) for key in ("headers", "query", "config"))
    )


async def _attempt(
    call: Call, call_next: CallNext, step: int, entry: dict[str, Any], headers: dict[str, str]
) -> GatewayResponse:
    """Send one entry to its provider; its headers override those of the whole request."""
    config = {
        header: str(value).lower()
        for key, header in _CONFIG_HEADERS.items()
        if (value := entry.get("config", {}).get(key)) is not None
    }
    own = {name.lower(): str(value) for name, value in entry.get("headers", {}).items()}
    call.rewrite(entry.get("query", {}), {**headers, **config, **own})
    call.endpoint = f"{entry['provider']}/{entry['endpoint'].lstrip('/')}"
    call.gateway_headers["cf-aig-step"] = str(step)
    return await response_or_refusal(call_next)
