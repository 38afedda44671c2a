"""A completion is sent back unchanged in the next turn, whatever happened to its message."""

import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from langchain_core.load import dumps, loads
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    ToolMessage,
    messages_from_dict,
    messages_to_dict,
)

from langchain_cf_deepseek.errors import CFDeepSeekError
from tests.fuzz.conftest import share
from tests.fuzz.servers import MemoryTransport
from tests.fuzz.strategies.answers import Answer, answers, events_of, to_bytes
from tests.fuzz.strategies.values import plain_texts

pytestmark = pytest.mark.filterwarnings("ignore:The function `loads` is in beta")

memory = MemoryTransport()
MODELS = {version: memory.chat_model(output_version=version) for version in ("v0", "v1")}
TOOLS = [{"type": "function", "function": {"name": "f"}}]


def _in_blocks(message: AIMessage) -> AIMessage:
    kwargs = {k: v for k, v in message.additional_kwargs.items() if k != "reasoning_content"}
    return AIMessage(
        content_blocks=message.content_blocks,
        additional_kwargs=kwargs,
        response_metadata={**message.response_metadata, "output_version": "v1"},
    )


JOURNEYS: dict[str, Callable[[AIMessage], BaseMessage]] = {
    "dumped and loaded": lambda message: loads(dumps(message), allowed_objects="messages"),
    "pickled": lambda message: pickle.loads(pickle.dumps(message)),
    "as dicts": lambda message: messages_from_dict(messages_to_dict([message]))[0],
    "validated": lambda message: type(message).model_validate(message.model_dump()),
    "as blocks": _in_blocks,
    "dumped as blocks": lambda message: loads(
        dumps(_in_blocks(message)), allowed_objects="messages"
    ),
}


def _sent_back(message: BaseMessage) -> dict[str, Any]:
    """Return the body of the next turn, with results for the tool calls in `message`."""
    memory.pieces = [b'{"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}']
    memory.sent.clear()
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    results = [ToolMessage("18", tool_call_id=call["id"] or "") for call in calls]
    MODELS["v0"].invoke([HumanMessage("Hi"), message, *results, HumanMessage("?")], tools=TOOLS)
    body: dict[str, Any] = json.loads(memory.sent[0])
    return body


@st.composite
def _answers_and_events(draw: st.DrawFn) -> tuple[Answer, list[dict[str, Any]]]:
    answer = draw(answers(plain_texts))
    return answer, draw(events_of(answer))


@share(1 / 5)
@given(_answers_and_events())
def test_completion_is_sent_back_unchanged_after_any_round_trip(
    said: tuple[Answer, list[dict[str, Any]]],
) -> None:
    answer, events = said
    memory.pieces = [to_bytes(answer.whole())]
    try:
        message = MODELS["v0"].invoke("Hi", tools=TOOLS)
    except CFDeepSeekError:
        assume(False)
    body = _sent_back(message)
    turn = body["messages"][1]
    expected = {
        "role": "assistant",
        "content": answer.content,
        "reasoning_content": answer.reasoning,
        **{
            key: value
            for key, value in answer.undocumented.items()
            if value is not None and key != "title"
        },
    }
    assert turn == expected | ({"tool_calls": turn["tool_calls"]} if answer.calls else {})
    for version, llm in MODELS.items():
        memory.pieces = [to_bytes(answer.whole())]
        whole = llm.invoke("Hi", tools=TOOLS)
        memory.pieces = [b"data: " + to_bytes(event) + b"\n\n" for event in events]
        chunks = list(llm.stream("Hi", tools=TOOLS))
        total = chunks[0]
        for chunk in chunks[1:]:
            total = total + chunk
        for form in (whole, total):
            assert _sent_back(form) == body, version
            for journey, travel in JOURNEYS.items():
                assert _sent_back(travel(form)) == body, (version, journey)


def test_surrogate_half_in_arguments_is_sent_back_as_the_replacement_character() -> None:
    call = {"id": "a", "function": {"name": "f", "arguments": '{"x": "\\ud83d"}'}}
    choice = {"message": {"content": "", "tool_calls": [call]}, "finish_reason": "tool_calls"}
    memory.pieces = [to_bytes({"choices": [choice]})]
    message = MODELS["v0"].invoke("Hi", tools=TOOLS)
    (sent,) = _sent_back(message)["messages"][1]["tool_calls"]
    assert sent["function"]["arguments"] == '{"x": "\ufffd"}'
