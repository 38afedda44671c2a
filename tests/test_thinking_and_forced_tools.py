"""A thinking model and a forced tool call: both work, with a second request where needed."""

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.messages import HumanMessage
from pydantic import BaseModel

from langchain_cf_deepseek import errors
from langchain_cf_deepseek.local import LocalGateway, ToolCall
from tests.conftest import PATHS
from tests.tools import get_weather

pytestmark = pytest.mark.filterwarnings("ignore:DeepSeek does not take a forced tool choice")


class Weather(BaseModel):
    """The weather of a city."""

    city: str
    degrees: int


THINKING = [{"thinking": "enabled"}, {"reasoning_effort": "max"}, {"reasoning_effort": "low"}]
ARGS: dict[str, Any] = {"city": "Paris", "degrees": 18}
OFF = {"type": "disabled"}


@pytest.mark.parametrize("settings", THINKING)
@pytest.mark.parametrize("version", ["v0", "v1"])
def test_forced_tool_call_answered_in_text_is_forced_by_a_second_request(
    gw: LocalGateway, path: str, settings: dict[str, Any], version: str
) -> None:
    gw.reply(content="It is 18 degrees.", reasoning="Paris is mild.")
    gw.reply(tool_calls=[ToolCall("Weather", ARGS)])
    llm = gw.chat_model(output_version=version, **settings).bind_tools([Weather], tool_choice="any")
    with get_usage_metadata_callback() as counted:
        message = PATHS[path](llm, "What is the weather in Paris?")
    assert [call["args"] for call in message.tool_calls] == [ARGS]
    assert message.text == "It is 18 degrees."
    first_block, *others = message.content_blocks
    assert first_block["type"] == "reasoning"
    assert first_block["reasoning"] == "Paris is mild."
    assert [block["type"] for block in others] == ["text", "tool_call"]
    assert message.response_metadata["finish_reason"] == "tool_calls"
    first, second = gw.requests
    assert first.body["tool_choice"] == "auto"
    assert second.body["tool_choice"] == "required"
    assert second.body["thinking"] == OFF
    assert "reasoning_effort" not in second.body
    assert second.body["messages"] == [
        *first.body["messages"],
        {"role": "assistant", "content": "It is 18 degrees."},
    ]
    (usage,) = counted.usage_metadata.values()
    assert usage == message.usage_metadata
    assert usage["input_tokens"] > 2 * len(gw.requests)


@pytest.mark.parametrize("settings", THINKING)
def test_forced_tool_call_made_while_thinking_takes_one_request(
    gw: LocalGateway, path: str, settings: dict[str, Any]
) -> None:
    gw.reply(tool_calls=[ToolCall("Weather", ARGS)], reasoning="Paris is mild.")
    llm = gw.chat_model(**settings).bind_tools([Weather], tool_choice="Weather")
    message = PATHS[path](llm, "Hi")
    assert [call["args"] for call in message.tool_calls] == [ARGS]
    assert len(gw.requests) == 1


def test_second_request_that_fails_is_a_typed_error(gw: LocalGateway, path: str) -> None:
    gw.reply(content="It is 18 degrees.", reasoning="Paris is mild.")
    gw.reply(content="Still text.")
    llm = gw.chat_model(thinking="enabled").bind_tools([Weather], tool_choice="Weather")
    with pytest.raises(errors.CFDeepSeekAPIError, match="`tool_choice` demands a tool call"):
        PATHS[path](llm, "Hi")
    assert len(gw.requests) == 2


def test_text_truncated_by_the_limit_is_an_error_where_a_tool_call_was_forced(
    gw: LocalGateway, path: str
) -> None:
    llm = gw.chat_model(thinking="enabled", max_retries=0)
    gw.reply(content="It is 18", reasoning="Paris.", finish_reason="length")
    with pytest.raises(errors.CFDeepSeekMaxTokensError):
        PATHS[path](llm.bind_tools([Weather], tool_choice="any"), "Hi")
    gw.reply(content="It is 18", reasoning="Paris.", finish_reason="length")
    assert PATHS[path](llm.bind_tools([Weather]), "Hi").content == "It is 18"


@pytest.mark.parametrize("failure", ["deepseek-balance", "cut", "text"])
def test_second_request_failure_keeps_the_usage_of_the_first(
    gw: LocalGateway, path: str, failure: str
) -> None:
    gw.reply(content="It is 18 degrees.", reasoning="Paris is mild.")
    llm = gw.chat_model(thinking="enabled", max_retries=0)
    gw.fault(delay=0)
    if failure == "deepseek-balance":
        gw.fail_next(failure)
    elif failure == "cut":
        gw.fault(then="cut", after_chunks=0)
    else:
        gw.reply(content="Still text.")
    with get_usage_metadata_callback() as counted, pytest.raises(errors.CFDeepSeekError) as caught:
        PATHS[path](llm.bind_tools([Weather], tool_choice="any"), "Hi")
    assert caught.value.partial.startswith("It is 18 degrees.")
    assert caught.value.raw_message is not None
    assert caught.value.raw_message.additional_kwargs == {"reasoning_content": "Paris is mild."}
    assert counted.usage_metadata == {"deepseek-flash": caught.value.usage_metadata}


@pytest.mark.parametrize("settings", THINKING)
@pytest.mark.parametrize("strategy", [Weather, ToolStrategy(Weather)])
@pytest.mark.parametrize("tools", [[], [get_weather]])
@pytest.mark.parametrize("is_streamed", [False, True])
def test_agent_that_thinks_ends_with_its_structured_response(
    gw: LocalGateway,
    settings: dict[str, Any],
    strategy: Any,
    tools: list[Any],
    *,
    is_streamed: bool,
) -> None:
    """Its recursion limit is 9,999, and it repeats a request for a tool call that is never made."""
    if tools:
        gw.reply(tool_calls=[ToolCall("get_weather", {"city": "Paris"})], reasoning="Look.")
    gw.reply(content="It is 18 degrees in Paris.", reasoning="Now I know.")
    gw.reply(tool_calls=[ToolCall("Weather", ARGS)])
    agent = create_agent(gw.chat_model(**settings), tools, response_format=strategy)
    state: Any = {"messages": [HumanMessage("What is the weather in Paris?")]}
    if is_streamed:
        parts: list[Any] = list(agent.stream(state, stream_mode=["messages", "values"]))
        end = parts[-1][1]
    else:
        end = agent.invoke(state)
    assert end["structured_response"] == Weather(**ARGS)
    assert len(gw.requests) == len(tools) + 2
    thoughts = [message.additional_kwargs.get("reasoning_content") for message in end["messages"]]
    assert "Now I know." in thoughts
