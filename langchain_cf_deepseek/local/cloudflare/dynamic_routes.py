"""Dynamic routes: models under a name of the gateway's own, each tried when the one before fails.

https://developers.cloudflare.com/ai-gateway/features/dynamic-routing/usage/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from langchain_cf_deepseek.local.cloudflare.assumptions import Assumptions
from langchain_cf_deepseek.local.cloudflare.model_prefixes import assign_provider
from langchain_cf_deepseek.local.cloudflare.universal_endpoint import failed
from langchain_cf_deepseek.local.exchange import (
    Answer,
    Call,
    CallNext,
    RefusedError,
    first_success,
    outcome,
)
from langchain_cf_deepseek.local.faults.error_bodies import UPSTREAM_FAILED, refusal

PREFIX = "dynamic/"
MODEL_NOT_FOUND = 7003


@dataclass(frozen=True)
class RouteStep:
    """One model of a route, with limits of its own."""

    model: str
    """`deepseek/...` or `@cf/...`."""
    request_timeout_ms: int | None = None
    """Milliseconds until its first byte; then the next step has its turn."""
    max_attempts: int | None = None
    """How often it is asked before the next step has its turn."""

    @property
    def headers(self) -> dict[str, str]:
        """The request headers that say the same."""
        limits = {
            "cf-aig-request-timeout": self.request_timeout_ms,
            "cf-aig-max-attempts": self.max_attempts,
        }
        return {name: str(value) for name, value in limits.items() if value is not None}


@dataclass(frozen=True)
class Route:
    """The models behind `dynamic/<name>`, in the order in which they are tried.

    A route brings its own keys.

    Example:
        ```python
        flash = RouteStep("deepseek/deepseek-flash", request_timeout_ms=500)
        routes = {"support": Route([flash, "deepseek/deepseek-v4-pro"])}
        LocalGateway(rules=Rules(routes=routes))
        ```
    """

    steps: Sequence[RouteStep | str]
    """Models, or models with limits of their own."""


class Routes:
    """The routes of one gateway."""

    def __init__(
        self,
        gateway_id: str,
        routes: Mapping[str, Route] | None,
        default: Route,
        assumptions: Assumptions,
    ) -> None:
        """Prepare routes.

        Args:
            gateway_id: The gateway that owns them; no other one knows them.
            routes: The routes by name; None means that there is one under every name.
            default: The route that is under every name.
            assumptions: What is said of a route that there is not.
        """
        self._gateway_id = gateway_id
        self._routes = routes
        self._default = default
        self._assumptions = assumptions

    def take(self, call: Call, name: str) -> bool:
        """Note that a call is for a route, if its model says so.

        Raises:
            RefusedError: The gateway has no such route.
        """
        if not name.startswith(PREFIX):
            return False
        known = self._routes is None or name.removeprefix(PREFIX) in self._routes
        if not known or not call.is_at(self._gateway_id):
            raise self._unknown(call, name)
        call.model, call.not_deepseek = name, True
        return True

    async def step(self, call: Call, call_next: CallNext) -> Answer:
        """Try the models of the route; headers tell which of them answered."""
        if not call.model.startswith(PREFIX):
            return await call_next()
        name, headers = call.model.removeprefix(PREFIX), call.request.headers
        route = self._default if self._routes is None else self._routes[name]
        steps = [step if isinstance(step, RouteStep) else RouteStep(step) for step in route.steps]
        tries = [
            partial(_ask, call, call_next, number, step, headers)
            for number, step in enumerate(steps)
        ]
        return await first_success(call, tries, failed)

    def _unknown(self, call: Call, name: str) -> RefusedError:
        if self._assumptions.unknown_route_status == HTTPStatus.BAD_REQUEST.value:
            return refusal(call, UPSTREAM_FAILED)
        return refusal(call, MODEL_NOT_FOUND, model=name)


async def _ask(
    call: Call, call_next: CallNext, number: int, step: RouteStep, headers: dict[str, str]
) -> Answer:
    call.rewrite(call.request.body, {**headers, **step.headers})
    call.facts["cf-aig-step"] = str(number)
    if not assign_provider(call, step.model) or call.provider.startswith("custom-"):
        return refusal(call, UPSTREAM_FAILED).answer
    call.facts |= {"cf-aig-model": call.model, "cf-aig-provider": call.provider}
    return await outcome(call_next)
