"""Every LangChain message is sent in DeepSeek's format, or rejected by name."""

import re
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolMessage,
)

from langchain_cf_deepseek.local import LocalGateway
from tests.conftest import Ask
from tests.test_streams import completion

URL = "https://example.com/cat.png"
IMAGE = {"type": "image_url", "image_url": {"url": URL}}


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (HumanMessage("Hi", name="Ann"), {"role": "user", "content": "Hi", "name": "Ann"}),
        (HumanMessage([]), {"role": "user", "content": ""}),
        (HumanMessage(["Hi"]), {"role": "user", "content": "Hi"}),
        (
            HumanMessage([{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]),
            {"role": "user", "content": "Hi"},
        ),
        (
            HumanMessage(
                ["Hi", {"type": "text-plain", "text": "there", "mime_type": "text/plain"}]
            ),
            {
                "role": "user",
                "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "there"}],
            },
        ),
        (
            HumanMessage([{"type": "image_url", "image_url": URL}]),
            {"role": "user", "content": [IMAGE]},
        ),
        (
            HumanMessage([{"type": "image_url", "image_url": {"url": URL, "detail": "low"}}]),
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": URL, "detail": "low"}}],
            },
        ),
        (HumanMessage([{"type": "image", "url": URL}]), {"role": "user", "content": [IMAGE]}),
        (
            HumanMessage([{"type": "image", "source": {"type": "url", "url": URL}}]),
            {"role": "user", "content": [IMAGE]},
        ),
        (
            HumanMessage([{"type": "image", "file_id": "file-api-1"}]),
            {"role": "user", "content": [{"type": "file", "file_id": "file-api-1"}]},
        ),
        (
            HumanMessage([{"type": "file", "file_id": "file-api-1"}]),
            {"role": "user", "content": [{"type": "file", "file_id": "file-api-1"}]},
        ),
        (
            HumanMessage([{"type": "file", "file": {"file_id": "file-api-1"}}]),
            {"role": "user", "content": [{"type": "file", "file_id": "file-api-1"}]},
        ),
        (
            HumanMessage([{"type": "file", "base64": "aGk=", "mime_type": "image/png"}]),
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
                ],
            },
        ),
        (SystemMessage("Be brief."), {"role": "system", "content": "Be brief."}),
        (
            SystemMessage("Be brief.", additional_kwargs={"__openai_role__": "developer"}),
            {"role": "system", "content": "Be brief."},
        ),
        (
            ChatMessage(role="developer", content="Be brief."),
            {"role": "system", "content": "Be brief."},
        ),
        (
            ChatMessage(role="latest_reminder", content="2026-11-22,Sunday,Oslo,App,en"),
            {"role": "latest_reminder", "content": "2026-11-22,Sunday,Oslo,App,en"},
        ),
        (
            AIMessage(
                ["Hi ", {"type": "text", "text": "there"}, {"type": "refusal", "refusal": "."}]
            ),
            {"role": "assistant", "content": "Hi there.", "reasoning_content": ""},
        ),
        (
            AIMessage([{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hi"}]),
            {"role": "assistant", "content": "Hi", "reasoning_content": "Hm."},
        ),
        (
            ToolMessage([{"type": "text", "text": "18"}, IMAGE], tool_call_id="call_1"),
            {
                "role": "tool",
                "content": [{"type": "text", "text": "18"}, IMAGE],
                "tool_call_id": "call_1",
            },
        ),
    ],
)
def test_message_is_sent_in_deepseeks_format(
    gw: LocalGateway, message: BaseMessage, wire: dict[str, Any]
) -> None:
    assert gw.chat_model()._get_request_payload([message])["messages"] == [wire]


@pytest.mark.parametrize(
    ("message", "expected_error"),
    [
        (
            HumanMessage([{"type": "audio", "base64": "aGk=", "mime_type": "audio/wav"}]),
            (
                "a content block of type 'audio' cannot be sent: here DeepSeek takes text, "
                "text-plain, "
                "image_url, image, file."
            ),
        ),
        (
            SystemMessage([IMAGE]),
            (
                "a content block of type 'image_url' cannot be sent: here DeepSeek takes text, "
                "text-plain."
            ),
        ),
        (
            HumanMessage([{"type": "image_url", "image_url": {"url": "ftp://x/y.png"}}]),
            "an image needs an http(s) URL, a data URL, base64 data with its `mime_type`",
        ),
        (
            HumanMessage([{"type": "image"}]),
            "an image needs an http(s) URL, a data URL, base64 data with its `mime_type`",
        ),
        (
            HumanMessage([{"type": "file", "base64": "aGk=", "mime_type": "application/pdf"}]),
            (
                "DeepSeek takes documents by file id only: `GatewayFiles.of(llm)` of "
                "`langchain_cf_deepseek.files` uploads them, in messages by "
                "`files.attach(messages)` or `files.attach | llm`; an id goes as "
                '{"type": "file", "file_id": ...}.'
            ),
        ),
        (
            FunctionMessage(content="18", name="f"),
            "DeepSeek has no such role: use a system, human, AI or tool message.",
        ),
        (
            ChatMessage(role="critic", content="No."),
            (
                "role 'critic' is unknown to DeepSeek: use one of ['assistant', 'developer', "
                "'latest_reminder', 'system', 'user'], and a ToolMessage for the result of a tool."
            ),
        ),
        (
            AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": None}]),
            "the tool call 'f' needs an id and a name.",
        ),
    ],
)
def test_message_without_a_deepseek_format_is_rejected_before_sending(
    gw: LocalGateway, ask: Ask, message: BaseMessage, expected_error: str
) -> None:
    where = f"messages[1] ({type(message).__name__}): "
    with pytest.raises(ValueError, match=re.escape(where + expected_error)):
        ask(gw.chat_model(), [HumanMessage("Hi"), message])
    assert gw.requests == []


def test_arguments_that_are_not_json_are_sent_back_as_the_model_wrote_them(
    gw: LocalGateway, ask: Ask
) -> None:
    call = InvalidToolCall(name="f", args="[not json", id="a", error=None, type="invalid_tool_call")
    history = [
        HumanMessage("Hi"),
        AIMessage("", invalid_tool_calls=[call]),
        ToolMessage("bad arguments", tool_call_id="a"),
    ]
    ask(gw.chat_model(), history)
    assert gw.requests[-1].body["messages"][1]["tool_calls"] == [
        {"type": "function", "id": "a", "function": {"name": "f", "arguments": "[not json"}}
    ]


def test_undocumented_fields_of_a_completion_are_sent_back_unchanged(
    gw: LocalGateway, ask: Ask
) -> None:
    """https://api-docs.deepseek.com/guides/web_tools: returned blocks must be sent back."""
    found = [{"type": "search_result", "url": URL, "rank": 1}]
    gw.fault(body=completion(content="Cats.", label="On cats", search=found, refusal=None))
    message = ask(gw.chat_model(), "Hi")
    assert message.additional_kwargs == {"deepseek": {"label": "On cats", "search": found}}
    ask(gw.chat_model(), [HumanMessage("Hi"), message, HumanMessage("Go on")])
    assert gw.requests[-1].body["messages"][1] == {
        "role": "assistant",
        "content": "Cats.",
        "reasoning_content": "",
        "label": "On cats",
        "search": found,
    }


def test_prefix_is_continued_on_the_beta_path(gw: LocalGateway, ask: Ask) -> None:
    """https://api-docs.deepseek.com/guides/chat_prefix_completion"""
    prefix = AIMessage("The sky is", additional_kwargs={"prefix": True})
    gw.reply(content=" blue.")
    assert ask(gw.chat_model(), [HumanMessage("Colour?"), prefix]).content == " blue."
    request = gw.requests[-1]
    assert request.path.endswith("/deepseek/beta/chat/completions")
    assert request.body["messages"][1] == {
        "role": "assistant",
        "content": "The sky is",
        "prefix": True,
    }


def test_beta_path_replaces_the_version_of_a_base_url(gw: LocalGateway) -> None:
    prefix = AIMessage("The sky is", additional_kwargs={"prefix": True})
    base_url = gw.base_url("provider-native")
    gw.chat_model(base_url=f"{base_url}/v1").invoke([HumanMessage("Colour?"), prefix])
    assert gw.requests[-1].path.endswith("/local/deepseek/beta/chat/completions")


def test_prefix_is_rejected_without_a_beta_path(gw: LocalGateway, ask: Ask) -> None:
    prefix = AIMessage("The sky is", additional_kwargs={"prefix": True})
    with pytest.raises(ValueError, match="prefix completion needs DeepSeek's beta path"):
        ask(gw.chat_model(routing="unified"), [HumanMessage("Colour?"), prefix])
