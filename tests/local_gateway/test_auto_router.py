"""The Auto Router: what it chooses, why, and for how long."""

import re

import httpx
import pytest

from langchain_cf_deepseek.local import AutoRouter
from tests.local_gateway.conftest import Caller, StartGateway, code_of

FLASH = "@cf/deepseek-ai/deepseek-v4-flash-0731"
HOSTED_PRO = "@cf/deepseek-ai/deepseek-v4-pro-0813"
PRO = "deepseek/deepseek-v4-pro"


def choose(ask: Caller, **headers: str) -> httpx.Response:
    sent = {f"cf-aig-{name.replace('_', '-')}": value for name, value in headers.items()}
    return ask.post(routing="unified", model="cloudflare/auto", headers=sent)


def choice_of(response: httpx.Response) -> tuple[str, str]:
    decision = response.headers["cf-aig-routing-decision-id"]
    assert re.fullmatch(r"[0-9a-f]{32}", decision)
    return (
        response.headers["cf-aig-routed-model"],
        response.headers["cf-aig-routing-reason"],
    )


@pytest.mark.parametrize(
    ("allowed", "chosen"),
    [
        ({}, (FLASH, "cost_optimal_within_pool")),
        ({"allowed_models": f"{PRO}, {FLASH}"}, (FLASH, "cost_optimal_within_pool")),
        ({"allowed_models": "deepseek/*"}, (PRO, "forced_by_candidate_pool")),
        ({"allowed_models": "@cf/*/*-pro-*"}, (HOSTED_PRO, "forced_by_candidate_pool")),
        ({"allowed_providers": "deepseek"}, (PRO, "forced_by_candidate_pool")),
        ({"allowed_providers": "openai,workers-ai"}, (FLASH, "cost_optimal_within_pool")),
        (
            {"allowed_providers": "workers-ai", "allowed_models": "*/*/*pro*"},
            (HOSTED_PRO, "forced_by_candidate_pool"),
        ),
    ],
)
def test_the_cheapest_of_the_allowed_models_is_chosen(
    ask: Caller, allowed: dict[str, str], chosen: tuple[str, str]
) -> None:
    response = choose(ask, **allowed)
    assert response.status_code == 200
    assert choice_of(response) == chosen


@pytest.mark.parametrize(
    "allowed",
    [{"allowed_models": "*"}, {"allowed_models": "openai/*"}, {"allowed_providers": "openai"}],
)
def test_when_none_is_allowed_the_request_is_refused(ask: Caller, allowed: dict[str, str]) -> None:
    assert code_of(choose(ask, **allowed)) == (400, 2008)


def test_every_decision_has_its_own_id(ask: Caller) -> None:
    ids = {choose(ask).headers["cf-aig-routing-decision-id"] for _ in range(2)}
    assert len(ids) == 2


def test_a_turn_is_pinned_to_its_model(ask: Caller) -> None:
    narrow = {"allowed_models": PRO}
    assert choice_of(choose(ask, turn_id="t", **narrow)) == (PRO, "forced_by_candidate_pool")
    assert choice_of(choose(ask, turn_id="t")) == (PRO, "pinned_by_turn")
    assert choice_of(choose(ask, turn_id="other")) == (FLASH, "cost_optimal_within_pool")
    ask.gateway.reset()
    assert choice_of(choose(ask, turn_id="t")) == (FLASH, "cost_optimal_within_pool")


def test_a_session_keeps_its_model_unless_affinity_is_off(ask: Caller) -> None:
    choose(ask, session_id="s", allowed_models=PRO)
    assert choice_of(choose(ask, session_id="s")) == (PRO, "cost_optimal_within_pool")
    free = choose(ask, session_id="s", no_session_affinity="true")
    assert choice_of(free) == (FLASH, "cost_optimal_within_pool")
    elsewhere = choose(ask, session_id="s", allowed_providers="workers-ai")
    assert choice_of(elsewhere) == (FLASH, "cost_optimal_within_pool")


def test_candidates_and_the_reason_can_be_given(start_gateway: StartGateway) -> None:
    ask = start_gateway(auto_router=AutoRouter([PRO], reason="fallback_router_timeout"))
    assert choice_of(choose(ask)) == (PRO, "fallback_router_timeout")
