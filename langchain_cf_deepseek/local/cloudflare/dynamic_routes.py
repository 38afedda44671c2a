"""Dynamic routes: named lists of models, each tried when the one before it fails.

https://developers.cloudflare.com/ai-gateway/features/dynamic-routing/usage/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from langchain_cf_deepseek.local.cloudflare.assumptions import Assumptions
from langchain_cf_deepseek.local.cloudflare.model_prefixes import assign_provider
from langchain_cf_deepseek.local.exchange import (
    Call,
    CallNext,
    GatewayResponse,
    RefusedError,
    first_success,
    response_or_refusal,
    should_fall_back,
)
from langchain_cf_deepseek.local.faults.error_bodies import UPSTREAM_FAILED, refusal

PREFIX = "dynamic/"
MODEL_NOT_FOUND = 7003


@dataclass(frozen=True)
class RouteStep:
    """One model of a route, with its own limits."""

    model: str
    """`deepseek/...` or `@cf/...`."""
    request_timeout_ms: int | None = None
    """Milliseconds to wait for the first byte before the next step is tried."""
    max_attempts: int | None = None
    """How many attempts are made before the next step is tried."""

    @property
    def headers(self) -> dict[str, str]:
        """The limits as request headers."""
        limits = {
            "cf-aig-request-timeout": self.request_timeout_ms,
            "cf-aig-max-attempts": self.max_attempts,
        }
        return {name: str(value) for name, value in limits.items() if value is not None}


@dataclass(frozen=True)
class Route:
    """The models behind `dynamic/<name>`, in the order in which they are tried.

    A route needs no provider key in the request.

    Example:
        ```python
        flash = RouteStep("deepseek/deepseek-flash", request_timeout_ms=500)
        routes = {"support": Route([flash, "deepseek/deepseek-v4-pro"])}
        LocalGateway(rules=Rules(routes=routes))
        ```
    """

    steps: Sequence[RouteStep | str]
    """Models, or models with their own limits."""


class Routes:
    """The routes of one gateway."""

    def __init__(
        self,
        gateway_id: str,
        routes: Mapping[str, Route] | None,
        default: Route,
        assumptions: Assumptions,
    ) -> None:
        """Configure routes.

        Args:
            gateway_id: The gateway that has them; other gateways have none.
            routes: The routes by name; None means that every name is the default route.
            default: The default route.
            assumptions: The response to an unknown route.
        """
        self._gateway_id = gateway_id
        self._routes = routes
        self._default = default
        self._assumptions = assumptions

    def resolve(self, call: Call, name: str) -> bool:
        """Set the call's model if its name is a route's.

        Raises:
            RefusedError: The route is unknown.
        """
        if not name.startswith(PREFIX):
            return False
        known = self._routes is None or name.removeprefix(PREFIX) in self._routes
        if not known or not call.is_at(self._gateway_id):
            raise self._refusal(call, name)
        call.model, call.not_deepseek = name, True
        return True

    async def step(self, call: Call, call_next: CallNext) -> GatewayResponse:
        """Try the models of the route; headers name the one that responded."""
        if not call.model.startswith(PREFIX):
            return await call_next()
        name, headers = call.model.removeprefix(PREFIX), call.request.headers
        route = self._default if self._routes is None else self._routes[name]
        steps = [step if isinstance(step, RouteStep) else RouteStep(step) for step in route.steps]
        attempts = [
            partial(_attempt, call, call_next, number, step, headers)
            for number, step in enumerate(steps)
        ]
        return await first_success(call, attempts, should_fall_back)

    def _refusal(self, call: Call, name: str) -> RefusedError:
        if self._assumptions.unknown_route_status == HTTPStatus.BAD_REQUEST.value:
            return refusal(call, UPSTREAM_FAILED)
        return refusal(call, MODEL_NOT_FOUND, model=name)


async def _attempt(
    call: Call, call_next: CallNext, number: int, step: RouteStep, headers: dict[str, str]
) -> GatewayResponse:
    call.rewrite(call.request.body, {**headers, **step.headers})
    call.gateway_headers["cf-aig-step"] = str(number)
    if not assign_provider(call, step.model) or call.provider.startswith("custom-"):
        return refusal(call, UPSTREAM_FAILED).response
    call.gateway_headers |= {"cf-aig-model": call.model, "cf-aig-provider": call.provider}
    return await response_or_refusal(call_next)
