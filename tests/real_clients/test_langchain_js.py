"""LangChain.js's `ChatDeepSeek` on the gateway's DeepSeek endpoint."""

import pytest

from langchain_cf_deepseek.local import LocalGateway, ScriptedCall
from tests.real_clients.conftest import Node

NOT_THINKING = {"modelKwargs": {"thinking": {"type": "disabled"}}}


def test_invoke_returns_text_reasoning_and_usage(gw: LocalGateway, run_client: Node) -> None:
    gw.reply(content="18 degrees.", reasoning="Paris.")
    answer = run_client("langchain_deepseek", "invoke")
    assert min(answer.pop("usage")) > 0
    assert answer == {"text": "18 degrees.", "reasoning": "Paris.", "calls": []}


def test_stream_adds_up_to_the_same(gw: LocalGateway, run_client: Node) -> None:
    gw.reply(content="18 degrees in Paris.", reasoning="Paris is a city.")
    answer = run_client("langchain_deepseek", "stream")
    assert min(answer.pop("usage")) > 0
    assert answer.pop("chunks") > 4
    assert answer == {
        "text": "18 degrees in Paris.",
        "reasoning": "Paris is a city.",
        "calls": [],
    }


def test_a_tool_call_and_its_result_make_a_conversation(gw: LocalGateway, run_client: Node) -> None:
    gw.reply(tool_calls=[ScriptedCall("get_weather", {"city": "Paris"})])
    gw.reply(content="18 degrees.")
    answer = run_client("langchain_deepseek", "tools", NOT_THINKING)
    assert answer["called"]["calls"] == [{"name": "get_weather", "args": {"city": "Paris"}}]
    assert answer["text"] == "18 degrees."
    assert gw.requests[1].body["messages"][-1]["content"] == "18 degrees in Paris"


def test_reasoning_is_dropped_after_a_tool_call_which_deepseek_rejects(
    gw: LocalGateway, run_client: Node
) -> None:
    gw.reply(reasoning="A tool.", tool_calls=[ScriptedCall("get_weather", {"city": "Paris"})])
    error = run_client("langchain_deepseek", "tools")
    assert (error["type"], error["status"]) == ("BadRequestError", 400)
    assert "`reasoning_content`" in error["message"]


def test_structured_output_is_an_object(gw: LocalGateway, run_client: Node) -> None:
    gw.reply(tool_calls=[ScriptedCall("place", {"city": "Paris"})])
    assert run_client("langchain_deepseek", "structured", NOT_THINKING) == {"city": "Paris"}


@pytest.mark.parametrize(
    ("name", "status"), [("deepseek-key", 401), ("gateway-token", 401), ("deepseek-busy", 503)]
)
def test_errors_have_their_status(
    gw: LocalGateway, run_client: Node, name: str, status: int
) -> None:
    gw.fail_next(name)
    assert run_client("langchain_deepseek", "invoke")["status"] == status
