"""The AI SDK with Cloudflare's provider, `ai-gateway-provider`, and with its own for DeepSeek.

Cloudflare's provider sends everything to the universal endpoint:
https://developers.cloudflare.com/ai-gateway/integrations/vercel-ai-sdk/
"""

from collections.abc import Callable
from typing import Any

import pytest

from langchain_cf_deepseek.local import LocalGateway, ScriptedCall
from tests.real_clients.conftest import Node

QUESTION = {"role": "user", "content": "What is the weather in Paris?"}
UNAUTHORIZED = "Your AI Gateway has authentication active, but you didn't provide a valid apiKey"

FLASH = {"models": ["deepseek-flash"]}
CLIENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "deepseek": ("ai_gateway_provider", FLASH),
    "compat": (
        "ai_gateway_provider",
        {"provider": "compat", "models": ["deepseek/deepseek-flash"]},
    ),
    "own": ("ai_sdk_deepseek", FLASH),
}


@pytest.fixture(params=CLIENTS)
def ask(request: pytest.FixtureRequest, run_client: Node) -> Callable[[str], Any]:
    """Run a scenario with a model of each provider."""
    client, settings = CLIENTS[request.param]
    return lambda scenario: run_client(client, scenario, settings)


def sent_bodies(gw: LocalGateway) -> list[Any]:
    """The chat requests as DeepSeek receives them."""
    bodies = [request.body for request in gw.requests]
    return [body[0]["query"] if isinstance(body, list) else body for body in bodies]


def test_text_and_reasoning_arrive_whole(gw: LocalGateway, ask: Callable[[str], Any]) -> None:
    gw.reply(content="18 degrees.", reasoning="Paris.")
    answer = ask("text")
    usage = answer.pop("usage")
    assert answer == {
        "text": "18 degrees.",
        "reasoning": "Paris.",
        "finishReason": "stop",
        "model": "deepseek-flash",
    }
    assert 0 < usage["reasoning"] < usage["output"]
    assert usage["input"] > 0
    assert sent_bodies(gw)[0]["messages"] == [QUESTION]


def test_text_and_reasoning_are_streamed(gw: LocalGateway, ask: Callable[[str], Any]) -> None:
    gw.reply(content="18 degrees in Paris.", reasoning="Paris is a city.")
    answer = ask("stream")
    assert (answer["finishReason"], answer["errors"]) == ("stop", [])
    assert "".join(answer["text"]) == "18 degrees in Paris."
    assert "".join(answer["reasoning"]) == "Paris is a city."
    assert min(len(answer["text"]), len(answer["reasoning"])) > 1


@pytest.mark.parametrize("scenario", ["tools", "streamed_tools"])
def test_tools_are_called_and_their_results_sent_back(
    gw: LocalGateway, ask: Callable[[str], Any], scenario: str
) -> None:
    gw.reply(reasoning="A tool.", tool_calls=[ScriptedCall("get_weather", {"city": "Paris"})])
    gw.reply(content="18 degrees.")
    answer = ask(scenario)
    assert answer["calls"] == [{"toolName": "get_weather", "input": {"city": "Paris"}}]
    assert answer["text"] == "18 degrees."
    assert len(gw.requests) == 2
    assistant, result = sent_bodies(gw)[1]["messages"][-2:]
    assert assistant["reasoning_content"] == "A tool."
    assert (result["role"], result["content"]) == ("tool", "18 degrees in Paris")
    assert result["tool_call_id"] == assistant["tool_calls"][0]["id"]


def test_an_object_is_requested_in_json_mode(gw: LocalGateway, ask: Callable[[str], Any]) -> None:
    gw.reply(content='{"city": "Paris"}')
    assert ask("object") == {"city": "Paris"}
    assert sent_bodies(gw)[0]["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize("provider", ["deepseek", "compat"])
def test_cloudflares_provider_sends_one_entry_to_the_universal_endpoint(
    gw: LocalGateway, run_client: Node, provider: str
) -> None:
    client, settings = CLIENTS[provider]
    run_client(client, "text", settings)
    (request,) = gw.requests
    assert request.path == f"/v1/{gw.account_id}/{gw.gateway_id}"
    assert request.headers["cf-aig-authorization"] == f"Bearer {gw.gateway_token}"
    (entry,) = request.body
    assert (entry["provider"], entry["endpoint"]) == (provider, "chat/completions")
    assert entry["query"]["model"] == settings["models"][0]


@pytest.mark.parametrize("scenario", ["text", "stream"])
def test_a_second_model_answers_when_the_first_fails(
    gw: LocalGateway, run_client: Node, scenario: str
) -> None:
    gw.reply(content="18 degrees.")
    models = ["no-such-model", "deepseek-v4-pro"]
    answer = run_client("ai_gateway_provider", scenario, {"models": models})
    assert "".join(answer["text"]) == "18 degrees."
    assert answer["finishReason"] == "stop"
    (request,) = gw.requests
    assert [entry["query"]["model"] for entry in request.body] == models


def test_gateway_options_arrive_as_headers(gw: LocalGateway, run_client: Node) -> None:
    options = {
        "cacheTtl": 60,
        "cacheKey": "mine",
        "metadata": {"team": "search"},
        "collectLog": True,
        "eventId": "event-1",
        "requestTimeoutMs": 30000,
        "retries": {"maxAttempts": 2, "retryDelayMs": 100, "backoff": "constant"},
    }
    settings = {**FLASH, "options": options}
    first, second = (run_client("ai_gateway_provider", "text", settings) for _ in range(2))
    assert first == second
    assert gw.upstream_calls == 1
    sent = gw.requests[0].headers
    assert {name: sent[name] for name in sent if name.startswith("cf-aig-")} == {
        "cf-aig-authorization": f"Bearer {gw.gateway_token}",
        "cf-aig-cache-ttl": "60",
        "cf-aig-cache-key": "mine",
        "cf-aig-metadata": '{"team":"search"}',
        "cf-aig-collect-log": "true",
        "cf-aig-event-id": "event-1",
        "cf-aig-request-timeout": "30000",
        "cf-aig-max-attempts": "2",
        "cf-aig-retry-delay": "100",
        "cf-aig-backoff": "constant",
    }


def test_a_stored_key_needs_no_key_in_the_request(run_client: Node) -> None:
    with LocalGateway(stored_key=True) as gateway:
        gateway.reply(content="18 degrees.")
        settings = {**FLASH, "provider": "stored"}
        answer = run_client("ai_gateway_provider", "text", settings, gateway=gateway)
        assert answer["text"] == "18 degrees."
        (entry,) = gateway.requests[0].body
        assert "authorization" not in entry["headers"]


def test_a_wrong_gateway_token_is_recognised(run_client: Node) -> None:
    settings = {**FLASH, "token": "wrong"}
    assert run_client("ai_gateway_provider", "text", settings)["message"] == UNAUTHORIZED
    assert run_client("ai_gateway_provider", "stream", settings)["errors"] == [UNAUTHORIZED]


def test_an_unknown_gateway_is_recognised(run_client: Node) -> None:
    settings = {**FLASH, "gateway": "unknown"}
    error = run_client("ai_gateway_provider", "text", settings)
    assert error["message"] == "This AI gateway does not exist"


def test_a_wrong_deepseek_key_is_reported_with_its_status(run_client: Node) -> None:
    error = run_client("ai_gateway_provider", "text", FLASH, API_KEY="wrong")
    assert error["status"] == 401
    assert "Authentication Fails" in error["message"]
