"""Admission: which requests are refused, in which order of checks, and with which errors."""

import re
from typing import Any

import httpx
import pytest

from langchain_cf_deepseek.local import LocalGateway, RecordedRequest, Routing
from tests.local_gateway.conftest import QUESTION, Caller

ROUTINGS: list[Routing] = ["provider-native", "unified", "compat"]
OTHER_ACCOUNT = "f" * 32


def gateway_error(code: int, status: int, message: str) -> dict[str, Any]:
    return {
        "success": False,
        "result": [],
        "messages": [],
        "error": [{"code": code, "message": message}],
        "name": "AiGatewayError",
        "httpCode": status,
        "internalCode": code,
        "message": message,
        "description": message,
    }


def rest_error(*errors: tuple[int, str]) -> dict[str, Any]:
    return {
        "result": None,
        "success": False,
        "errors": [{"code": code, "message": message} for code, message in errors],
        "messages": [],
    }


def deepseek_error(message: str, type_: str = "invalid_request_error") -> dict[str, Any]:
    return {
        "error": {
            "message": message,
            "type": type_,
            "param": None,
            "code": "invalid_request_error",
        }
    }


@pytest.mark.parametrize("routing", ROUTINGS)
def test_every_endpoint_responds_with_its_own_credentials(ask: Caller, routing: Routing) -> None:
    assert ask.post(routing=routing).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "deepseek/chat/completions",
        "deepseek/v1/chat/completions",
        "deepseek/beta/chat/completions",
    ],
)
def test_the_native_endpoint_accepts_every_spelling_of_the_path(ask: Caller, path: str) -> None:
    gw = ask.gateway
    response = ask.http.post(
        f"{gw.url}/v1/{gw.account_id}/{gw.gateway_id}/{path}",
        headers=ask.headers("provider-native"),
        json={"model": "deepseek-flash", "messages": [QUESTION]},
    )
    assert response.status_code == 200


@pytest.mark.parametrize("path", ["models", "v1/models"])
def test_the_native_endpoint_lists_the_current_models(ask: Caller, path: str) -> None:
    url = f"{ask.gateway.base_url('provider-native')}/{path}"
    response = ask.http.get(url, headers=ask.headers("provider-native"))
    assert response.json() == {
        "object": "list",
        "data": [
            {"id": "deepseek-flash", "object": "model", "owned_by": "deepseek"},
            {"id": "deepseek-v4-pro", "object": "model", "owned_by": "deepseek"},
        ],
    }


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "chat/completions", 405), ("POST", "beta/files", 404)]
)
def test_deepseek_refuses_other_methods_and_paths_with_an_empty_body(
    ask: Caller, method: str, path: str, status: int
) -> None:
    url = f"{ask.gateway.base_url('provider-native')}/{path}"
    response = ask.http.request(method, url, headers=ask.headers("provider-native"))
    assert (response.status_code, response.content) == (status, b"")


@pytest.mark.parametrize("routing", ["provider-native", "compat"])
@pytest.mark.parametrize(
    "token", [None, "Bearer wrong", "local-gateway-token", "Bearer local-deepseek-key"]
)
def test_the_gateway_host_requires_the_gateway_token(
    ask: Caller, routing: Routing, token: str | None
) -> None:
    response = (
        ask.post(routing=routing, without=("cf-aig-authorization",))
        if token is None
        else ask.post(routing=routing, headers={"cf-aig-authorization": token})
    )
    assert response.status_code == 401
    assert response.json() == gateway_error(2009, 401, "Unauthorized")
    assert "cf-aig-log-id" not in response.headers


@pytest.mark.parametrize("account", [OTHER_ACCOUNT, "0123456789ABCDEF0123456789ABCDEF", "me"])
def test_another_account_fails_like_a_wrong_gateway_token(ask: Caller, account: str) -> None:
    url = f"{ask.gateway.url}/v1/{account}/nowhere/deepseek/chat/completions"
    response = ask.http.post(url, headers=ask.headers("provider-native"), json={})
    assert (response.status_code, response.json()) == (
        401,
        gateway_error(2009, 401, "Unauthorized"),
    )


def test_an_unknown_gateway_is_refused_before_its_provider(ask: Caller) -> None:
    url = f"{ask.gateway.url}/v1/{ask.gateway.account_id}/nowhere/nobody/chat/completions"
    response = ask.http.post(url, headers=ask.headers("provider-native"), json={})
    message = "Please configure AI Gateway in the Cloudflare dashboard"
    assert (response.status_code, response.json()) == (400, gateway_error(2001, 400, message))


def test_the_default_gateway_always_exists(ask: Caller) -> None:
    url = f"{ask.gateway.url}/v1/{ask.gateway.account_id}/default/deepseek/models"
    assert ask.http.get(url, headers=ask.headers("provider-native")).status_code == 200


def test_an_unknown_provider_is_refused(ask: Caller) -> None:
    url = f"{ask.gateway.url}/v1/{ask.gateway.account_id}/local/openai/chat/completions"
    response = ask.http.post(url, headers=ask.headers("provider-native"), json={})
    assert (response.status_code, response.json()) == (
        400,
        gateway_error(2008, 400, "Invalid provider"),
    )


@pytest.mark.parametrize("body", [{"model": "deepseek-flash"}, {"model": 3}, {}, []])
def test_compat_requires_a_provider_prefix(ask: Caller, body: Any) -> None:
    response = ask.post(body, routing="compat")
    assert (response.status_code, response.json()) == (
        400,
        gateway_error(2019, 400, "Chat completion bad format"),
    )


def test_compat_refuses_other_providers(ask: Caller) -> None:
    response = ask.post(routing="compat", model="openai/gpt-5", without=("authorization",))
    message = "Model not found: openai/gpt-5"
    assert (response.status_code, response.json()) == (400, gateway_error(2008, 400, message))


@pytest.mark.parametrize("routing", ["provider-native", "compat"])
def test_a_wrong_deepseek_key_is_refused_by_deepseek(ask: Caller, routing: Routing) -> None:
    response = ask.post(routing=routing, headers={"authorization": "Bearer sk-1230000"})
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.json() == deepseek_error(
        "Authentication Fails, Your api key: ****0000 is invalid", "authentication_error"
    )
    assert "cf-aig-log-id" in response.headers


@pytest.mark.parametrize("routing", ["provider-native", "compat"])
def test_no_deepseek_key_at_all_is_refused_in_plain_text(ask: Caller, routing: Routing) -> None:
    response = ask.post(routing=routing, without=("authorization",))
    assert (response.status_code, response.headers["content-type"], response.text) == (
        401,
        "text/plain",
        "Authentication Fails (governor)",
    )


@pytest.mark.parametrize("routing", ["provider-native", "compat"])
def test_a_stored_key_replaces_a_missing_key_but_not_a_wrong_one(
    http: httpx.Client, routing: Routing
) -> None:
    with LocalGateway(stored_key=True) as gateway:
        ask = Caller(gateway, http)
        assert ask.post(routing=routing, without=("authorization",)).status_code == 200
        dummy = ask.post(routing=routing, headers={"authorization": "Bearer placeholder"})
        assert dummy.status_code == 401


def test_an_unauthenticated_gateway_requires_no_token(http: httpx.Client) -> None:
    with LocalGateway(authenticated=False) as gateway:
        ask = Caller(gateway, http)
        assert ask.post(without=("cf-aig-authorization",)).status_code == 200


@pytest.mark.parametrize("path", ["", "accounts", f"accounts/{OTHER_ACCOUNT}/ai/v1/nothing"])
@pytest.mark.parametrize("token", [None, "Bearer wrong", "Bearer local-deepseek-key"])
def test_the_rest_host_checks_the_token_before_the_path(
    ask: Caller, path: str, token: str | None
) -> None:
    headers = {} if token is None else {"authorization": token}
    response = ask.http.post(f"{ask.gateway.url}/client/v4/{path}", headers=headers, json={})
    assert (response.status_code, response.json()) == (
        401,
        rest_error((10000, "Authentication error")),
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"accounts/{OTHER_ACCOUNT}/ai/v1/chat/completions"),
        ("POST", "accounts/0123456789abcdef0123456789abcdef/ai/v1/models"),
        ("GET", "accounts/0123456789abcdef0123456789abcdef/ai/v1/chat/completions"),
        ("GET", "zones"),
    ],
)
def test_the_rest_host_has_no_route_to_anything_else(ask: Caller, method: str, path: str) -> None:
    url = f"{ask.gateway.url}/client/v4/{path}"
    response = ask.http.request(method, url, headers=ask.headers("unified"))
    message = f"Could not route to /client/v4/{path}, perhaps your object identifier is invalid?"
    assert (response.status_code, response.json()) == (
        404,
        rest_error((7003, message), (7000, "No route for that URI")),
    )


@pytest.mark.parametrize(
    "model", ["deepseek/deepseek-v9", "deepseek-flash", "openai/gpt-5", "dynamic/support"]
)
def test_the_rest_host_serves_only_its_catalogue(ask: Caller, model: str) -> None:
    response = ask.post(routing="unified", model=model)
    assert (response.status_code, response.json()) == (
        404,
        rest_error((7003, f"Model not found: {model}")),
    )


def test_the_rest_host_requires_a_model(ask: Caller) -> None:
    response = ask.post({"messages": [QUESTION]}, routing="unified")
    message = "Model execution failed (User Input Error): field 'model' is missing"
    assert (response.status_code, response.json()) == (400, rest_error((7003, message)))


def test_the_rest_host_refuses_an_unknown_gateway(ask: Caller) -> None:
    response = ask.post(routing="unified", headers={"cf-aig-gateway-id": "nowhere"})
    message = "Please configure AI Gateway in the Cloudflare dashboard"
    assert (response.status_code, response.json()) == (400, rest_error((2001, message)))


@pytest.mark.parametrize("gateway_id", ["local", "default"])
def test_the_rest_host_reads_the_gateway_from_a_header(ask: Caller, gateway_id: str) -> None:
    response = ask.post(routing="unified", headers={"cf-aig-gateway-id": gateway_id})
    assert response.status_code == 200


def test_a_model_that_cloudflare_does_not_sell_needs_a_stored_key(
    ask: Caller, http: httpx.Client
) -> None:
    response = ask.post(routing="unified", model="deepseek/deepseek-chat")
    message = "This model is not available via unified billing. Please use BYOK."
    assert (response.status_code, response.json()) == (402, rest_error((2021, message)))
    with LocalGateway(stored_key=True) as gateway:
        byok = Caller(gateway, http).post(routing="unified", model="deepseek/deepseek-chat")
        assert byok.json()["gatewayMetadata"] == {"keySource": "BYOK"}


@pytest.mark.parametrize("routing", ["compat", "unified"])
@pytest.mark.parametrize(
    ("model", "served", "gateway_headers"),
    [
        (
            "dynamic/support",
            "deepseek-flash",
            {"cf-aig-model": "deepseek-flash", "cf-aig-provider": "deepseek"},
        ),
        (
            "cloudflare/auto",
            "@cf/deepseek-ai/deepseek-v4-flash-0731",
            {
                "cf-aig-routed-model": "@cf/deepseek-ai/deepseek-v4-flash-0731",
                "cf-aig-routing-reason": "cost_optimal_within_pool",
            },
        ),
        ("custom-lab/deep-thought", "deep-thought", {}),
        ("@cf/deepseek-ai/deepseek-v4-pro-0813", "@cf/deepseek-ai/deepseek-v4-pro-0813", {}),
    ],
)
def test_routes_and_other_providers_are_served_too(
    ask: Caller, routing: Routing, model: str, served: str, gateway_headers: dict[str, str]
) -> None:
    response = ask.post(routing=routing, model=model, headers={"cf-aig-gateway-id": "local"})
    received = {
        name: value
        for name, value in response.headers.items()
        if name.startswith(("cf-aig-model", "cf-aig-provider", "cf-aig-rout"))
    }
    received.pop("cf-aig-routing-decision-id", None)
    assert (response.json()["model"], received) == (served, gateway_headers)


def test_compat_accepts_workers_ai_models_under_both_names(ask: Caller) -> None:
    response = ask.post(routing="compat", model="workers-ai/@cf/deepseek-ai/r1")
    assert response.json()["model"] == "@cf/deepseek-ai/r1"


@pytest.mark.parametrize("routing", ROUTINGS)
def test_responses_have_the_headers_of_the_gateway(ask: Caller, routing: Routing) -> None:
    headers = ask.post(routing=routing, stream=True).headers
    log_id = headers["cf-aig-log-id"]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-.{12}", log_id)
    assert re.fullmatch(r"[0-9a-f]{16}-[A-Z]{3}", headers["cf-ray"])
    assert {name: headers[name] for name in headers if name.startswith("cf-aig-")} == {
        "cf-aig-log-id": log_id,
        "cf-aig-request-id": log_id,
        "cf-aig-event-id": log_id,
        "cf-aig-step": "0",
        "cf-aig-cache-status": "MISS",
    }


def test_log_ids_sort_by_time(ask: Caller) -> None:
    first = ask.post().headers["cf-aig-log-id"]
    assert first[:13] <= ask.post().headers["cf-aig-log-id"][:13]


def test_the_callers_event_id_is_echoed_and_a_log_id_is_sent_without_a_log_too(ask: Caller) -> None:
    headers = ask.post(headers={"cf-aig-event-id": "mine", "cf-aig-collect-log": "false"}).headers
    assert headers["cf-aig-event-id"] == "mine"
    assert "cf-aig-log-id" in headers


def test_the_unified_endpoint_can_omit_its_headers(http: httpx.Client) -> None:
    with LocalGateway(unified_headers=False) as gateway:
        response = Caller(gateway, http).post(routing="unified")
        names = [name for name in response.headers if name.startswith("cf-")]
        assert names == ["cf-ray", "cf-aig-cache-status"]


def test_every_request_is_recorded_as_received(ask: Caller) -> None:
    gw = ask.gateway
    path = "/v1/x/y/deepseek/chat/completions"
    ask.http.post(
        f"{gw.url}{path}?a=1&b=2",
        headers=[("X-Twice", "one"), ("X-Twice", "two")],
        json={"model": "m"},
    )
    ask.http.get(f"{gw.url}/favicon.ico")
    first, second = gw.requests
    assert {name: first.headers[name] for name in ("x-twice", "content-type")} == {
        "x-twice": "one, two",
        "content-type": "application/json",
    }
    assert first == RecordedRequest("POST", path, "a=1&b=2", first.headers, {"model": "m"})
    assert second == RecordedRequest("GET", "/favicon.ico", "", second.headers, None)


def test_other_paths_are_not_found(ask: Caller) -> None:
    response = ask.http.get(ask.gateway.url)
    assert (response.status_code, response.content) == (404, b"")
