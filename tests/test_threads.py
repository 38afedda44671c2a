"""Any thread can be sent: tool results, messages of other models, surrogate halves."""

import base64
import json
import re
import warnings
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    filter_messages,
)

from langchain_cf_deepseek import CFDeepSeekInvalidRequestError
from langchain_cf_deepseek.local import LocalGateway
from tests.conftest import PICTURE, Ask

URL = "https://example.com/a.pdf"
PDF = {"type": "file", "base64": "aGk=", "mime_type": "application/pdf"}
CALL: Any = {"name": "f", "args": {}, "id": "a"}


def _sent(gw: LocalGateway, ask: Ask, *history: BaseMessage, **settings: Any) -> list[Any]:
    """Return the messages sent for a history; they stay the same when it continues."""
    llm = gw.chat_model(max_retries=0, **settings)
    ask(llm, list(history))
    (request,) = gw.requests
    ask(llm, [*history, AIMessage("Done."), HumanMessage("Go on")])
    messages: list[Any] = request.body["messages"]
    assert gw.requests[-1].body["messages"][: len(messages)] == messages
    return messages


ROWS: dict[str, dict[str, Any]] = {
    "a file of a listing": {"type": "file", "name": "README.md", "size": 12},
    "a file with the id of another service": {"type": "file", "file_id": "F123", "name": "a"},
    "a document without content": {"type": "document", "title": "On cats"},
    "an image without a URL": {"type": "image", "alt": "größe"},
    "an image without a type": {"type": "image", "base64": "aGk="},
    "an image elsewhere than on the web": {"type": "image", "src": "a.png"},
    "an image URL of the wrong type": {"type": "image_url", "image_url": {"url": 5}},
    "a text without text": {"type": "text"},
    "a text that is a number": {"type": "text", "text": 18},
    "json": {"type": "json", "json": {"degrees": 18}},
    "json of Bedrock": {"json": {"degrees": 18}},
    "a search result": {"type": "search_result", "source": URL, "title": "Cats", "content": []},
    "a reference to a tool": {"type": "tool_reference", "tool_name": "f"},
    "a block without a standard form": {"type": "non_standard", "value": {"x": 1}},
    "a video with more than its address": {"type": "video", "url": URL, "views": 12},
    "a PDF of an MCP server": PDF,
    "audio": {"type": "audio", "base64": "aGk=", "mime_type": "audio/wav"},
    "a resource of an MCP server": {"type": "resource", "resource": {"uri": URL, "text": "x"}},
    "a row without a type": {"name": "Ada", "born": 1815},
    "a row of no type that counts": {"type": None, "name": "Ada"},
    "an empty row": {},
}


@pytest.mark.parametrize("model", ["deepseek-flash", "deepseek-v4-pro"])
@pytest.mark.parametrize("case", ROWS)
def test_tool_result_row_is_sent_as_json(gw: LocalGateway, ask: Ask, case: str, model: str) -> None:
    row = ROWS[case]
    history = [HumanMessage("Hi"), AIMessage("", tool_calls=[CALL])]
    result = ToolMessage([row], tool_call_id="a")
    *_, sent = _sent(gw, ask, *history, result, model=model)
    assert sent == {
        "role": "tool",
        "content": json.dumps(row, ensure_ascii=False),
        "tool_call_id": "a",
    }


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        ([], "[]"),
        ("", ""),
        (["a"], "a"),
        ([{"type": "file", "url": URL, "mime_type": "application/pdf", "id": "lc_1"}], URL),
        (
            [{"type": "resource_link", "uri": "file:///a", "name": "a", "mimeType": "x/y"}],
            "file:///a",
        ),
        ([{"type": "image", "url": "file:///a.png"}], "file:///a.png"),
        ([{"type": "video", "url": URL}], URL),
        ([{"type": "text", "text": "18"}, {"cachePoint": {"type": "default"}}], "18"),
        (
            ["Two rows", {"n": 1}, {"n": 2}],
            [
                {"type": "text", "text": "Two rows"},
                {"type": "text", "text": '{"n": 1}'},
                {"type": "text", "text": '{"n": 2}'},
            ],
        ),
        ([{"n": {1}}], '{"n": "{1}"}'),
        ([{"n": "\ud83c\udf0a and \ud83c"}], '{"n": "🌊 and \ufffd"}'),
    ],
)
def test_tool_result_is_sent_complete(gw: LocalGateway, ask: Ask, content: Any, sent: Any) -> None:
    history = [HumanMessage("Hi"), AIMessage("", tool_calls=[CALL])]
    wire = _sent(gw, ask, *history, ToolMessage(content, tool_call_id="a"))
    assert wire[-1]["content"] == sent


def test_document_for_a_model_without_vision_is_rejected_with_a_usable_hint(
    gw: LocalGateway, ask: Ask
) -> None:
    with pytest.raises(CFDeepSeekInvalidRequestError) as caught:
        ask(gw.chat_model(model="deepseek-v4-pro"), [HumanMessage([PDF])])
    assert caught.value.message == (
        "messages[0] (HumanMessage): this model cannot read documents in any form: "
        "send the text of the document."
    )


SAID: dict[str, tuple[AIMessage, str, str]] = {
    "Anthropic's redacted thinking": (
        AIMessage([{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "Hi"}]),
        "Hi",
        "",
    ),
    "Bedrock's reasoning": (
        AIMessage(
            [
                {
                    "type": "reasoning_content",
                    "reasoning_content": {"text": "Hm.", "signature": ""},
                },
                {"type": "text", "text": "Hi"},
            ]
        ),
        "Hi",
        "Hm.",
    ),
    "Bedrock's reasoning as it came": (
        AIMessage([{"reasoningContent": {"reasoningText": {"text": "Hm."}}}, {"text": "Hi"}]),
        "Hi",
        "Hm.",
    ),
    "Mistral's thinking": (
        AIMessage(
            [
                {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
                {"type": "text", "text": "Hi"},
            ]
        ),
        "Hi",
        "Hm.",
    ),
    "OpenAI's encrypted reasoning": (
        AIMessage(
            [
                {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "x"},
                {"type": "output_text", "text": "Hi"},
            ]
        ),
        "Hi",
        "",
    ),
    "reasoning of open models by OpenAI's Responses": (
        AIMessage(
            [
                {
                    "type": "reasoning",
                    "summary": [],
                    "content": [{"type": "reasoning_text", "text": "Hm."}],
                },
                "Hi",
            ]
        ),
        "Hi",
        "Hm.",
    ),
    "OpenAI's summary beside the text": (
        AIMessage(
            "Hi",
            additional_kwargs={
                "reasoning": {"id": "rs", "summary": [{"type": "summary_text", "text": "Hm."}]}
            },
        ),
        "Hi",
        "Hm.",
    ),
    "OpenRouter's details": (
        AIMessage(
            "Hi",
            additional_kwargs={
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "Hm."},
                    {"type": "reasoning.encrypted", "data": "x"},
                ]
            },
        ),
        "Hi",
        "Hm.",
    ),
    "reasoning that is no text": (AIMessage([{"type": "reasoning", "reasoning": 7}]), "", ""),
    "a spoken answer": (
        AIMessage("", additional_kwargs={"audio": {"id": "a", "transcript": "Hi"}}),
        "Hi",
        "",
    ),
    "a refusal in LangChain's standard form": (
        AIMessage([{"type": "refusal", "refusal": "No."}]),
        "No.",
        "",
    ),
    "half a pair": (
        AIMessage("a\ud83c", additional_kwargs={"reasoning_content": "\udf0a"}),
        "a\ufffd",
        "\ufffd",
    ),
    "two halves of a pair": (
        AIMessage("\ud83c\udf0a", additional_kwargs={"reasoning_content": "\ud83c\udf0a"}),
        "🌊",
        "🌊",
    ),
}


@pytest.mark.parametrize("case", SAID)
def test_messages_of_another_model_are_read(gw: LocalGateway, ask: Ask, case: str) -> None:
    message, content, reasoning = SAID[case]
    _, sent = _sent(gw, ask, HumanMessage("Hi"), message)
    assert sent == {"role": "assistant", "content": content, "reasoning_content": reasoning}


WHY = "DeepSeek's API has no form for them"

LEFT_OUT: dict[str, list[Any]] = {
    "server_tool_use, web_search_tool_result": [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "cats"}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
    ],
    "web_search_call": [{"type": "web_search_call", "id": "ws", "status": "completed"}],
    "server_tool_call, server_tool_result": [
        {"type": "server_tool_call", "id": "s", "name": "web_search", "args": {}},
        {"type": "server_tool_result", "tool_call_id": "s", "status": "success", "output": "x"},
    ],
    "code_execution_result, executable_code": [
        {"type": "executable_code", "language": "python", "executable_code": "1 + 1"},
        {"type": "code_execution_result", "code_execution_result": "2", "outcome": 1},
    ],
    "compaction": [{"type": "compaction", "content": "Cats."}],
    "cachePoint": [{"cachePoint": {"type": "default"}}],
    "image_generation_call": [{"type": "image_generation_call", "result": "aGk="}],
    "image, image_url": [
        {"type": "image", "base64": "aGk="},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
    ],
    "code_interpreter_call, computer_call, file_search_call, mcp_call, mcp_list_tools": [
        {"type": "code_interpreter_call", "code": "1"},
        {"type": "computer_call", "action": {}},
        {"type": "file_search_call", "queries": ["cats"]},
        {"type": "mcp_call", "name": "f", "output": "x"},
        {"type": "mcp_list_tools", "tools": []},
    ],
    "reference": [{"type": "reference", "reference_ids": [1]}],
    "audio": [{"type": "audio", "base64": "aGk=", "mime_type": "audio/wav"}],
    "web_fetch_call": [{"type": "non_standard", "value": {"type": "web_fetch_call"}}],
    "text": [{"type": "text", "text": None}],
    "{}": [{}],
}


@pytest.mark.parametrize("kinds", LEFT_OUT)
def test_server_tool_blocks_of_another_model_are_dropped_with_one_warning(
    gw: LocalGateway, ask: Ask, kinds: str
) -> None:
    turn = AIMessage([*LEFT_OUT[kinds], {"type": "text", "text": "Hi"}])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        _, sent = _sent(gw, ask, HumanMessage("Hi"), turn)
    assert sent == {"role": "assistant", "content": "Hi", "reasoning_content": ""}
    assert [str(warning.message) for warning in said] == [
        f"content blocks of the types {kinds} in assistant turns are dropped: {WHY}."
    ]


@pytest.mark.parametrize("kind", [HumanMessage, SystemMessage])
def test_bedrock_cache_point_is_not_content(
    gw: LocalGateway, ask: Ask, kind: type[HumanMessage | SystemMessage]
) -> None:
    marked = kind([{"type": "text", "text": "Hi"}, {"cachePoint": {"type": "default"}}])
    sent = _sent(gw, ask, marked, HumanMessage("?"))
    assert sent[0]["content"] == "Hi"


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "input_text", "text": "Hi"}, "Hi"),
        ({"type": "text", "text": "a\ud83c"}, "a\ufffd"),
        (
            {"type": "input_image", "image_url": "https://x/a.png", "detail": "low"},
            [{"type": "image_url", "image_url": {"url": "https://x/a.png", "detail": "low"}}],
        ),
        (
            {"type": "media", "mime_type": "image/png", "data": "iVBORw0KGgo="},
            [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}],
        ),
        ({"type": "document", "source": {"type": "text", "data": "On cats."}}, "On cats."),
        (
            {"type": "document", "source": {"type": "content", "content": [{"text": "Cats."}]}},
            "Cats.",
        ),
    ],
)
def test_user_messages_for_another_model_are_read(gw: LocalGateway, block: Any, part: Any) -> None:
    payload = gw.chat_model()._get_request_payload([HumanMessage([block])])
    assert json.loads(json.dumps(payload["messages"])) == [
        {"role": "user", "content": part if part != "a\ufffd" else "a\ud83c"}
    ]


@pytest.mark.parametrize(
    ("block", "expected_error"),
    [
        ({"type": "input_audio", "input_audio": {}}, "file. Send a transcript as text."),
        ({"type": "video", "url": URL}, "image, file. Send a transcript as text."),
        ({"type": "document", "source": {"type": "url", "url": URL}}, "documents by file id only"),
        ({"type": "media", "mime_type": "application/pdf", "data": "x"}, "documents by file id"),
        ({"type": "image", "base64": "aGk="}, "messages[0] (HumanMessage): an image needs"),
    ],
)
def test_user_content_that_cannot_be_sent_is_rejected_with_a_hint(
    gw: LocalGateway, ask: Ask, block: Any, expected_error: str
) -> None:
    with pytest.raises(CFDeepSeekInvalidRequestError, match=re.escape(expected_error)):
        ask(gw.chat_model(), [HumanMessage([block])])
    assert gw.requests == []


def _calls(message: dict[str, Any]) -> list[str]:
    return [call["id"] for call in message.get("tool_calls", [])]


TWO_CALLS: list[Any] = [{"name": "f", "args": {}, "id": call_id} for call_id in ("a", "b")]
RAW_CALLS = [
    {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    for call_id in ("a", "b")
]


def test_tool_call_that_was_filtered_out_is_not_sent(gw: LocalGateway, ask: Ask) -> None:
    """`filter_messages` leaves tool calls in content and kwargs."""
    blocks: list[Any] = [
        {"type": "tool_use", "id": call_id, "name": "f", "input": {}} for call_id in ("a", "b")
    ]
    turn = AIMessage(
        ["Hi", *blocks], tool_calls=TWO_CALLS, additional_kwargs={"tool_calls": RAW_CALLS}
    )
    results = [ToolMessage("18", tool_call_id=call_id) for call_id in ("a", "b")]
    history = filter_messages([HumanMessage("Hi"), turn, *results], exclude_tool_calls=["a"])
    sent = _sent(gw, ask, *history)
    assert [(message["role"], _calls(message)) for message in sent] == [
        ("user", []),
        ("assistant", ["b"]),
        ("tool", []),
    ]


@pytest.mark.parametrize(
    "turn",
    [
        AIMessage("Hi", tool_calls=TWO_CALLS, additional_kwargs={"tool_calls": RAW_CALLS}),
        AIMessage("Hi", tool_calls=TWO_CALLS, additional_kwargs={"function_call": {"name": "f"}}),
        AIMessage(["Hi", {"type": "function_call", "call_id": "a", "name": "f"}]),
        AIMessage(["Hi", {"type": "custom_tool_call", "call_id": "a", "input": ""}]),
        AIMessage(["Hi", {"toolUse": {"toolUseId": "a", "name": "f"}}]),
        AIMessage(["Hi", {"type": "tool_call", "id": "a", "name": "f", "args": {}}]),
    ],
)
def test_tool_call_block_that_the_message_lacks_is_not_sent(
    gw: LocalGateway, ask: Ask, turn: AIMessage
) -> None:
    turn = turn.model_copy(update={"tool_calls": []})
    _, sent = _sent(gw, ask, HumanMessage("Hi"), turn)
    assert sent == {"role": "assistant", "content": "Hi", "reasoning_content": ""}


def test_malformed_tool_call_without_a_result_is_not_sent(gw: LocalGateway, ask: Ask) -> None:
    broken: Any = {
        "name": None,
        "args": "{",
        "id": None,
        "error": None,
        "type": "invalid_tool_call",
    }
    turn = AIMessage("Hi", invalid_tool_calls=[broken, {**broken, "id": "a", "name": "f"}])
    _, sent = _sent(gw, ask, HumanMessage("Hi"), turn)
    assert sent == {"role": "assistant", "content": "Hi", "reasoning_content": ""}


def test_surrogate_half_anywhere_in_a_request_is_sent_as_the_replacement_character(
    gw: LocalGateway, ask: Ask
) -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "f",
            "description": "a\ud83c",
            "parameters": {"type": "object", "properties": {"\ud83c": {"type": "string"}}},
        },
    }
    ask(
        gw.chat_model(), [SystemMessage("\udf0a"), HumanMessage("\ud83c\udf0a\ud83c")], tools=[tool]
    )
    body = gw.requests[-1].body
    assert [message["content"] for message in body["messages"]] == ["\ufffd", "🌊\ufffd"]
    function = body["tools"][0]["function"]
    assert (function["description"], list(function["parameters"]["properties"])) == (
        "a\ufffd",
        ["\ufffd"],
    )


@pytest.mark.parametrize(
    "row",
    [
        {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk="}},
        {"type": "file", "source_type": "base64", "data": "aGk=", "mime_type": "application/pdf"},
        {"type": "audio", "source_type": "base64", "data": "aGk=", "mime_type": "audio/wav"},
    ],
)
def test_tool_result_row_that_langchain_rewrites_is_the_same_in_every_request(
    gw: LocalGateway, ask: Ask, row: dict[str, Any]
) -> None:
    """A new id in each request would miss DeepSeek's prompt cache."""
    history = [HumanMessage("Hi"), AIMessage("", tool_calls=[CALL])]
    *_, sent = _sent(gw, ask, *history, ToolMessage([row], tool_call_id="a"))
    assert sent["content"] == json.dumps(row)


def test_image_in_an_openai_file_block_is_an_image(gw: LocalGateway, ask: Ask) -> None:
    url = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"
    file: Any = {"type": "file", "file": {"file_data": url, "filename": "a.png"}}
    sent = _sent(
        gw,
        ask,
        HumanMessage([file]),
        AIMessage("", tool_calls=[CALL]),
        ToolMessage([file], tool_call_id="a"),
    )
    image = [{"type": "image_url", "image_url": {"url": url}}]
    assert [message["content"] for message in sent] == [image, "", image]
