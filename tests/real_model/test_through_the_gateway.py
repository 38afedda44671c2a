"""A real model behind the local gateway: client, gateway, llama.cpp. Shapes only, never the words.

llama.cpp's server closes the connection after every streamed answer although it announces
keep-alive, which the pools of client and gateway must survive.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from langchain_cf_deepseek import ChatCloudflareDeepSeek
from langchain_cf_deepseek.local import LocalGateway
from tests.conftest import Ask

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 8}},
            "required": ["city"],
        },
    },
}

QUESTION = HumanMessage("What is the weather in Paris?")


@pytest.fixture(scope="module")
def gateway(real_model_url: str) -> Iterator[LocalGateway]:
    with LocalGateway(upstream=real_model_url) as gateway:
        yield gateway


@pytest.fixture(params=["provider-native", "unified"])
def llm(gateway: LocalGateway, request: pytest.FixtureRequest) -> Iterator[ChatCloudflareDeepSeek]:
    gateway.reset()
    with gateway.chat_model(model="smollm2", routing=request.param, max_tokens=64) as llm:
        yield llm


def test_completion_has_reasoning_usage_and_gateway_metadata(
    llm: ChatCloudflareDeepSeek, ask: Ask
) -> None:
    message = ask(llm, [QUESTION])
    assert isinstance(message.content, str)
    assert message.content
    assert message.additional_kwargs["reasoning_content"]
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] > 0
    assert message.response_metadata["model_name"] == "smollm2"
    assert message.response_metadata["finish_reason"] == "stop"
    assert "log_id" in message.response_metadata["cloudflare_gateway"]


def test_connection_pools_survive_a_server_that_closes_after_each_stream(
    llm: ChatCloudflareDeepSeek,
) -> None:
    for _ in range(5):
        assert list(llm.stream([QUESTION]))[-1].chunk_position == "last"
        assert llm.invoke([QUESTION]).content


def test_json_mode_returns_json(llm: ChatCloudflareDeepSeek, ask: Ask) -> None:
    message = ask(llm, [QUESTION], response_format={"type": "json_object"})
    assert isinstance(json.loads(message.text), dict)


@pytest.mark.parametrize("tool_choice", ["auto", "any"])
def test_tool_call_has_its_arguments(
    llm: ChatCloudflareDeepSeek, ask: Ask, tool_choice: str
) -> None:
    message = ask(llm, [QUESTION], tools=[WEATHER], tool_choice=tool_choice)
    (call,) = message.tool_calls
    assert call["name"] == "get_weather"
    assert isinstance(call["args"]["city"], str)
    assert message.response_metadata["finish_reason"] == "tool_calls"


def test_gateway_credentials_are_not_sent_upstream(
    gateway: LocalGateway, llm: ChatCloudflareDeepSeek
) -> None:
    llm.invoke([QUESTION])
    request: Any = gateway.requests[-1]
    assert request.headers["authorization"].startswith("Bearer local-")
