"""How often and how long the gateway asks the provider, before it gives up."""

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
    Answer,
    Call,
    CallNext,
    Stream,
    first_success,
    outcome,
)
from langchain_cf_deepseek.local.faults.error_bodies import UPSTREAM_FAILED, refusal

Backoff = Literal["constant", "linear", "exponential"]

MAX_ATTEMPTS = 5
MAX_DELAY_MS = 5000


@dataclass(frozen=True)
class Retries:
    """How the gateway tries again, where a request does not say it by header.

    https://developers.cloudflare.com/ai-gateway/configuration/request-handling/
    """

    max_attempts: int = 1
    """Attempts in all, 1 to 5."""
    retry_delay_ms: int = 100
    """Milliseconds between two attempts, at most 5000."""
    backoff: Backoff = "constant"
    """How the delay grows with every attempt."""
    request_timeout_ms: int | None = None
    """Milliseconds until the first byte; after the last of several attempts there is no limit."""

    def overridden_by(self, headers: Mapping[str, str]) -> Retries:
        """Put the headers of a request in front of these settings."""
        attempts = _number(headers, "cf-aig-max-attempts", self.max_attempts)
        backoff = headers.get("cf-aig-backoff")
        return Retries(
            min(max(attempts or 1, 1), MAX_ATTEMPTS),
            min(_number(headers, "cf-aig-retry-delay", self.retry_delay_ms) or 0, MAX_DELAY_MS),
            next((known for known in get_args(Backoff) if known == backoff), self.backoff),
            _number(headers, "cf-aig-request-timeout", self.request_timeout_ms),
        )

    def pause(self, failed: int) -> float:
        """Seconds to wait after so many attempts that failed."""
        growth = {"constant": 1, "linear": failed, "exponential": 1 << failed - 1}
        return self.retry_delay_ms * growth[self.backoff] / 1000

    def timeout(self, failed: int) -> float | None:
        """Seconds to wait for the first byte, after so many attempts that failed."""
        last_of_several = self.max_attempts > 1 and failed == self.max_attempts - 1
        if self.request_timeout_ms is None or last_of_several:
            return None
        return self.request_timeout_ms / 1000


class Attempts:
    """Asks the provider, and counts how often."""

    def __init__(self, retries: Retries, assumptions: Assumptions) -> None:
        self.count = 0
        self._retries = retries
        self._assumptions = assumptions

    async def step(self, call: Call, call_next: CallNext) -> Answer:
        """Ask until an answer is worth handing on."""
        plan = self._retries.overridden_by(call.request.headers)
        tries = [
            partial(self._attempt, call, call_next, plan, failed)
            for failed in range(plan.max_attempts)
        ]
        return await first_success(call, tries, self._should_retry)

    async def _attempt(self, call: Call, call_next: CallNext, plan: Retries, failed: int) -> Answer:
        if failed:
            await asyncio.sleep(plan.pause(failed))
        timeout = plan.timeout(failed)
        try:
            async with asyncio.timeout(timeout):
                answer = await outcome(call_next)
                if timeout is not None and not isinstance(answer.body, bytes):
                    answer.body = await _has_started(answer.body)
        except TimeoutError:
            status = self._assumptions.timeout_status
            answer = refusal(call, UPSTREAM_FAILED, status=status).answer
        self.count += answer.origin != "gateway"
        return answer

    def _should_retry(self, answer: Answer) -> bool:
        if answer.origin != "provider":
            return answer.origin == "unreachable"
        first = 400 if self._assumptions.retry_client_errors else HTTPStatus.INTERNAL_SERVER_ERROR
        return answer.status >= first or answer.status == HTTPStatus.TOO_MANY_REQUESTS


async def _has_started(body: Stream) -> Stream:
    """Wait for the first piece of a stream; the rest may come when it likes."""
    first = await anext(body, b"")
    return _with_first_chunk(first, body)


async def _with_first_chunk(first: bytes, rest: Stream) -> Stream:
    try:
        yield first
        async for piece in rest:
            yield piece
    finally:
        await rest.aclose()


def _number(headers: Mapping[str, str], name: str, otherwise: int | None) -> int | None:
    with suppress(ValueError):
        return max(int(headers[name]), 0) if name in headers else otherwise
    return otherwise
