"""Spend limits and policies: who may still spend, counted from the token usage of the answers."""

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
from langchain_cf_deepseek.local.exchange import Answer, Call, CallNext, RefusedError, json_answer
from langchain_cf_deepseek.local.faults.error_bodies import policy_body, refusal


@dataclass(frozen=True)
class SpendLimit:
    """So many US dollars in so many seconds, for the calls that the rule is about.

    A call is checked before it is sent and counted when its usage is known, so the call that goes
    over the limit still passes.
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
    """The name of the rule, which its refusal tells."""
    model: str | None = None
    """The model that it is about, as the provider calls it; None means all."""
    provider: str | None = None
    """The provider that it is about; None means all."""
    metadata: Mapping[str, Value] = field(default_factory=dict)
    """The entries of `cf-aig-metadata` that it is about."""
    late: int = 0
    """How many calls late the limit notices what was spent: on the live service mostly one."""

    def concerns(self, call: Call) -> bool:
        """Whether a call counts."""
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
    """Who may use the gateway, told by metadata. With the first policy, all others may not.

    A policy that blocks beats those that allow. Rejections have a shape of their own, without a
    code.
    https://developers.cloudflare.com/ai-gateway/features/policies/
    """

    metadata: Mapping[str, Value] = field(default_factory=dict)
    """The entries of `cf-aig-metadata` that it is about; none means every call."""
    action: Literal["allow", "block"] = "allow"
    budget_usd: float | None = None
    """What may be spent under it in `seconds`; None means any amount."""
    seconds: float = 86_400
    bucket: str = "local"
    """The name of the budget, which its rejection tells."""

    def concerns(self, call: Call) -> bool:
        """Whether a call comes under it."""
        return self.metadata.items() <= parse_metadata(call.request.headers).items()


class _Budget:
    """What was spent under one rule."""

    def __init__(self, rule: SpendLimit | Policy, window: Window, late: int = 0) -> None:
        self._rule = rule
        self._window = window
        self._late = late
        self._unnoticed: deque[float] = deque()

    @property
    def spent(self) -> float:
        return self._window.total

    def account(self, call: Call, usd: float) -> None:
        if self._rule.concerns(call):
            self._unnoticed.append(usd)
            if len(self._unnoticed) > self._late:
                self._window.add(self._unnoticed.popleft())


class Spending:
    """The limits and policies of a gateway, and what was spent under each."""

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

    async def policies(self, call: Call, call_next: CallNext) -> Answer:
        """Reject a call that no policy allows, or whose policy has spent its budget."""
        concerning = [
            (policy, budget) for policy, budget in self._policies if policy.concerns(call)
        ]
        blocked = any(policy.action == "block" for policy, _ in concerning)
        if self._policies and (blocked or not concerning):
            raise _rejection(403, "Access denied by policy")
        for policy, budget in concerning:
            if policy.budget_usd is not None and budget.spent >= policy.budget_usd:
                facts = {"bucket": policy.bucket, "spent": budget.spent, "limit": policy.budget_usd}
                raise _rejection(429, "Spending limit exceeded", **facts)
        return await call_next()

    async def limits(self, call: Call, call_next: CallNext) -> Answer:
        """Refuse a call whose limit is used up, and count what the others cost."""
        for limit, budget in self._limits:
            if limit.concerns(call) and budget.spent >= limit.usd:
                raise refusal(call, self._code, rule=limit)
        answer = await call_next()
        return with_metering(answer, partial(self._account, call)) if self._budgets else answer

    def _account(self, call: Call, usage: Usage) -> None:
        _, usd, _ = price_call(call, usage, self._models)
        for budget in self._budgets:
            budget.account(call, usd)


def _rejection(status: int, message: str, **facts: Any) -> RefusedError:
    answer = json_answer(status, policy_body(message, **facts))
    answer.origin = "gateway"
    return RefusedError(answer)
