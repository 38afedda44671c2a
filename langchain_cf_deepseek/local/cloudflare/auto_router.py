"""The Auto Router, which chooses a model for `cloudflare/auto`.

https://developers.cloudflare.com/ai-gateway/features/auto-router/
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from langchain_cf_deepseek.local.cloudflare.model_prefixes import assign_provider
from langchain_cf_deepseek.local.exchange import Call, CallNext, GatewayResponse
from langchain_cf_deepseek.local.faults.error_bodies import refusal

MODEL = "cloudflare/auto"
NO_CANDIDATE = 2008

Reason = Literal[
    "cost_optimal_within_pool",
    "forced_by_candidate_pool",
    "pinned_by_turn",
    "fallback_candidate_unavailable",
    "fallback_key_not_in_candidates",
    "fallback_router_error",
    "fallback_router_timeout",
    "fallback_unsupported_input",
]
"""Why the Auto Router chose a model, in Cloudflare's own words."""


@dataclass(frozen=True)
class AutoRouter:
    """Which models the Auto Router can choose from."""

    candidates: Sequence[str] = (
        "@cf/deepseek-ai/deepseek-v4-flash-0731",
        "@cf/deepseek-ai/deepseek-v4-pro-0813",
        "deepseek/deepseek-v4-pro",
    )
    """The cheapest first; the first allowed one is chosen."""
    reason: Reason | None = None
    """Replaces the actual reason."""


class AutoRouterStep:
    """Chooses models, and keeps the choice for the length of a turn or a session."""

    def __init__(self, router: AutoRouter) -> None:
        self._router = router
        self._pins: dict[tuple[str, str], str] = {}

    def resolve(self, call: Call, name: str) -> bool:
        """Set the call's model if its name is the Auto Router's."""
        if name != MODEL:
            return False
        call.model, call.not_deepseek = name, True
        return True

    async def step(self, call: Call, call_next: CallNext) -> GatewayResponse:
        """Choose a model, and report the model and the reason in headers."""
        if call.model == MODEL:
            chosen, reason = self._choose(call)
            assign_provider(call, chosen)
            call.gateway_headers |= {
                "cf-aig-routed-model": chosen,
                "cf-aig-routing-reason": self._router.reason or reason,
                "cf-aig-routing-decision-id": secrets.token_hex(16),
            }
        return await call_next()

    def _choose(self, call: Call) -> tuple[str, Reason]:
        headers = call.request.headers
        models = _split_list(headers.get("cf-aig-allowed-models"))
        providers = _split_list(headers.get("cf-aig-allowed-providers"))
        pool = [
            model
            for model in self._router.candidates
            if (not models or any(_matches(pattern, model) for pattern in models))
            and (not providers or _provider(model) in providers)
        ]
        if not pool:
            raise refusal(call, NO_CANDIDATE, "No candidate model is allowed", status=400)
        identities = _identities(headers)
        pins = [(kind, self._pins.get((kind, value), "")) for kind, value in identities]
        pinned_by, chosen = next((pin for pin in pins if pin[1] in pool), ("", pool[0]))
        self._pins.update(dict.fromkeys(identities, chosen))
        if pinned_by == "turn":
            return chosen, "pinned_by_turn"
        return chosen, "forced_by_candidate_pool" if len(pool) == 1 else "cost_optimal_within_pool"


def _identities(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """The turn and the session for which a request keeps its model."""
    has_affinity = headers.get("cf-aig-no-session-affinity") != "true"
    kinds = ("turn", "session") if has_affinity else ("turn",)
    return [(kind, value) for kind in kinds if (value := headers.get(f"cf-aig-{kind}-id"))]


def _split_list(header: str | None) -> list[str]:
    return [entry.strip() for entry in (header or "").split(",") if entry.strip()]


def _matches(pattern: str, model: str) -> bool:
    """Whether a name matches a pattern, in which `*` matches anything up to the next `/`."""
    return re.fullmatch("[^/]*".join(map(re.escape, pattern.split("*"))), model) is not None


def _provider(model: str) -> str:
    prefix = model.partition("/")[0]
    return "workers-ai" if prefix == "@cf" else prefix
