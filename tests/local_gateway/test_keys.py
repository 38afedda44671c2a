"""Which DeepSeek key is sent with a request, and what happens without one."""

from typing import Any, Literal

import httpx
import pytest

from langchain_cf_deepseek.local import Assumptions, LocalGateway, Routing
from tests.local_gateway.conftest import AT_LOCAL, Caller, StartGateway, code_of
from tests.local_gateway.test_admission import deepseek_error, gateway_error

GATEWAY_HOST: list[Routing] = ["provider-native", "compat"]
KEYLESS: dict[str, Any] = {"without": ("authorization",)}
KEYS = {"default": "stale-0000", "production": "local-deepseek-key"}


def alias(name: str) -> dict[str, Any]:
    return {"headers": {"cf-aig-byok-alias": name, **AT_LOCAL}}


@pytest.mark.parametrize("routing", GATEWAY_HOST)
def test_a_stored_key_is_chosen_by_its_alias(start_gateway: StartGateway, routing: Routing) -> None:
    ask = start_gateway(stored_key=KEYS)
    assert ask.post(routing=routing, **KEYLESS, **alias("production")).status_code == 200


@pytest.mark.parametrize("routing", GATEWAY_HOST)
@pytest.mark.parametrize("headers", [{}, {"cf-aig-byok-alias": "default"}])
def test_without_an_alias_it_is_the_default_and_deepseek_refuses_a_stale_one(
    start_gateway: StartGateway, routing: Routing, headers: dict[str, str]
) -> None:
    response = start_gateway(stored_key=KEYS).post(routing=routing, **KEYLESS, headers=headers)
    message = "Authentication Fails, Your api key: ****0000 is invalid"
    assert (response.status_code, response.json()) == (
        401,
        deepseek_error(message, "authentication_error"),
    )


@pytest.mark.parametrize("routing", GATEWAY_HOST)
@pytest.mark.parametrize(("keys", "known"), [(KEYS, "default, production"), (False, "none")])
def test_an_unknown_alias_is_refused_and_the_known_ones_are_named(
    start_gateway: StartGateway, routing: Routing, keys: Any, known: str
) -> None:
    response = start_gateway(stored_key=keys).post(routing=routing, **KEYLESS, **alias("x"))
    message = f"Provider 'deepseek' has no BYOK credential named 'x' (configured: {known})"
    assert (response.status_code, response.json()) == (400, gateway_error(2040, 400, message))


def test_a_callers_key_overrides_every_stored_one(start_gateway: StartGateway) -> None:
    ask = start_gateway(stored_key=KEYS)
    assert ask.post().status_code == 200
    assert ask.post(**alias("x")).status_code == 200


def test_an_empty_authorization_header_counts_as_a_key(start_gateway: StartGateway) -> None:
    response = start_gateway(stored_key=True).post(headers={"authorization": ""})
    assert response.status_code == 401


def test_the_rest_host_uses_only_the_default_key(start_gateway: StartGateway) -> None:
    sources = [
        start_gateway(stored_key=keys)
        .post(routing="unified", **alias("x"))
        .json()["gatewayMetadata"]["keySource"]
        for keys in (KEYS, {"production": "local-deepseek-key"})
    ]
    assert sources == ["BYOK", "Unified"]


@pytest.mark.parametrize("routing", ["provider-native", "compat", "unified"])
@pytest.mark.parametrize("way", ["gateway", "request"])
def test_unified_billing_can_be_forbidden(
    start_gateway: StartGateway, routing: Routing, way: str
) -> None:
    ask = start_gateway(byok_only=way == "gateway")
    headers = AT_LOCAL | ({"cf-aig-no-wholesale": "true"} if way == "request" else {})
    without = () if routing == "unified" else KEYLESS["without"]
    refused = ask.post(routing=routing, without=without, headers=headers)
    assert code_of(refused) == (400, 2001)
    assert ask.gateway.upstream_calls == 0
    byok = start_gateway(byok_only=way == "gateway", stored_key=True)
    assert byok.post(routing=routing, without=without, headers=headers).status_code == 200


def test_the_callers_own_key_is_accepted_without_unified_billing(
    start_gateway: StartGateway,
) -> None:
    ask = start_gateway(byok_only=True)
    assert ask.post(headers={"cf-aig-no-wholesale": "true"}).status_code == 200


def test_a_request_cannot_override_what_the_gateway_forbids(start_gateway: StartGateway) -> None:
    ask = start_gateway(byok_only=True)
    headers = {"cf-aig-no-wholesale": "false"}
    assert ask.post(routing="unified", headers=headers | AT_LOCAL).status_code == 400
    assert ask.post(routing="unified", headers=headers).status_code == 200


@pytest.mark.parametrize(("code", "status"), [(2001, 400), (2021, 402)])
@pytest.mark.parametrize("routing", GATEWAY_HOST)
def test_by_other_assumptions_the_gateway_itself_refuses_a_request_without_a_key(
    start_gateway: StartGateway, routing: Routing, code: Literal[2001, 2021], status: int
) -> None:
    ask = start_gateway(assumptions=Assumptions(missing_key_code=code))
    assert code_of(ask.post(routing=routing, **KEYLESS)) == (status, code)


def test_the_upstream_checks_its_own_keys(http: httpx.Client) -> None:
    with (
        LocalGateway(authenticated=False, stored_key=True) as upstream,
        LocalGateway(upstream=upstream.base_url()) as front,
    ):
        assert Caller(front, http).post(**KEYLESS).status_code == 200
