"""OpenAI's SDK for JavaScript on all three routings, and the tools of the one for Python."""

import json
from typing import Any

import openai
import pytest

from langchain_cf_deepseek.local import LocalGateway, Routing, ScriptedCall
from tests.real_clients.conftest import Node

ROUTINGS: list[Routing] = ["provider-native", "unified", "compat"]
WEATHER = {"name": "get_weather", "parameters": {"type": "object"}}
MESSAGES: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
NOT_THINKING = {"thinking": {"type": "disabled"}}
TOOLS: list[Any] = [{"type": "function", "function": WEATHER}]


@pytest.fixture(params=ROUTINGS)
def routing(request: pytest.FixtureRequest) -> Routing:
    routing: Routing = request.param
    return routing


@pytest.fixture
def run_openai(gw: LocalGateway, run_client: Node, routing: Routing) -> Node:
    """Run a scenario on one routing, with the credential of that routing."""
    key = gw.cloudflare_api_token if routing == "unified" else gw.api_key

    def run(scenario: str, **body: Any) -> Any:
        model = "deepseek-flash" if routing == "provider-native" else "deepseek/deepseek-flash"
        body = {"model": model, **body}
        return run_client("openai", scenario, body, routing=routing, API_KEY=key)

    return run


def test_a_completion_arrives_with_its_reasoning(gw: LocalGateway, run_openai: Node) -> None:
    gw.reply(content="18 degrees.", reasoning="Paris.")
    assert run_openai("chat") == {
        "content": "18 degrees.",
        "reasoning_content": "Paris.",
        "model": "deepseek-flash",
        "step": "0",
    }


def test_a_stream_adds_up_and_ends_with_usage(gw: LocalGateway, run_openai: Node) -> None:
    gw.reply(content="18 degrees in Paris.")
    answer = run_openai("stream")
    assert answer["content"] == "".join(answer["deltas"]) == "18 degrees in Paris."
    assert answer["hasUsage"]


def test_the_tool_runner_calls_a_tool_and_returns_the_answer(
    gw: LocalGateway, run_openai: Node
) -> None:
    gw.reply(tool_calls=[ScriptedCall("get_weather", {"city": "Paris"})])
    gw.reply(content="18 degrees.")
    answer = run_openai("tools", **NOT_THINKING)
    assert answer == {"text": "18 degrees.", "roles": ["user", "assistant", "tool", "assistant"]}
    assert gw.requests[1].body["messages"][-1]["content"] == "18 degrees in Paris"


def test_the_tool_runner_drops_reasoning_which_deepseek_rejects(
    gw: LocalGateway, run_openai: Node
) -> None:
    gw.reply(reasoning="A tool.", tool_calls=[ScriptedCall("get_weather", {"city": "Paris"})])
    error = run_openai("tools")
    assert (error["type"], error["status"]) == ("BadRequestError", 400)
    assert "`reasoning_content`" in error["message"]


def test_the_model_list_is_deepseeks(run_client: Node) -> None:
    assert run_client("openai", "models") == ["deepseek-flash", "deepseek-v4-pro"]


@pytest.mark.parametrize(
    ("name", "error", "status"),
    [
        ("gateway-token", "AuthenticationError", 401),
        ("deepseek-key", "AuthenticationError", 401),
        ("deepseek-balance", "APIError", 402),
        ("rate-limit", "RateLimitError", 429),
        ("deepseek-busy", "InternalServerError", 503),
    ],
)
def test_failures_raise_the_error_class_of_their_status(
    gw: LocalGateway, run_client: Node, name: str, error: str, status: int
) -> None:
    gw.fail_next(name)
    raised = run_client("openai", "chat", {"model": "deepseek-flash"})
    assert (raised["type"], raised["status"]) == (error, status)


def test_the_python_sdk_calls_a_tool_whole_and_streamed(gw: LocalGateway) -> None:
    for _ in range(2):
        gw.reply(tool_calls=[ScriptedCall("get_weather", {"city": "Paris"})])
    with openai.OpenAI(
        base_url=gw.base_url(),
        api_key=gw.api_key,
        default_headers={"cf-aig-authorization": f"Bearer {gw.gateway_token}"},
    ) as client:
        whole = client.chat.completions.create(
            model="deepseek-flash", messages=MESSAGES, tools=TOOLS
        ).choices[0]
        with client.chat.completions.stream(
            model="deepseek-flash", messages=MESSAGES, tools=TOOLS
        ) as stream:
            streamed = stream.get_final_completion().choices[0]
    for choice in (whole, streamed):
        assert choice.finish_reason == "tool_calls"
        (tool_call,) = choice.model_dump()["message"]["tool_calls"]
        function = tool_call["function"]
        assert (function["name"], json.loads(function["arguments"])) == (
            "get_weather",
            {"city": "Paris"},
        )
