"""The rate limit of a gateway: requests per period of time, for all callers together."""

from __future__ import annotations

import time
from dataclasses import dataclass

from langchain_cf_deepseek.local.cloudflare.time_windows import Clock, Technique, Window
from langchain_cf_deepseek.local.exchange import Call, CallNext, GatewayResponse
from langchain_cf_deepseek.local.faults.error_bodies import refusal

RATE_LIMITED = 2003


@dataclass(frozen=True)
class RateLimit:
    """How many requests a gateway allows; responses from the cache do not count.

    Example:
        ```python
        LocalGateway(rules=Rules(rate_limit=RateLimit(requests=10, seconds=60)))
        ```
    """

    requests: int
    seconds: float
    technique: Technique = "fixed"


class RateLimiter:
    """Counts requests, and refuses those above the limit; refused requests do not count."""

    def __init__(self, limit: RateLimit | None, clock: Clock = time.monotonic) -> None:
        self._limit = limit
        self._window = Window(limit.seconds, limit.technique, clock) if limit else None

    async def step(self, call: Call, call_next: CallNext) -> GatewayResponse:
        """Refuse a call above the limit, without a `retry-after` header."""
        if self._limit and self._window:
            if self._window.total >= self._limit.requests:
                raise refusal(call, RATE_LIMITED)
            self._window.add(1)
        return await call_next()
