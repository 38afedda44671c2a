"""The rules of one gateway: what its settings make of a call, in Cloudflare's order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from langchain_cf_deepseek.local.cloudflare.assumptions import Assumptions
from langchain_cf_deepseek.local.cloudflare.auto_router import AutoRouter, AutoRouterStep
from langchain_cf_deepseek.local.cloudflare.dlp import Dlp, DlpProfile
from langchain_cf_deepseek.local.cloudflare.dynamic_routes import Route, Routes
from langchain_cf_deepseek.local.cloudflare.guardrails import Guard, Guardrails
from langchain_cf_deepseek.local.cloudflare.rate_limit import RateLimit, RateLimiter
from langchain_cf_deepseek.local.cloudflare.retries import Attempts, Retries
from langchain_cf_deepseek.local.cloudflare.spend_limits import Policy, Spending, SpendLimit
from langchain_cf_deepseek.local.deepseek.models import Model
from langchain_cf_deepseek.local.exchange import Answer, Call, CallNext, Step


@dataclass(frozen=True)
class Rules:
    """How a gateway is set, beyond who may use it.

    All but `auto_router` are settings of the one gateway that `LocalGateway` has; the gateway
    `default`, which the unified endpoint takes for requests that name none, has none of them.
    The checks come in the order of the first fields, behind credentials and cache.

    Example:
        ```python
        rules = Rules(rate_limit=RateLimit(requests=10, seconds=60), byok_only=True)
        with LocalGateway(rules=rules) as gateway:
            ...
        ```
    """

    policies: Sequence[Policy] = ()
    """Who may use the gateway; none means everybody."""
    rate_limit: RateLimit | None = None
    """How many requests pass."""
    spend_limits: Sequence[SpendLimit] = ()
    """How much may be spent, and on what."""
    guardrails: Guardrails | None = None
    """What prompts and answers must not say."""
    dlp: Sequence[DlpProfile] = ()
    """What must not leave or come back."""
    routes: Mapping[str, Route] | None = None
    """The models behind `dynamic/<name>`; None puts the first model behind every name."""
    auto_router: AutoRouter = field(default_factory=AutoRouter)
    """The models behind `cloudflare/auto`."""
    retries: Retries = field(default_factory=Retries)
    """How often and how long the provider is asked, where a request does not say it."""
    byok_only: bool = False
    """Whether requests are refused for which Cloudflare would have to pay."""
    assumptions: Assumptions = field(default_factory=Assumptions)
    """What to do where Cloudflare's documentation is silent."""


class RuleSteps:
    """The steps of a call that the rules make, and what they remember."""

    def __init__(self, rules: Rules, gateway_id: str, models: Mapping[str, Model]) -> None:
        """Prepare the steps.

        Args:
            rules: The rules.
            gateway_id: The gateway that they belong to; a call to another one is not ruled.
            models: The models served; the first one answers routes without steps of their own.
        """
        self._gateway_id = gateway_id
        self._spending = Spending(rules.spend_limits, rules.policies, models, rules.assumptions)
        self._limiter = RateLimiter(rules.rate_limit)
        self._chooser = AutoRouterStep(rules.auto_router)
        self._attempts = Attempts(rules.retries, rules.assumptions)
        default = Route([f"deepseek/{next(iter(models))}"])
        routes = Routes(gateway_id, rules.routes, default, rules.assumptions)
        self.takes = (routes.take, self._chooser.take)
        self.steps: Sequence[Step] = (
            self._only_at_own_gateway(self._spending.policies),
            self._only_at_own_gateway(self._limiter.step),
            self._only_at_own_gateway(self._spending.limits),
            self._only_at_own_gateway(Guard(rules.guardrails, rules.assumptions).step),
            self._only_at_own_gateway(Dlp(rules.dlp, rules.assumptions).step),
            self._chooser.step,
            routes.step,
            self._attempts.step,
        )

    @property
    def upstream_calls(self) -> int:
        """How often the provider was asked."""
        return self._attempts.count

    def _only_at_own_gateway(self, step: Step) -> Step:
        """Take a step only at the gateway that it belongs to."""

        async def ruled(call: Call, call_next: CallNext) -> Answer:
            return await (step(call, call_next) if call.is_at(self._gateway_id) else call_next())

        return ruled
