"""How often and how long the gateway tries to get a response from the provider."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Literal, get_args

from langchain_cf_deepseek.local.cloudflare.assumptions import Assumptions
from langchain_cf_deepseek.local.exchange import (
    Call,
    CallNext,
    GatewayResponse,
    Stream,
    first_success,
    response_or_refusal,
)
from langchain_cf_deepseek.local.faults.error_bodies import UPSTREAM_FAILED, refusal

Backoff = Literal["constant", "linear", "exponential"]

MAX_ATTEMPTS = 5
MAX_DELAY_MS = 5000


@dataclass(frozen=True)
class Retries:
    """How the gateway retries; the headers of a request override it.

    https://developers.cloudflare.com/ai-gateway/configuration/request-handling/
    """

    max_attempts: int = 1
    """Number of attempts, 1 to 5."""
    retry_delay_ms: int = 100
    """Milliseconds between two attempts, at most 5000."""
    backoff: Backoff = "constant"
    """How the delay grows with each attempt."""
    request_timeout_ms: int | None = None
    """Milliseconds to wait for the first byte; the last of several attempts has no limit."""

    def overridden_by(self, headers: Mapping[str, str]) -> Retries:
        """Return these settings as overridden by the headers of a request."""
        attempts = _number(headers, "cf-aig-max-attempts", self.max_attempts)
        backoff = headers.get("cf-aig-backoff")
        return Retries(
            min(max(attempts or 1, 1), MAX_ATTEMPTS),
            min(_number(headers, "cf-aig-retry-delay", self.retry_delay_ms) or 0, MAX_DELAY_MS),
            next((known for known in get_args(Backoff) if known == backoff), self.backoff),
            _number(headers, "cf-aig-request-timeout", self.request_timeout_ms),
        )

    def delay(self, failed: int) -> float:
        """Seconds to wait after the given number of failed attempts."""
        growth = {"constant": 1, "linear": failed, "exponential": 1 << failed - 1}
        return self.retry_delay_ms * growth[self.backoff] / 1000

    def timeout(self, failed: int) -> float | None:
        """Seconds to wait for the first byte, after the given number of failed attempts."""
        last_of_several = self.max_attempts > 1 and failed == self.max_attempts - 1
        if self.request_timeout_ms is None or last_of_several:
            return None
        return self.request_timeout_ms / 1000


class Attempts:
    """Makes the attempts, and counts them."""

    def __init__(self, retries: Retries, assumptions: Assumptions) -> None:
        self.count = 0
        self._retries = retries
        self._assumptions = assumptions

    async def step(self, call: Call, call_next: CallNext) -> GatewayResponse:
        """Make attempts until a response needs no retry."""
        plan = self._retries.overridden_by(call.request.headers)
        attempts = [
            partial(self._attempt, call, call_next, plan, failed)
            for failed in range(plan.max_attempts)
        ]
        return await first_success(call, attempts, self._should_retry)

    async def _attempt(
        self, call: Call, call_next: CallNext, plan: Retries, failed: int
    ) -> GatewayResponse:
        if failed:
            await asyncio.sleep(plan.delay(failed))
        timeout = plan.timeout(failed)
        try:
            async with asyncio.timeout(timeout):
                response = await response_or_refusal(call_next)
                if timeout is not None and not isinstance(response.body, bytes):
                    response.body = await _wait_for_first_piece(response.body)
        except TimeoutError:
            status = self._assumptions.timeout_status
            response = refusal(call, UPSTREAM_FAILED, status=status).response
        self.count += response.origin != "gateway"
        return response

    def _should_retry(self, response: GatewayResponse) -> bool:
        if response.origin != "provider":
            return response.origin == "unreachable"
        first = 400 if self._assumptions.retry_client_errors else HTTPStatus.INTERNAL_SERVER_ERROR
        return response.status >= first or response.status == HTTPStatus.TOO_MANY_REQUESTS


async def _wait_for_first_piece(body: Stream) -> Stream:
    """Return a stream after its first piece has been received."""
    first = await anext(body, b"")
    return _with_first_piece(first, body)


async def _with_first_piece(first: bytes, rest: Stream) -> Stream:
    try:
        yield first
        async for piece in rest:
            yield piece
    finally:
        await rest.aclose()


def _number(headers: Mapping[str, str], name: str, default: int | None) -> int | None:
    with suppress(ValueError):
        return max(int(headers[name]), 0) if name in headers else default
    return default
