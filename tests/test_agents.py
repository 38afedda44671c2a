"""Agents run: tools, structured answers, middleware, and histories that survive a checkpoint."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    LLMToolSelectorMiddleware,
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    SummarizationMiddleware,
)
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessage, HumanMessage, messages_from_dict, messages_to_dict
from langchain_core.messages.utils import trim_messages
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from pydantic import BaseModel

from langchain_cf_deepseek.local import LocalGateway, ToolCall
from tests.tools import get_weather

QUESTION = "What is the weather in Paris? Use the tool."


class Weather(BaseModel):
    """The weather of a city."""

    city: str
    degrees: int


def _invoke(agent: Any, **state: Any) -> Any:
    return agent.invoke(state)


def _ainvoke(agent: Any, **state: Any) -> Any:
    return asyncio.run(agent.ainvoke(state))


@pytest.fixture(params=[_invoke, _ainvoke], ids=["invoke", "ainvoke"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    chosen: Callable[..., Any] = request.param
    return chosen


def _asked(text: str = QUESTION) -> Any:
    return [HumanMessage(text)]


@pytest.mark.parametrize("routing", ["provider-native", "unified"])
@pytest.mark.parametrize("settings", [{}, {"thinking": "enabled"}, {"thinking": "disabled"}])
def test_agent_calls_its_tool_and_answers_from_the_result(
    gw: LocalGateway, run: Callable[..., Any], routing: Any, settings: dict[str, Any]
) -> None:
    agent = create_agent(gw.chat_model(routing=routing, **settings), [get_weather])
    messages = run(agent, messages=_asked())["messages"]
    assert [message.type for message in messages] == ["human", "ai", "tool", "ai"]
    assert "18 degrees in Paris" in messages[-1].text
    assert messages[-1].usage_metadata["total_tokens"] > 0


@pytest.mark.parametrize("strategy", [Weather, ToolStrategy(Weather), ProviderStrategy(Weather)])
@pytest.mark.parametrize("tools", [[], [get_weather]])
@pytest.mark.parametrize("settings", [{}, {"thinking": "enabled"}])
@pytest.mark.filterwarnings("ignore:DeepSeek does not take a forced tool choice")
def test_agent_returns_a_structured_response_by_every_strategy(
    gw: LocalGateway,
    run: Callable[..., Any],
    strategy: Any,
    tools: list[Any],
    settings: dict[str, Any],
) -> None:
    answer = {"city": "Paris", "degrees": 18}
    if isinstance(strategy, ProviderStrategy):
        gw.reply(content=json.dumps(answer), reasoning="r")
    else:
        gw.reply(tool_calls=[ToolCall("Weather", answer)], reasoning="r")
    agent = create_agent(gw.chat_model(**settings), tools, response_format=strategy)
    result = run(agent, messages=_asked("The weather in Paris is 18 degrees."))
    assert result["structured_response"] == Weather(city="Paris", degrees=18)


def test_checkpoint_restores_the_whole_history(gw: LocalGateway, tmp_path: Any) -> None:
    """https://github.com/langchain-ai/langchain/issues/34436"""
    with SqliteSaver.from_conn_string(str(tmp_path / "checkpoints.sqlite")) as sqlite:
        for saver in (InMemorySaver(), sqlite):
            gw.reset()
            agent = create_agent(gw.chat_model(), [get_weather], checkpointer=saver)
            config: Any = {"configurable": {"thread_id": "1"}}
            first = agent.invoke({"messages": _asked()}, config)["messages"]
            agent.invoke({"messages": _asked("And is that warm?")}, config)
            turns = [
                message
                for message in gw.requests[-1].body["messages"]
                if message["role"] == "assistant"
            ]
            said = [message for message in first if message.type == "ai"]
            assert [turn["reasoning_content"] for turn in turns] == [
                message.additional_kwargs["reasoning_content"] for message in said
            ]
            assert all(turn["reasoning_content"] for turn in turns)


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
def test_reasoning_survives_serialization_and_trimming(gw: LocalGateway) -> None:
    llm = gw.chat_model()
    message = llm.invoke("Why is the sky blue?")
    history = [HumanMessage("Why is the sky blue?"), message, HumanMessage("Really?")]
    loaded = [load(dumpd(entry), allowed_objects="core") for entry in history]
    trimmed = trim_messages(
        history, max_tokens=10_000, token_counter=llm, start_on="human", include_system=True
    )
    for other in (messages_from_dict(messages_to_dict(history)), loaded, trimmed):
        gw.reset()
        llm.invoke(other)
        assert gw.requests[-1].body["messages"][1] == {
            "role": "assistant",
            "content": message.content,
            "reasoning_content": message.additional_kwargs["reasoning_content"],
        }


def test_checkpoint_restores_blocks_of_output_version_v1(gw: LocalGateway) -> None:
    agent = create_agent(gw.chat_model(output_version="v1"), [get_weather])
    messages = agent.invoke({"messages": _asked()})["messages"]
    called = messages[1]
    assert isinstance(called, AIMessage)
    assert [block["type"] for block in called.content_blocks] == ["reasoning", "tool_call"]
    turn = gw.requests[-1].body["messages"][1]
    assert turn["reasoning_content"] == called.content_blocks[0].get("reasoning")
    assert turn["content"] == ""
    assert turn["tool_calls"][0]["function"]["name"] == "get_weather"


def test_summarization_middleware_reads_the_models_limits_and_usage(gw: LocalGateway) -> None:
    llm = gw.chat_model()
    agent = create_agent(
        llm,
        [get_weather],
        middleware=[
            SummarizationMiddleware(llm, trigger=("fraction", 0.00002), keep=("messages", 1))
        ],
    )
    result = agent.invoke({"messages": _asked("Long ago. " * 200)})
    assert result["messages"][-1].text


def test_retry_middleware_retries_only_transient_failures(gw: LocalGateway) -> None:
    agent = create_agent(
        gw.chat_model(max_retries=0),
        [get_weather],
        middleware=[ModelRetryMiddleware(max_retries=2, initial_delay=0.01, on_failure="error")],
    )
    gw.fault(status=503, times=2)
    assert agent.invoke({"messages": _asked("Hello")})["messages"][-1].text
    assert len(gw.requests) == 3
    gw.reset()
    gw.fault(status=402, times=None)
    with pytest.raises(Exception, match="balance"):
        agent.invoke({"messages": _asked("Hello")})
    assert len(gw.requests) == 1


def test_fallback_middleware_switches_to_another_routing(gw: LocalGateway) -> None:
    agent = create_agent(
        gw.chat_model(gateway_token="wrong"),
        [get_weather],
        middleware=[ModelFallbackMiddleware(gw.chat_model(routing="unified"))],
    )
    assert "18 degrees" in agent.invoke({"messages": _asked()})["messages"][-1].text
    assert {request.path.split("/")[1] for request in gw.requests} == {"v1", "client"}


@tool
def get_time(city: str) -> str:
    """Get the time of a city."""
    return f"noon in {city}"


@pytest.mark.parametrize("settings", [{}, {"thinking": "enabled"}])
def test_tool_selection_middleware_offers_the_tool_that_fits(
    gw: LocalGateway, settings: dict[str, Any]
) -> None:
    llm = gw.chat_model(**settings)
    selector = LLMToolSelectorMiddleware(model=llm, max_tools=1)
    agent = create_agent(llm, [get_time, get_weather], middleware=[selector])
    end: Any = agent.invoke({"messages": _asked()})
    assert "18 degrees in Paris" in end["messages"][-1].text
    names = [tool["function"]["name"] for tool in gw.requests[1].body["tools"]]
    assert names == ["get_weather"]


def test_graph_streams_the_tokens_of_its_model(gw: LocalGateway) -> None:
    agent = create_agent(gw.chat_model(), [get_weather])
    parts: list[Any] = list(agent.stream({"messages": _asked()}, stream_mode="messages"))
    text = "".join(message.text for message, _ in parts if message.type == "AIMessageChunk")
    assert "18 degrees in Paris" in text
    assert sum(bool(getattr(message, "usage_metadata", None)) for message, _ in parts) == 2
