"""Other clients: the plain `openai` SDK, `ChatDeepSeek`, and an agent on top of it."""

import gc
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware.types import InputAgentState
from langchain.agents.structured_output import ToolStrategy
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_deepseek import ChatDeepSeek
from langchain_tests.integration_tests import ChatModelIntegrationTests
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

from langchain_cf_deepseek.local import LocalGateway, Routing

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello!"}]


def arguments(gw: LocalGateway, routing: Routing) -> dict[str, Any]:
    if routing == "unified":
        return {"base_url": gw.base_url(routing), "api_key": gw.cloudflare_api_token}
    return {
        "base_url": gw.base_url(routing),
        "api_key": gw.api_key,
        "default_headers": {"cf-aig-authorization": f"Bearer {gw.gateway_token}"},
    }


def model_name(routing: Routing) -> str:
    return "deepseek-flash" if routing == "provider-native" else "deepseek/deepseek-flash"


@pytest.mark.parametrize("routing", ["provider-native", "unified", "compat"])
def test_the_openai_client_works_on_every_routing(gw: LocalGateway, routing: Routing) -> None:
    gw.reply(content="one two", reasoning="hm")
    gw.reply(content="one two", reasoning="hm")
    with openai.OpenAI(**arguments(gw, routing)) as client:
        raw = client.chat.completions.with_raw_response.create(
            model=model_name(routing),
            messages=MESSAGES,
            extra_headers={"cf-aig-event-id": "mine"},
        )
        answer = raw.parse()
        stream = client.chat.completions.create(
            model=model_name(routing), messages=MESSAGES, stream=True
        )
        deltas = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert raw.headers["cf-aig-event-id"] == "mine"
    assert answer.choices[0].message.content == "".join(deltas) == "one two"


async def test_the_async_openai_client_works_too(gw: LocalGateway) -> None:
    async with openai.AsyncOpenAI(**arguments(gw, "provider-native")) as client:
        answer = await client.chat.completions.create(model="deepseek-flash", messages=MESSAGES)
        stream = await client.chat.completions.create(
            model="deepseek-flash",
            messages=MESSAGES,
            stream=True,
            extra_headers={"cf-aig-cache-ttl": "60"},
        )
        deltas = [chunk.choices[0].delta.content or "" async for chunk in stream]
        models = [model.id async for model in client.models.list()]
    assert answer.choices[0].message.content == "".join(deltas)
    assert models == ["deepseek-flash", "deepseek-v4-pro"]
    assert gw.requests[1].headers["cf-aig-cache-ttl"] == "60"


def test_the_openai_client_sees_errors_and_broken_streams(gw: LocalGateway) -> None:
    with openai.OpenAI(**arguments(gw, "provider-native"), max_retries=0) as client:
        with pytest.raises(openai.BadRequestError, match="valid range of temperature"):
            client.chat.completions.create(model="deepseek-flash", messages=MESSAGES, temperature=3)
        gw.fault(then="error_event")
        with pytest.raises(openai.APIError, match="Internal server error"):
            list(
                client.chat.completions.create(
                    model="deepseek-flash", messages=MESSAGES, stream=True
                )
            )
        gw.fault(status=503)
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model="deepseek-flash", messages=MESSAGES)


def asked(question: str) -> InputAgentState:
    return {"messages": [HumanMessage(question)]}


@tool
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"sunny, 22 degrees in {city}"


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class WeatherReport(BaseModel):
    """A report on the weather."""

    city: str
    degrees: int


def deepseek_arguments(gw: LocalGateway) -> dict[str, Any]:
    given = arguments(gw, "provider-native")
    return {
        "model": "deepseek-flash",
        "api_base": given["base_url"],
        "api_key": given["api_key"],
        "default_headers": given["default_headers"],
        "extra_body": {"thinking": {"type": "disabled"}},
    }


@pytest.fixture
def chat_deepseek(gw: LocalGateway) -> ChatDeepSeek:
    return ChatDeepSeek(**deepseek_arguments(gw))


def test_an_agent_calls_its_tools_and_answers(chat_deepseek: ChatDeepSeek) -> None:
    agent = create_agent(chat_deepseek, [get_weather, add, multiply])
    answer = agent.invoke(asked("The weather in Rome and Oslo?"))["messages"][-1]
    assert answer.content == (
        "get_weather: sunny, 22 degrees in Rome\nget_weather: sunny, 22 degrees in Oslo"
    )


def test_an_agent_takes_one_step_after_another(chat_deepseek: ChatDeepSeek) -> None:
    agent = create_agent(chat_deepseek, [get_weather, add, multiply])
    question = "Add 2 and 3, then multiply the result by 4."
    answer = agent.invoke(asked(question))["messages"][-1]
    assert answer.content == "add: 5\nmultiply: 20"


def test_an_agent_fills_in_its_response_format(chat_deepseek: ChatDeepSeek) -> None:
    agent = create_agent(chat_deepseek, [get_weather], response_format=ToolStrategy(WeatherReport))
    report = agent.invoke(asked("What is the weather in Rome?"))["structured_response"]
    assert report == WeatherReport(city="Rome", degrees=22)


def test_json_mode_follows_the_schema_in_the_prompt(chat_deepseek: ChatDeepSeek) -> None:
    reports = chat_deepseek.with_structured_output(WeatherReport, method="json_mode")
    schema = json.dumps(WeatherReport.model_json_schema())
    question = f"It has 22 degrees in Rome. Answer in JSON: {schema}"
    assert reports.invoke(question) == WeatherReport(city="Rome", degrees=22)


# ChatDeepSeek keeps its async connections open when an event loop ends.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
class TestChatDeepSeek(ChatModelIntegrationTests):
    """LangChain's own tests, on LangChain's own DeepSeek client."""

    @pytest.fixture(autouse=True)
    def _close_connections(self) -> Iterator[None]:
        """Collect open connections now, so that no later test fails with their warning."""
        yield
        gc.collect()

    @pytest.fixture(autouse=True)
    def _at(self, gw: LocalGateway) -> None:
        self.given = deepseek_arguments(gw)

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatDeepSeek

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return self.given

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "deepseek-v4-pro"
