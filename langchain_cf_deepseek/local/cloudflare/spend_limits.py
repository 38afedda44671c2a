"""Spend limits and policies; spending is computed from the token usage of completions."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from langchain_cf_deepseek.local.cloudflare.assumptions import Assumptions
from langchain_cf_deepseek.local.cloudflare.metadata import Value, parse_metadata
from langchain_cf_deepseek.local.cloudflare.metering import price_call, with_metering
from langchain_cf_deepseek.local.cloudflare.prices import Usage
from langchain_cf_deepseek.local.cloudflare.time_windows import Clock, Technique, Window
from langchain_cf_deepseek.local.deepseek.models import Model
from langchain_cf_deepseek.local.exchange import (
    Call,
    CallNext,
    GatewayResponse,
    RefusedError,
    json_response,
)
from langchain_cf_deepseek.local.faults.error_bodies import policy_body, refusal


@dataclass(frozen=True)
class SpendLimit:
    """A limit in US dollars per period of time, for the calls that match the rule.

    A call is checked before it is sent and counted when its usage is known, so the call that
    exceeds the limit still succeeds.
    https://developers.cloudflare.com/ai-gateway/features/spend-limits/

    Example:
        ```python
        limit = SpendLimit(usd=0.01, seconds=3600, metadata={"team": "a"})
        LocalGateway(rules=Rules(spend_limits=[limit]))
        ```
    """

    usd: float
    seconds: float
    technique: Technique = "fixed"
    name: str = "local"
    """The name of the rule, which the refusal quotes."""
    model: str | None = None
    """The provider's name of the model that the rule applies to; None means all."""
    provider: str | None = None
    """The provider that the rule applies to; None means all."""
    metadata: Mapping[str, Value] = field(default_factory=dict)
    """The entries of `cf-aig-metadata` that a call must have."""
    late: int = 0
    """After how many further calls spending is counted: on the live service mostly one."""

    def matches(self, call: Call) -> bool:
        """Whether the rule applies to a call."""
        return (
            self.model in {None, call.model}
            and self.provider in {None, call.provider}
            and self.metadata.items() <= parse_metadata(call.request.headers).items()
        )

    def __str__(self) -> str:
        subject = {"model": self.model, "provider": self.provider, **self.metadata}
        named = [f"{key} {value}" for key, value in subject.items() if value is not None]
        limit = f"cost limit {self.usd:g} per {self.seconds:g}s, {self.technique}"
        return f"rule '{self.name}' ({limit}) for {', '.join(named) or 'all requests'}"


@dataclass(frozen=True)
class Policy:
    """Who can use the gateway, by metadata. With any policy, calls that match none are rejected.

    A policy that blocks overrides those that allow. Rejections have their own shape, without a
    code.
    https://developers.cloudflare.com/ai-gateway/features/policies/
    """

    metadata: Mapping[str, Value] = field(default_factory=dict)
    """The entries of `cf-aig-metadata` that a call must have; if empty, every call matches."""
    action: Literal["allow", "block"] = "allow"
    budget_usd: float | None = None
    """How much can be spent in `seconds`; None means any amount."""
    seconds: float = 86_400
    bucket: str = "local"
    """The name of the budget, which the rejection quotes."""

    def matches(self, call: Call) -> bool:
        """Whether the policy applies to a call."""
        return self.metadata.items() <= parse_metadata(call.request.headers).items()


class _Budget:
    """The spending under one rule."""

    def __init__(self, rule: SpendLimit | Policy, window: Window, late: int = 0) -> None:
        self._rule = rule
        self._window = window
        self._late = late
        self._uncounted: deque[float] = deque()

    @property
    def spent(self) -> float:
        return self._window.total

    def record(self, call: Call, usd: float) -> None:
        if self._rule.matches(call):
            self._uncounted.append(usd)
            if len(self._uncounted) > self._late:
                self._window.add(self._uncounted.popleft())


class Spending:
    """The limits and policies of a gateway, and the spending under each."""

    def __init__(
        self,
        limits: Sequence[SpendLimit],
        policies: Sequence[Policy],
        models: Mapping[str, Model],
        assumptions: Assumptions,
        clock: Clock = time.monotonic,
    ) -> None:
        self._limits = [
            (limit, _Budget(limit, Window(limit.seconds, limit.technique, clock), limit.late))
            for limit in limits
        ]
        self._policies = [
            (policy, _Budget(policy, Window(policy.seconds, "fixed", clock))) for policy in policies
        ]
        self._budgets = [budget for _, budget in (*self._limits, *self._policies)]
        self._models = models
        self._code = assumptions.spend_limit_code

    async def policies(self, call: Call, call_next: CallNext) -> GatewayResponse:
        """Reject a call that no policy allows, or whose policy's budget is used up."""
        matching = [(policy, budget) for policy, budget in self._policies if policy.matches(call)]
        blocked = any(policy.action == "block" for policy, _ in matching)
        if self._policies and (blocked or not matching):
            raise _rejection(403, "Access denied by policy")
        for policy, budget in matching:
            if policy.budget_usd is not None and budget.spent >= policy.budget_usd:
                details = {
                    "bucket": policy.bucket,
                    "spent": budget.spent,
                    "limit": policy.budget_usd,
                }
                raise _rejection(429, "Spending limit exceeded", **details)
        return await call_next()

    async def limits(self, call: Call, call_next: CallNext) -> GatewayResponse:
        """Refuse a call whose limit is used up, and count the cost of the others."""
        for limit, budget in self._limits:
            if limit.matches(call) and budget.spent >= limit.usd:
                raise refusal(call, self._code, rule=limit)
        response = await call_next()
        return with_metering(response, partial(self._record, call)) if self._budgets else response

    def _record(self, call: Call, usage: Usage) -> None:
        _, usd, _ = price_call(call, usage, self._models)
        for budget in self._budgets:
            budget.record(call, usd)


def _rejection(status: int, message: str, **details: Any) -> RefusedError:
    response = json_response(status, policy_body(message, **details))
    response.origin = "gateway"
    return RefusedError(response)
