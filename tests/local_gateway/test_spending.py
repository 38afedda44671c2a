"""Spend limits and policies: what is counted, when, and how calls are refused."""

import json
from typing import Any

import pytest

from langchain_cf_deepseek.local import Assumptions, Policy, RateLimit, Routing, SpendLimit
from langchain_cf_deepseek.local.cloudflare.metadata import parse_metadata
from tests.local_gateway.conftest import AT_LOCAL, StartGateway, chunks, code_of
from tests.local_gateway.test_admission import ROUTINGS, gateway_error, rest_error

A_DOLLAR = {"cf-aig-custom-cost": '{"total_cost": 1}'}
MESSAGE = "Spend limit exceeded: rule 'local' (cost limit 1.5 per 3600s, fixed) for all requests"


def of_team(team: str) -> dict[str, str]:
    return {**A_DOLLAR, "cf-aig-metadata": json.dumps({"team": team})}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("routing", ROUTINGS)
def test_a_limit_is_checked_before_sending_so_the_call_that_exceeds_it_succeeds(
    start_gateway: StartGateway, routing: Routing, stream: bool
) -> None:
    ask = start_gateway(spend_limits=[SpendLimit(usd=1.5, seconds=3600)])
    headers = A_DOLLAR | AT_LOCAL
    answers = [ask.post(routing=routing, headers=headers, stream=stream) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json() == (
        rest_error((2045, MESSAGE)) if routing == "unified" else gateway_error(2045, 429, MESSAGE)
    )
    assert "retry-after" not in answers[2].headers
    assert ask.gateway.upstream_calls == 2


def test_the_code_of_september_can_be_chosen(start_gateway: StartGateway) -> None:
    ask = start_gateway(
        spend_limits=[SpendLimit(usd=0, seconds=60)], assumptions=Assumptions(spend_limit_code=2041)
    )
    assert code_of(ask.post()) == (429, 2041)


@pytest.mark.parametrize(
    ("limit", "named"),
    [
        (SpendLimit(2, 60, model="deepseek-flash"), "model deepseek-flash"),
        (SpendLimit(2, 60, provider="deepseek"), "provider deepseek"),
        (SpendLimit(2, 60, metadata={"team": "a"}), "team a"),
        (
            SpendLimit(2, 60, "sliding", "mine", "deepseek-flash", "deepseek", {"team": "a"}),
            "model deepseek-flash, provider deepseek, team a",
        ),
    ],
)
def test_a_rule_applies_to_a_model_a_provider_or_metadata(
    start_gateway: StartGateway, limit: SpendLimit, named: str
) -> None:
    ask = start_gateway(spend_limits=[limit])
    others: dict[str, dict[str, Any]] = {
        "model": {"model": "deepseek-v4-pro", "headers": of_team("a")},
        "provider": {
            "model": "@cf/deepseek-ai/r1",
            "routing": "compat",
            "headers": of_team("a"),
        },
        "team": {"headers": of_team("b")},
    }
    other = others[named.split(maxsplit=1)[0]]
    for _ in range(3):
        assert ask.post(**other).status_code == 200
    assert [ask.post(headers=of_team("a")).status_code for _ in range(3)] == [200, 200, 429]
    assert ask.post(headers=of_team("a")).json()["message"].endswith(f" for {named}")
    assert ask.post(**other).status_code == 200


DEEPSEEK = {"miss": 0.15e-6, "hit": 0.003e-6, "out": 0.60e-6}
FIREWORKS = {"miss": 1.74e-6, "hit": 0.145e-6, "out": 3.48e-6}
OWN = {"miss": 0.01, "hit": 0.01, "out": 0.1}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fields", "price"),
    [
        ({}, DEEPSEEK),
        ({"routing": "compat", "model": "deepseek/deepseek-chat"}, DEEPSEEK),
        ({"routing": "unified", "model": "deepseek/deepseek-v4-pro"}, FIREWORKS),
        (
            {"headers": {"cf-aig-custom-cost": '{"per_token_in": 0.01, "per_token_out": 0.1}'}},
            OWN,
        ),
    ],
)
def test_a_call_costs_its_tokens_at_the_price_of_its_provider(
    start_gateway: StartGateway, fields: dict[str, Any], price: dict[str, float], stream: bool
) -> None:
    ask = start_gateway(policies=[Policy(budget_usd=1e-12)])
    ask.gateway.reply(content="one two three", cached_tokens=128)
    fields = fields | {"headers": AT_LOCAL | fields.get("headers", {})}
    answer = ask.post(**fields, stream=stream)
    usage = chunks(answer.text)[-1]["usage"] if stream else answer.json()["usage"]
    hits = usage["prompt_tokens_details"]["cached_tokens"]
    assert hits == 128
    dollars = (
        (usage["prompt_tokens"] - hits) * price["miss"]
        + hits * price["hit"]
        + usage["completion_tokens"] * price["out"]
    )
    assert ask.post(**fields).json() == {
        "success": False,
        "error": {
            "message": "Spending limit exceeded",
            "bucket": "local",
            "spent": pytest.approx(dollars),
            "limit": 1e-12,
        },
    }


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_without_usage_costs_nothing(start_gateway: StartGateway, stream: bool) -> None:
    ask = start_gateway(spend_limits=[SpendLimit(usd=0.5, seconds=3600)])
    ask.gateway.fault(body=[1], times=2)
    ask.gateway.fault(then="cut", after_chunks=2, times=2)
    for _ in range(4):
        assert ask.post(headers=A_DOLLAR, stream=stream).status_code == 200
    assert ask.post(headers=A_DOLLAR).status_code == 200
    assert ask.post(headers=A_DOLLAR).status_code == 429


def test_responses_from_the_cache_are_sent_above_the_limit_and_cost_nothing(
    start_gateway: StartGateway,
) -> None:
    ask = start_gateway(spend_limits=[SpendLimit(usd=0.5, seconds=3600)])
    headers = {**A_DOLLAR, "cf-aig-cache-ttl": "3600"}
    assert [ask.post(headers=headers).status_code for _ in range(2)] == [200, 200]
    assert ask.post(headers=A_DOLLAR).status_code == 429


def test_a_limit_can_count_late(start_gateway: StartGateway) -> None:
    ask = start_gateway(spend_limits=[SpendLimit(usd=0.5, seconds=3600, late=1)])
    assert [ask.post(headers=A_DOLLAR).status_code for _ in range(3)] == [200, 200, 429]
    ask.gateway.reset()
    assert ask.post(headers=A_DOLLAR).status_code == 200


def test_without_a_policy_everyone_is_allowed_and_with_the_first_only_those_it_allows(
    start_gateway: StartGateway,
) -> None:
    ask = start_gateway(policies=[Policy({"team": "a"})])
    assert ask.post(headers=of_team("a")).status_code == 200
    refused = ask.post(headers=of_team("b"))
    assert (refused.status_code, refused.json()) == (
        403,
        {"success": False, "error": {"message": "Access denied by policy"}},
    )


@pytest.mark.parametrize("routing", ROUTINGS)
def test_a_policy_that_blocks_overrides_those_that_allow(
    start_gateway: StartGateway, routing: Routing
) -> None:
    ask = start_gateway(policies=[Policy(), Policy({"team": "a"}, action="block")])
    statuses = [
        ask.post(routing=routing, headers=of_team(team) | AT_LOCAL).status_code for team in "ab"
    ]
    assert statuses == [403, 200]


def test_a_policy_is_checked_before_the_limits(start_gateway: StartGateway) -> None:
    ask = start_gateway(
        policies=[Policy({"team": "a"}, budget_usd=0)],
        rate_limit=RateLimit(0, 60),
        spend_limits=[SpendLimit(0, 60)],
    )
    assert ask.post().status_code == 403
    assert "bucket" in ask.post(headers=of_team("a")).json()["error"]


def test_the_rate_limit_is_checked_before_the_spend_limit(start_gateway: StartGateway) -> None:
    ask = start_gateway(rate_limit=RateLimit(0, 60), spend_limits=[SpendLimit(0, 60)])
    assert code_of(ask.post()) == (429, 2003)


@pytest.mark.parametrize(
    ("header", "read"),
    [
        ('{"a": "x", "b": 1, "c": 0.5, "d": true}', {"a": "x", "b": 1, "c": 0.5, "d": True}),
        ('{"cf.x": 1, "a": 2}', {"a": 2}),
        ('{"a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1}', dict.fromkeys("abcde", 1)),
        ('{"a": 1, "b": null}', {}),
        ('{"a": 1, "b": {}}', {}),
        ("[1]", {}),
        ("{", {}),
    ],
)
def test_invalid_metadata_is_silently_dropped(header: str, read: dict[str, Any]) -> None:
    assert parse_metadata({"cf-aig-metadata": header}) == read
