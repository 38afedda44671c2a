"""Servers that deviate from DeepSeek's format: Workers AI, vLLM, OpenRouter, any upstream."""

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from langchain_cf_deepseek import errors
from langchain_cf_deepseek.local import LocalGateway
from tests.conftest import PATHS
from tests.streaming import USAGE, completion, delta, event_stream, serve

TOKENS = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}


def _message(gw: LocalGateway, path: str, whole: Any, *deltas: Any, **settings: Any) -> Any:
    serve(gw, path, whole, *deltas)
    return PATHS[path](gw.chat_model(max_retries=0, **settings), "Hi")


def _sent_back(gw: LocalGateway, path: str, message: Any, **settings: Any) -> dict[str, Any]:
    """Return the assistant message that is sent for `message`."""
    serve(gw, path, completion(content="ok"))  # DeepSeek's own checks reject these turns
    PATHS[path](gw.chat_model(**settings), [HumanMessage("Hi"), message, HumanMessage("Go on")])
    (turn,) = [turn for turn in gw.requests[-1].body["messages"] if turn["role"] == "assistant"]
    return dict(turn)


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_reasoning_under_another_key_is_read_and_sent_back_under_it(
    gw: LocalGateway, path: str, version: str
) -> None:
    """https://github.com/vllm-project/router/issues/115"""
    whole = completion(content="Hello.", reasoning="A greeting.")
    pieces = [{"reasoning": "A gree"}, {"reasoning": "ting."}, {"content": "Hello."}]
    message = _message(gw, path, whole, *pieces, output_version=version)
    blocks = [
        {key: value for key, value in block.items() if key != "index"}
        for block in message.content_blocks
    ]
    assert blocks == [
        {"type": "reasoning", "reasoning": "A greeting."},
        {"type": "text", "text": "Hello."},
    ]
    if version == "v0":
        assert message.additional_kwargs == {"reasoning_content": "A greeting."}
    assert _sent_back(gw, path, message) == {
        "role": "assistant",
        "content": "Hello.",
        "reasoning": "A greeting.",
    }


def test_reasoning_under_both_keys_is_read_once(gw: LocalGateway, path: str) -> None:
    whole = completion(content="Hi.", reasoning="Greet.", reasoning_content="Greet.")
    message = _message(gw, path, whole)
    assert message.additional_kwargs == {"reasoning_content": "Greet."}
    assert _sent_back(gw, path, message)["reasoning_content"] == "Greet."


def test_reasoning_that_is_not_text_is_kept_as_an_unknown_key(gw: LocalGateway, path: str) -> None:
    details = [{"type": "reasoning.text", "text": "Greet.", "index": 0}]
    message = _message(gw, path, completion(content="Hi.", reasoning={"x": 1}, details=details))
    assert message.additional_kwargs == {"deepseek": {"reasoning": {"x": 1}, "details": details}}
    sent = _sent_back(gw, path, message)
    assert (sent["reasoning"], sent["details"]) == ({"x": 1}, details)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0], "0"),
        (["1", 6, " * ", 7, " = ", 42], "16 * 7 = 42"),
        ([True, " or ", False], "true or false"),
        ([1.5], "1.5"),
        ([None, "a", None], "a"),
    ],
)
def test_content_as_a_json_number_or_boolean_is_text(
    gw: LocalGateway, stream_path: str, values: list[Any], text: str
) -> None:
    """Workers AI streams digits as numbers."""
    deltas = [{"content": value} for value in values]
    assert _message(gw, stream_path, completion(), *deltas).content == text


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (False, "false"), (42, "42")])
def test_content_of_a_completion_that_is_a_number_is_text(
    gw: LocalGateway, path: str, value: Any, text: str
) -> None:
    assert _message(gw, path, completion(content=value)).content == text


def _usage(prompt: int, output: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
    }


USAGES: dict[str, list[dict[str, Any]]] = {
    "on every delta, growing": [
        {**delta(content="He"), "usage": _usage(0, 1)},
        {**delta(content="llo"), "usage": _usage(7, 3)},
        {**delta("stop", content=""), "usage": USAGE},
    ],
    "after the finish, without choices": [
        {**delta(content="Hello"), "usage": _usage(0, 1)},
        delta("stop", content=""),
        {"choices": [], "usage": USAGE},
    ],
    "in a last event of another shape": [
        {**delta(content="Hello"), "usage": _usage(0, 1)},
        {**delta("stop", content=""), "usage": _usage(0, 1)},
        {"response": "", "usage": USAGE},
    ],
    "with several finishes": [
        delta(content="Hello"),
        {**delta("stop", content=""), "usage": _usage(7, 3)},
        {**delta("stop", content=""), "usage": _usage(7, 4)},
        {**delta("stop", content=""), "usage": USAGE},
    ],
    "between heartbeats": [
        {"choices": []},
        delta(content="Hello"),
        {"choices": [], "usage": None},
        {**delta("stop", content=""), "usage": USAGE},
        {"choices": []},
    ],
    "an empty one last": [
        delta(content="Hello"),
        {**delta("stop", content=""), "usage": USAGE},
        {"choices": [], "usage": {}},
    ],
}


@pytest.mark.parametrize("usage", USAGES)
@pytest.mark.parametrize("version", ["v0", "v1"])
def test_usage_is_the_last_received_and_counted_once(
    gw: LocalGateway, stream_path: str, usage: str, version: str
) -> None:
    """https://github.com/cloudflare/ai/issues/651"""
    gw.fault(**event_stream(*USAGES[usage]))
    message = PATHS[stream_path](gw.chat_model(output_version=version), "Hi")
    assert message.text == "Hello"
    assert message.usage_metadata == TOKENS
    assert message.response_metadata["token_usage"] == USAGE
    assert message.response_metadata["finish_reason"] == "stop"


SEARCH: list[dict[str, Any]] = [
    {"type": "server_tool_use", "id": "s1", "name": "search", "input": {"query": "sky"}},
    {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"url": "https://a"}]},
    {"type": "text", "text": "Blue.", "citations": [{"url": "https://a", "cited_text": "blue"}]},
]
IN_PIECES: list[dict[str, Any]] = [
    {"content": [{**SEARCH[0], "index": 0}]},
    {"content": [{**SEARCH[1], "index": 1}]},
    {"content": [{"type": "text", "text": "Bl", "index": 2}]},
    {"content": [{"index": 2, "text": "ue."}]},
    {"content": [{"index": 2, "citations": SEARCH[2]["citations"]}]},
]


@pytest.mark.parametrize("version", ["v0", "v1"])
@pytest.mark.parametrize("is_in_pieces", [False, True])
def test_content_blocks_are_all_kept_and_sent_back_unchanged(
    gw: LocalGateway, path: str, version: str, *, is_in_pieces: bool
) -> None:
    whole = completion(content=SEARCH, reasoning_content="Look.")
    deltas = [{"reasoning_content": "Look."}, *IN_PIECES] if is_in_pieces else []
    message = _message(gw, path, whole, *deltas, output_version=version)
    assert message.text == "Blue."
    kinds = [block["type"] for block in message.content_blocks if block.get("text") != ""]
    assert kinds == ["reasoning", "server_tool_call", "server_tool_result", "text"]
    sent = _sent_back(gw, path, message, output_version=version)
    indexed = is_in_pieces and path in {"stream", "astream"}
    blocks = [{**block, "index": place} if indexed else block for place, block in enumerate(SEARCH)]
    assert sent == {"role": "assistant", "content": blocks, "reasoning_content": "Look."}


def test_content_text_blocks_are_sent_back_as_blocks(gw: LocalGateway, path: str) -> None:
    blocks = [{"type": "text", "text": "He"}, {"type": "text", "text": "llo"}]
    message = _message(gw, path, completion(content=blocks))
    assert message.text == "Hello"
    assert _sent_back(gw, path, message)["content"] == blocks


def test_content_blocks_made_by_langchain_are_sent_back_as_text(
    gw: LocalGateway, path: str
) -> None:
    calls = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    whole = completion("tool_calls", content="Hi.", reasoning_content="Greet.", tool_calls=calls)
    message = _message(gw, path, whole)
    copy = message.model_copy(update={"content": message.content_blocks})
    sent = _sent_back(gw, path, copy)
    assert (sent["content"], sent["reasoning_content"]) == ("Hi.", "Greet.")


def test_reasoning_under_another_key_is_also_sent_under_deepseeks_where_it_is_checked(
    gw: LocalGateway, path: str
) -> None:
    """A thread can move from one server to another in the middle of a tool loop."""
    calls = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    message = _message(gw, path, completion("tool_calls", reasoning="Look.", tool_calls=calls))
    history = [HumanMessage("Hi"), message, ToolMessage("done", tool_call_id="a")]
    PATHS[path](gw.chat_model(max_retries=0), history)
    turn = gw.requests[-1].body["messages"][1]
    assert (turn["reasoning"], turn["reasoning_content"]) == ("Look.", "Look.")


def test_content_blocks_that_cannot_be_merged_are_all_kept(
    gw: LocalGateway, stream_path: str
) -> None:
    deltas = [
        {"content": [{"type": "score", "value": 0.5, "index": 0}]},
        {"content": [{"type": "score", "value": 0.7, "index": 0}]},
        {"content": [{"type": "text", "text": "Hi", "index": 1}]},
    ]
    message = _message(gw, stream_path, completion(), *deltas)
    assert [block for block in message.content if block] == [
        {"type": "score", "value": 0.5, "index": 0},
        {"type": "score", "value": 0.7},
        {"type": "text", "text": "Hi", "index": 1},
    ]


def test_content_can_mix_text_and_blocks(gw: LocalGateway, stream_path: str) -> None:
    deltas = [{"content": "He"}, {"content": ["l", {"type": "text", "text": "lo"}]}]
    message = _message(gw, stream_path, completion(), *deltas)
    assert message.text == "Hello"


def test_unknown_keys_are_merged_as_langchain_merges_content(
    gw: LocalGateway, stream_path: str
) -> None:
    deltas = [
        {"content": "Hi", "search": [{"index": 0, "query": "sk"}], "note": "a"},
        {"content": "", "search": [{"index": 0, "query": "y"}, {"index": 1, "query": "sea"}]},
        {"content": "", "note": "b", "nested": {"x": {"y": "1"}}},
        {"content": "", "nested": {"x": {"z": "2"}}},
    ]
    message = _message(gw, stream_path, completion(), *deltas)
    unknown = {
        "search": [{"index": 0, "query": "sky"}, {"index": 1, "query": "sea"}],
        "note": "ab",
        "nested": {"x": {"y": "1", "z": "2"}},
    }
    assert message.additional_kwargs == {"deepseek": unknown}
    sent = _sent_back(gw, stream_path, message)
    assert {key: sent[key] for key in unknown} == unknown


@pytest.mark.parametrize("key", ["content", "reasoning_content"])
@pytest.mark.parametrize(
    ("halves", "text"),
    [
        (["a\ud83d", "\ude00b"], "a\U0001f600b"),
        (["a\ud83d", "", "\ude00"], "a\U0001f600"),
        (["a\ud83d", "b"], "a\ufffdb"),
        (["a\ud83d"], "a\ufffd"),
        (["\ude00a"], "\ufffda"),
    ],
)
def test_surrogate_halves_are_joined_and_a_single_one_is_replaced(
    gw: LocalGateway, path: str, key: str, halves: list[str], text: str
) -> None:
    """https://github.com/lobehub/lobehub/issues/15086"""
    whole = completion(**_one(key, "".join(halves)))
    message = _message(gw, path, whole, *(_one(key, half) for half in halves))
    came = message.content if key == "content" else message.additional_kwargs[key]
    assert came == text
    assert _sent_back(gw, path, message)[key] == text


def _one(key: str, value: str) -> dict[str, Any]:
    return {key: value}


_ARGUMENTS_WITH_SURROGATES = pytest.mark.parametrize(
    ("pieces", "value"),
    [
        pytest.param(pieces, value, id=name)
        for name, pieces, value in [
            ("escaped pair", [r'{"x": "a\ud83d', r'\ude00b"}'], "a\U0001f600b"),
            ("escaped pair, cut within", [r'{"x": "\uD8', r"3D\u", r'DE00"}'], "\U0001f600"),
            ("escaped first half", [r'{"x": "\ud83d"}'], "\ufffd"),
            ("escaped first half before text", [r'{"x": "\ud83', r'd\nb"}'], "\ufffd\nb"),
            ("escaped second half", [r'{"x": "', r'\ude00"}'], "\ufffd"),
            ("escaped backslash", ['{"x": "\\', r'\ud83d"}'], r"\ud83d"),
            ("raw pair", ['{"x": "\ud83d', '\ude00"}'], "\U0001f600"),
            ("raw first half", ['{"x": "\ud83d"}'], "\ufffd"),
            ("raw second half", ['{"x": "a', '\ude00"}'], "a\ufffd"),
            ("object", [{"x": "\ud83d\ude00\ud83d"}], "\U0001f600\ufffd"),
        ]
    ],
)


def _tool_call_pieces(pieces: list[Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a completion with one tool call, and the deltas of its stream."""
    first, *others = pieces
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": first}}
    deltas = [{"index": 0, **call}]
    deltas += [{"index": 0, "function": {"arguments": piece}} for piece in others]
    whole = {"name": "f", "arguments": "".join(pieces) if others else first}
    return (
        completion("tool_calls", tool_calls=[{**call, "function": whole}]),
        [{"tool_calls": [piece]} for piece in deltas],
    )


@_ARGUMENTS_WITH_SURROGATES
@pytest.mark.parametrize("version", ["v0", "v1"])
def test_surrogates_in_tool_arguments_are_joined_or_replaced(
    gw: LocalGateway, path: str, pieces: list[Any], value: str, version: str
) -> None:
    whole, deltas = _tool_call_pieces(pieces)
    message = _message(gw, path, whole, *deltas, output_version=version)
    assert message.tool_calls == [
        {"type": "tool_call", "name": "f", "args": {"x": value}, "id": "a"}
    ]
    assert AIMessage.model_validate_json(message.model_dump_json()) == message
    (call,) = _sent_back(gw, path, message)["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"x": value}


@_ARGUMENTS_WITH_SURROGATES
def test_surrogates_in_tool_arguments_survive_a_checkpointer(
    gw: LocalGateway, path: str, pieces: list[Any], value: str
) -> None:
    graph: Any = StateGraph(MessagesState)
    llm = gw.chat_model(max_retries=0)
    graph.add_node("model", lambda state: {"messages": PATHS[path](llm, state["messages"])})
    graph.add_edge(START, "model")
    app = graph.compile(checkpointer=InMemorySaver())
    thread = {"configurable": {"thread_id": "1"}}
    whole, deltas = _tool_call_pieces(pieces)
    serve(gw, path, whole, *deltas)
    app.invoke({"messages": "Hi"}, thread)
    serve(gw, path, completion(content="Done."))
    result = ToolMessage("ok", tool_call_id="a")
    messages = app.invoke({"messages": [result, HumanMessage("Go on")]}, thread)["messages"]
    assert messages[-1].content == "Done."
    (call,) = gw.requests[-1].body["messages"][1]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"x": value}


def test_surrogates_in_repeated_tool_arguments_do_not_add_a_tool_call(
    gw: LocalGateway, stream_path: str
) -> None:
    pieces = [r'{"x": "\ud83d', r'b\ud83d"}']
    whole, deltas = _tool_call_pieces(pieces)
    (summary,) = whole["choices"][0]["message"]["tool_calls"]
    deltas.append({"tool_calls": [{"index": 0, **summary}]})
    message = _message(gw, stream_path, whole, *deltas)
    assert [call["args"] for call in message.tool_calls] == [{"x": "\ufffdb\ufffd"}]


@pytest.mark.parametrize("content", [{"a": 1}, [[1]], [{"a": 1}], [None]])
def test_content_of_an_unknown_type_is_an_error(gw: LocalGateway, path: str, content: Any) -> None:
    with pytest.raises(errors.CFDeepSeekAPIError, match="not of the shape"):
        _message(gw, path, completion(content=content))


def test_content_can_be_a_single_block(gw: LocalGateway, path: str) -> None:
    message = _message(gw, path, completion(content={"type": "text", "text": "Hi"}))
    assert message.text == "Hi"
    assert json.loads(json.dumps(_sent_back(gw, path, message)["content"])) in (
        "Hi",
        [{"type": "text", "text": "Hi"}],
    )


def test_usage_between_finish_and_done_is_counted(gw: LocalGateway, stream_path: str) -> None:
    events = [delta(content="Hello"), {**delta("stop", content=""), "usage": _usage(7, 3)}]
    late: list[Any] = [
        {**delta("stop", content=" never"), "usage": USAGE},
        {"odd": 1},
        "text",
        None,
    ]
    fault = event_stream(*events)
    fault["body"] += "data: nonsense\n\n" + event_stream(*late)["body"]
    gw.fault(**fault)
    message = PATHS[stream_path](gw.chat_model(), "Hi")
    assert message.content == "Hello"
    assert message.usage_metadata == TOKENS
