"""Deep agents and their subagents, with a model that thinks and one that does not."""

import json
from typing import Any

import pytest
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel

from langchain_cf_deepseek.local import LocalGateway, ScriptedCall

deepagents = pytest.importorskip("deepagents", reason="installed by .ci/ecosystem only")

pytestmark = pytest.mark.filterwarnings("ignore:DeepSeek does not take a forced tool choice")

THINKING: list[dict[str, Any]] = [{}, {"thinking": "enabled"}, {"reasoning_effort": "max"}]
DELEGATE = ScriptedCall("task", {"description": "Find it.", "subagent_type": "weather-expert"})
LIMIT: dict[str, Any] = {"configurable": {"thread_id": "1"}, "recursion_limit": 60}


class Weather(BaseModel):
    """The weather of a city."""

    city: str
    degrees: int


def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"18 degrees in {city}"


def _weather_expert(**settings: Any) -> dict[str, Any]:
    return {
        "name": "weather-expert",
        "description": "Knows the weather of every city.",
        "system_prompt": "You report the weather.",
        "tools": [get_weather],
        **settings,
    }


def _ask(agent: Any, text: str) -> Any:
    return agent.invoke({"messages": [HumanMessage(text)]}, LIMIT)


def _script_structured_response(gw: LocalGateway, settings: dict[str, Any]) -> int:
    """Script what a forced choice ends in, and return the number of requests that it takes."""
    if (
        settings
    ):  # The model thinks, so DeepSeek cannot be forced at once: it replies in text first.
        gw.reply(content="18 degrees.", reasoning="Mild.")
    gw.reply(tool_calls=[ScriptedCall("Weather", {"city": "Paris", "degrees": 18})])
    return 2 if settings else 1


def _is_sent_back(request: Any) -> bool:
    """Whether every assistant turn of a request has its reasoning."""
    turns = [turn for turn in request.body["messages"] if turn["role"] == "assistant"]
    return all("reasoning_content" in turn for turn in turns)


@pytest.mark.parametrize("settings", THINKING)
def test_a_deep_agent_delegates_to_a_subagent_and_goes_on_in_the_next_turn(
    gw: LocalGateway, settings: dict[str, Any]
) -> None:
    gw.reply(reasoning="The expert knows.", tool_calls=[DELEGATE])
    gw.reply(tool_calls=[ScriptedCall("get_weather", {"city": "Paris"})])
    gw.reply(content="18 degrees.", reasoning="The tool said so.")
    gw.reply(content="It is 18 degrees in Paris.")
    agent = deepagents.create_deep_agent(
        gw.chat_model(**settings), subagents=[_weather_expert()], checkpointer=InMemorySaver()
    )
    state = _ask(agent, "What is the weather in Paris?")
    assert state["messages"][-1].text == "It is 18 degrees in Paris."
    assert len(gw.requests) == 4
    gw.reply(content="You are welcome.")
    assert _ask(agent, "Thank you.")["messages"][-1].text == "You are welcome."
    assert all(map(_is_sent_back, gw.requests))


@pytest.mark.parametrize("settings", THINKING)
def test_the_structured_response_of_a_deep_agent_is_complete(
    gw: LocalGateway, settings: dict[str, Any]
) -> None:
    requests = _script_structured_response(gw, settings)
    agent = deepagents.create_deep_agent(
        gw.chat_model(**settings), response_format=ToolStrategy(Weather)
    )
    state = _ask(agent, "What is the weather in Paris?")
    assert state["structured_response"] == Weather(city="Paris", degrees=18)
    assert len(gw.requests) == requests


@pytest.mark.parametrize("settings", THINKING)
def test_the_structured_response_of_a_subagent_reaches_its_deep_agent(
    gw: LocalGateway, settings: dict[str, Any]
) -> None:
    gw.reply(tool_calls=[DELEGATE])
    requests = _script_structured_response(gw, settings)
    gw.reply(content="It is 18 degrees in Paris.")
    subagent = _weather_expert(response_format=ToolStrategy(Weather), tools=[])
    agent = deepagents.create_deep_agent(gw.chat_model(**settings), subagents=[subagent])
    state = _ask(agent, "What is the weather in Paris?")
    assert state["messages"][-1].text == "It is 18 degrees in Paris."
    (result,) = [message for message in state["messages"] if message.type == "tool"]
    assert json.loads(result.text) == {"city": "Paris", "degrees": 18}
    assert len(gw.requests) == 2 + requests
