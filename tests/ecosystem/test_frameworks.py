"""Supervisor, swarm, MCP tools and memory of others, each on this model."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver

from langchain_cf_deepseek.local import LocalGateway, ScriptedCall

REASON = "installed by .ci/ecosystem only"
SERVER = str(Path(__file__).with_name("temperature_server.py"))


def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"18 degrees in {city}"


def _asked(text: str) -> Any:
    return {"messages": [HumanMessage(text)]}


@pytest.mark.filterwarnings("ignore:create_react_agent has been moved:DeprecationWarning")
def test_a_supervisor_hands_over_and_takes_back(gw: LocalGateway) -> None:
    supervisor = pytest.importorskip("langgraph_supervisor", reason=REASON)
    llm = gw.chat_model(thinking="enabled")
    expert = create_agent(llm, [get_weather], name="weather_expert")
    graph = supervisor.create_supervisor([expert], model=llm).compile()
    gw.reply(reasoning="Weather.", tool_calls=[ScriptedCall("transfer_to_weather_expert", {})])
    gw.reply(tool_calls=[ScriptedCall("get_weather", {"city": "Paris"})])
    gw.reply(content="18 degrees.")
    gw.reply(content="It is 18 degrees in Paris.")
    with pytest.warns(UserWarning, match="parallel_tool_calls"):
        state = graph.invoke(_asked("What is the weather in Paris?"))
    assert state["messages"][-1].text == "It is 18 degrees in Paris."
    assert len(gw.requests) == 4
    assert gw.requests[0].body["parallel_tool_calls"] is False


def test_a_swarm_changes_its_active_agent_and_keeps_it(gw: LocalGateway) -> None:
    swarm = pytest.importorskip("langgraph_swarm", reason=REASON)
    llm = gw.chat_model(thinking="enabled")
    alice = create_agent(llm, [swarm.create_handoff_tool(agent_name="Bob")], name="Alice")
    bob = create_agent(
        llm, [get_weather, swarm.create_handoff_tool(agent_name="Alice")], name="Bob"
    )
    graph = swarm.create_swarm([alice, bob], default_active_agent="Alice").compile(
        checkpointer=InMemorySaver()
    )
    thread: Any = {"configurable": {"thread_id": "1"}}
    gw.reply(reasoning="Bob knows.", tool_calls=[ScriptedCall("transfer_to_bob", {})])
    gw.reply(content="I am Bob.")
    gw.reply(tool_calls=[ScriptedCall("get_weather", {"city": "Paris"})])
    gw.reply(content="18 degrees.")
    graph.invoke(_asked("I want to talk to Bob."), thread)
    state = graph.invoke(_asked("What is the weather in Paris?"), thread)
    assert state["active_agent"] == "Bob"
    assert state["messages"][-1].text == "18 degrees."
    assert len(gw.requests) == 4


def test_mcp_tools_of_a_server_on_stdio_are_called_and_their_results_are_sent(
    gw: LocalGateway,
) -> None:
    client = pytest.importorskip("langchain_mcp_adapters.client", reason=REASON)
    server = {"transport": "stdio", "command": sys.executable, "args": [SERVER]}
    gw.reply(
        tool_calls=[
            ScriptedCall("get_temperature", {"city": "Paris"}),
            ScriptedCall("find_forecast", {"city": "Paris"}),
        ]
    )
    gw.reply(content="18 degrees, and here is the forecast.")

    async def run() -> Any:
        tools = await client.MultiServerMCPClient({"weather": server}).get_tools()
        agent = create_agent(gw.chat_model(), tools)
        return await agent.ainvoke(_asked("What is the weather in Paris, and the forecast?"))

    state = asyncio.run(run())
    assert state["messages"][-1].text == "18 degrees, and here is the forecast."
    results = [turn for turn in gw.requests[1].body["messages"] if turn["role"] == "tool"]
    assert "18 degrees in Paris" in json.dumps(results[0])
    assert "https://forecast.example.com/Paris.txt" in json.dumps(results[1])
    assert all(isinstance(m.tool_call_id, str) for m in state["messages"] if type(m) is ToolMessage)


def test_a_memory_manager_extracts_memories(gw: LocalGateway) -> None:
    langmem = pytest.importorskip("langmem", reason=REASON)
    gw.reply(tool_calls=[ScriptedCall("Memory", {"content": "Ada likes rain."})])
    manager = langmem.create_memory_manager(gw.chat_model(), enable_updates=False)
    memories = manager.invoke(_asked("I am Ada, and I like rain."))
    assert [memory.content.content for memory in memories] == ["Ada likes rain."]
