"""The rules of one gateway, and the steps that apply them in Cloudflare's order."""

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
from langchain_cf_deepseek.local.exchange import Call, CallNext, GatewayResponse, Step


@dataclass(frozen=True)
class Rules:
    """The settings of a gateway, apart from its credentials.

    All except `auto_router` apply only to the gateway of `LocalGateway`, not to `default`, which
    the unified endpoint uses for requests without a gateway. Policies, limits, guardrails and DLP
    are checked in the order of the fields, after credentials and cache.

    Example:
        ```python
        rules = Rules(rate_limit=RateLimit(requests=10, seconds=60), byok_only=True)
        with LocalGateway(rules=rules) as gateway:
            ...
        ```
    """

    policies: Sequence[Policy] = ()
    """Who can use the gateway; without policies, everyone can."""
    rate_limit: RateLimit | None = None
    """How many requests are allowed."""
    spend_limits: Sequence[SpendLimit] = ()
    """How much can be spent, and on what."""
    guardrails: Guardrails | None = None
    """What prompts and responses must not say."""
    dlp: Sequence[DlpProfile] = ()
    """What requests and responses must not contain."""
    routes: Mapping[str, Route] | None = None
    """The models of `dynamic/<name>`; None means the first model for every name."""
    auto_router: AutoRouter = field(default_factory=AutoRouter)
    """The models of `cloudflare/auto`."""
    retries: Retries = field(default_factory=Retries)
    """How the gateway retries, unless the request's headers override it."""
    byok_only: bool = False
    """Whether requests for which Cloudflare would have to pay are refused."""
    assumptions: Assumptions = field(default_factory=Assumptions)
    """Behaviour that Cloudflare's documentation leaves open."""


class RuleSteps:
    """The steps that apply the rules, with their counts and amounts."""

    def __init__(self, rules: Rules, gateway_id: str, models: Mapping[str, Model]) -> None:
        """Create the steps.

        Args:
            rules: The rules.
            gateway_id: The gateway that the rules apply to.
            models: The models served; the first one serves routes without steps.
        """
        self._gateway_id = gateway_id
        spending = Spending(rules.spend_limits, rules.policies, models, rules.assumptions)
        limiter = RateLimiter(rules.rate_limit)
        auto_router = AutoRouterStep(rules.auto_router)
        self._attempts = Attempts(rules.retries, rules.assumptions)
        default = Route([f"deepseek/{next(iter(models))}"])
        routes = Routes(gateway_id, rules.routes, default, rules.assumptions)
        self.model_resolvers = (routes.resolve, auto_router.resolve)
        self.steps: Sequence[Step] = (
            self._only_at_own_gateway(spending.policies),
            self._only_at_own_gateway(limiter.step),
            self._only_at_own_gateway(spending.limits),
            self._only_at_own_gateway(Guard(rules.guardrails, rules.assumptions).step),
            self._only_at_own_gateway(Dlp(rules.dlp, rules.assumptions).step),
            auto_router.step,
            routes.step,
            self._attempts.step,
        )

    @property
    def upstream_calls(self) -> int:
        """How many requests the provider received."""
        return self._attempts.count

    def _only_at_own_gateway(self, step: Step) -> Step:
        """Skip a step at other gateways."""

        async def conditional_step(call: Call, call_next: CallNext) -> GatewayResponse:
            return await (step(call, call_next) if call.is_at(self._gateway_id) else call_next())

        return conditional_step
