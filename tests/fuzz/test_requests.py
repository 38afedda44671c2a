"""Any input gives a body that DeepSeek accepts, or a clear error before anything is sent."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    ToolMessage,
)

from langchain_cf_deepseek.errors import CFDeepSeekAPIError, CFDeepSeekInvalidRequestError
from langchain_cf_deepseek.local import LocalGateway
from tests.conftest import PATHS
from tests.fuzz.conftest import share
from tests.fuzz.oracle import client_defect, is_left_to_deepseek, missing_texts
from tests.fuzz.servers import MemoryTransport
from tests.fuzz.strategies.messages import histories
from tests.fuzz.strategies.parameters import any_parameters

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*DeepSeek does not take a forced tool choice:UserWarning",
    "ignore:.*the tools are sent without `strict`:UserWarning",
    "ignore:DeepSeek ignores `parallel_tool_calls`:UserWarning",
    "ignore:content blocks of the types .* are dropped:UserWarning",
)

memory = MemoryTransport()
memory.pieces = [b'{"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}']
models = st.fixed_dictionaries(
    {
        "routing": st.sampled_from(["provider-native", "unified", "compat"]),
        "thinking": st.sampled_from([None, "enabled", "disabled"]),
    }
).map(lambda settings: memory.chat_model(**settings))

# A clear error names the message or field that is wrong.
_NAMES_THE_CULPRIT = re.compile(r"messages\[\d+\]|`[\w.\[\]]+`|prefix completion")


@given(models, histories, any_parameters)
def test_request_is_valid_for_deepseek_or_rejected_by_name(
    llm: Any, history: list[BaseMessage], parameters: dict[str, Any]
) -> None:
    memory.sent.clear()
    refusal = _rejection_of(lambda: llm.invoke(history, **parameters))
    if refusal is not None:
        assert type(refusal) is CFDeepSeekInvalidRequestError
        assert refusal.origin == "client"
        assert _NAMES_THE_CULPRIT.search(str(refusal))
        assert memory.sent == []
        return
    for raw in memory.sent:  # a second one forces the tool call that thinking did not make
        assert client_defect(raw) is None
    body = json.loads(memory.sent[0])
    assert missing_texts(history, body) == []
    _assert_continues(llm, history, parameters, body)


def _assert_continues(
    llm: Any, history: list[BaseMessage], parameters: dict[str, Any], body: dict[str, Any]
) -> None:
    """Check that DeepSeek also accepts the history with a further question."""
    if body["messages"] and "prefix" in body["messages"][-1]:
        return  # a prefix with a response is no longer the last message
    memory.sent.clear()
    question = HumanMessage("Go on, in json")
    assert _rejection_of(lambda: llm.invoke([*history, question], **parameters)) is None
    assert client_defect(memory.sent[0]) is None
    *longer, last = json.loads(memory.sent[0])["messages"]
    assert last == {"role": "user", "content": "Go on, in json"}
    said = [message for message in body["messages"] if message not in longer]
    # A system message was added where no message contained the word JSON.
    assert [message for message in said if message["role"] != "system"] == []


def _rejection_of(call: Callable[[], Any]) -> Exception | None:
    try:
        call()
    except (ValueError, CFDeepSeekInvalidRequestError) as error:
        return error
    except CFDeepSeekAPIError:
        return None  # the response here is text and not the forced tool call
    return None


@share(1 / 5)
@given(
    st.sampled_from(sorted(PATHS)),
    st.sampled_from(["provider-native", "unified", "compat"]),
    histories,
    any_parameters,
)
def test_request_over_http_is_answered_or_rejected_by_name_on_every_path(
    running_gateway: LocalGateway,
    path: str,
    routing: Any,
    history: list[BaseMessage],
    parameters: dict[str, Any],
) -> None:
    running_gateway.reset()
    running_gateway.reply(content='{"a": 1}')
    llm = running_gateway.chat_model(routing=routing, max_retries=0)
    refusal = _rejection_of(lambda: PATHS[path](llm, history, **parameters))
    if isinstance(refusal, CFDeepSeekInvalidRequestError) and refusal.origin == "deepseek":
        assert is_left_to_deepseek(refusal.message)
    elif refusal is not None:
        assert _NAMES_THE_CULPRIT.search(str(refusal))
        assert running_gateway.requests == []


def _sent(*messages: BaseMessage, **parameters: Any) -> dict[str, Any]:
    memory.sent.clear()
    memory.chat_model().invoke(list(messages), **parameters)
    body: dict[str, Any] = json.loads(memory.sent[0])
    return body


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (
            ChatMessage(
                role="assistant", content="Hi", additional_kwargs={"reasoning_content": "Greet."}
            ),
            {"role": "assistant", "content": "Hi", "reasoning_content": "Greet."},
        ),
        (
            AIMessage(
                [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "So."}]}]
            ),
            {"role": "assistant", "content": "", "reasoning_content": "So."},
        ),
        (
            AIMessage("", additional_kwargs={"refusal": "I will not."}),
            {"role": "assistant", "content": "I will not.", "reasoning_content": ""},
        ),
        (
            AIMessage(
                [{"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}],
                tool_calls=[{"name": "f", "args": {"x": "\ud83d"}, "id": "a"}],
            ),
            {
                "role": "assistant",
                "content": "",
                "reasoning_content": "",
                "tool_calls": [
                    {
                        "type": "function",
                        "id": "a",
                        "function": {"name": "f", "arguments": '{"x": "\ufffd"}'},
                    }
                ],
            },
        ),
    ],
)
def test_messages_of_another_model_lose_nothing(message: BaseMessage, wire: dict[str, Any]) -> None:
    assert _sent(message)["messages"] == [wire]


@pytest.mark.parametrize(
    ("message", "expected_error"),
    [
        (HumanMessage([{"type": "text"}]), "a content block needs a string under 'text'"),
        (HumanMessage([{"type": "image_url", "image_url": ["x"]}]), "an image needs"),
        (
            HumanMessage(
                [{"type": "image_url", "image_url": {"url": "https://x/", "detail": "x"}}]
            ),
            "the `detail` of an image must be one of",
        ),
        (HumanMessage([{"type": "image", "file_id": 7}]), "needs a string under 'file_id'"),
        (
            AIMessage("", tool_calls=[{"name": "f", "args": {"x": {1}}, "id": "a"}]),
            "the tool call 'f': `args.x` cannot be sent: JSON in UTF-8 cannot represent {1}",
        ),
        (
            AIMessage(
                "Hi",
                additional_kwargs={"prefix": True},
                tool_calls=[{"name": "f", "args": {}, "id": "a"}],
            ),
            "a `prefix` cannot hold tool calls",
        ),
        (
            AIMessage("", additional_kwargs={"deepseek": {"tool_calls": 0}}),
            "additional_kwargs['deepseek'] cannot hold ['tool_calls']",
        ),
        (ChatMessage(role="tool", content="18"), "a ToolMessage for the result of a tool"),
        (ChatMessage(role="latest_reminder", content=["a", "b"]), "must be one text"),
    ],
)
def test_message_that_would_lose_content_is_rejected(
    message: BaseMessage, expected_error: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(expected_error)):
        _sent(message)


_HOLDS_ITSELF: list[Any] = []
_HOLDS_ITSELF.append(_HOLDS_ITSELF)


@pytest.mark.parametrize(
    ("parameters", "expected_error"),
    [
        ({"temperature": "hot"}, "`temperature` must be a number, not 'hot'"),
        ({"temperature": 10**400}, "`temperature` must be a number"),
        ({"max_tokens": True}, "`max_tokens` must be a whole number of at least 0, not True"),
        ({"stop": [1]}, "`stop` must be a string or a list of strings"),
        ({"stream_options": {"include_usage": 1}}, "`stream_options` must be a dict"),
        ({"thinking": {"type": "enabled", "budget_tokens": -1}}, "`thinking` must be a dict"),
        ({"thinking": {"type": []}}, "`thinking` must be 'enabled' or 'disabled', not []"),
        ({"tools": [7]}, "`tools[0]` must be a dict, not 7"),
        ({"tools": [{"function": {}}]}, "`tools[0].type` must be a string, not None"),
        ({"tools": [{"type": "function"}]}, "`tools[0].function` must be a dict, not None"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "strict": "yes"}}]},
            "`tools[0].function.strict` must be a boolean, not 'yes'",
        ),
        (
            {
                "tools": [{"type": "function", "function": {"name": "f"}}],
                "tool_choice": {"type": 1},
            },
            "`tool_choice` {'type': 1} names no tool",
        ),
        ({"response_format": {"type": "grammar"}}, "`response_format` must be of the type"),
        ({"response_format": {"type": "json_schema"}}, "`response_format` must be of the type"),
        (
            {"response_format": {"type": "object", "default": {1}}},
            "`response_format.default` cannot be sent",
        ),
        ({"model": 7}, "`model` must be a string, not 7"),
        ({"extra_body": [1]}, "`extra_body` must be a dict of parameters, not [1]"),
        ({"extra_body": {"stream": True}}, "`extra_body` cannot hold `stream`"),
        ({"extra_body": {"x": [float("nan")]}}, "`x[0]` cannot be sent"),
        ({"extra_body": {"x": 10**5000}}, "cannot represent a number of this length"),
        ({"extra_body": {"x": _HOLDS_ITSELF}}, "cannot be sent"),
    ],
)
def test_parameter_that_deepseek_cannot_read_is_rejected_by_name(
    parameters: dict[str, Any], expected_error: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(expected_error)):
        _sent(HumanMessage("Hi"), **parameters)
    assert memory.sent == []


def test_prefix_is_sent_without_tools() -> None:
    prefix = AIMessage("The", additional_kwargs={"prefix": True})
    with pytest.raises(ValueError, match="prefix completion excludes `tools`"):
        _sent(HumanMessage("Hi"), prefix, tools=[{"type": "function", "function": {"name": "f"}}])


def test_prefix_must_be_the_last_message() -> None:
    prefix = AIMessage("The", additional_kwargs={"prefix": True})
    with pytest.raises(ValueError, match=r"messages\[0\]: only the last message can be a `prefix`"):
        _sent(prefix, HumanMessage("Hi"))


def test_model_none_in_a_call_means_the_configured_model() -> None:
    assert _sent(HumanMessage("Hi"), model=None)["model"] == "deepseek-flash"


def test_response_format_with_a_bare_schema_goes_into_the_system_message() -> None:
    body = _sent(HumanMessage("Hi"), response_format={"type": "object", "title": "Joke"})
    assert body["response_format"] == {"type": "json_object"}
    assert body["messages"][0] == {
        "role": "system",
        "content": "Answer with one JSON object that matches this JSON schema:\n"
        '{"type": "object", "title": "Joke"}',
    }


def test_tool_call_that_gemini_stores_twice_is_sent_once() -> None:
    message = AIMessage(
        "",
        additional_kwargs={"function_call": {"name": "f", "arguments": "{}"}},
        tool_calls=[{"name": "f", "args": {}, "id": "a"}],
    )
    calls = _sent(message, ToolMessage("18", tool_call_id="a"))["messages"][0]["tool_calls"]
    assert [call["id"] for call in calls] == ["a"]
