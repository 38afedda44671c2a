"""DeepSeek's server tools: how they are declared, refused, and what of them comes back.

The shape of their calls, results and citations is not published: every test of it runs on each of
the readings that this package knows.
"""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.load import dumpd, load
from langchain_core.messages import (
    AIMessage,
    HumanMessage,
    messages_from_dict,
    messages_to_dict,
)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

from langchain_cf_deepseek import errors
from langchain_cf_deepseek._http import stream as http_stream
from langchain_cf_deepseek.local import Assumptions, LocalGateway, Rules, ScriptedSearch
from langchain_cf_deepseek.local.faults.specification import Fault
from tests.conftest import PATHS, Ask
from tests.streaming import USAGE, completion, delta, event_stream, serve

SEARCH = {"type": "deepseek_web_search"}
READ = {"type": "deepseek_read_url"}


class Sky(BaseModel):
    """What is known of the sky."""

    color: str


def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"18 degrees in {city}"


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# --- Requests


def test_server_tools_reach_the_wire_as_declared_beside_function_tools(
    gw: LocalGateway, path: str
) -> None:
    tools: list[Any] = [{**SEARCH, "name": SEARCH["type"], "max_uses": 3}, get_weather, READ]
    serve(gw, path, completion(content="Blue."))
    PATHS[path](gw.chat_model().bind_tools(tools), "Hi")
    body = gw.requests[-1].body
    assert body["tools"] == [{**SEARCH, "max_uses": 3}, WEATHER, READ]
    assert "tool_choice" not in body


@pytest.mark.parametrize("choice", ["auto", "none", None])
def test_server_tools_can_be_passed_with_the_call(
    gw: LocalGateway, path: str, choice: str | None
) -> None:
    serve(gw, path, completion(content="Blue."))
    tools = [{**READ, "name": READ["type"]}, WEATHER]
    PATHS[path](gw.chat_model(), "Hi", tools=tools, tool_choice=choice)
    body = gw.requests[-1].body
    assert body["tools"] == [READ, WEATHER]
    assert body.get("tool_choice") == choice


def test_server_tools_can_be_given_to_bind_and_to_agents(gw: LocalGateway) -> None:
    for _ in range(2):
        serve(gw, "invoke", completion(content="Blue."))
    gw.chat_model().bind(tools=[SEARCH]).invoke("Hi")
    agent = create_agent(gw.chat_model(), [SEARCH, get_weather])
    agent.invoke({"messages": [HumanMessage("Hi")]})
    first, second = (request.body["tools"] for request in gw.requests)
    assert (first, second) == ([SEARCH], [WEATHER, SEARCH])  # LangChain's order


def test_server_tools_go_with_json_mode_and_parallel_tool_calls(gw: LocalGateway) -> None:
    serve(gw, "invoke", completion(content='{"color": "blue"}'))
    llm = gw.chat_model().bind_tools([SEARCH], parallel_tool_calls=True)
    llm.invoke("Answer in JSON", response_format={"type": "json_object"})
    body = gw.requests[-1].body
    assert body["tools"] == [SEARCH]
    assert body["response_format"] == {"type": "json_object"}
    assert body["parallel_tool_calls"] is True


@pytest.mark.parametrize("model", ["deepseek-flash", "deepseek-v4-flash", "deepseek-new"])
def test_server_tools_are_sent_to_every_model_that_can_be_flash(
    gw: LocalGateway, model: str
) -> None:
    serve(gw, "invoke", completion(content="Blue."))
    gw.chat_model(model=model).invoke("Hi", tools=[SEARCH])
    assert gw.requests[-1].body["tools"] == [SEARCH]


@pytest.mark.parametrize("model", ["dynamic/search", "custom-mine/deepseek-flash"])
def test_server_tools_are_sent_on_routes_that_can_lead_to_flash(
    gw: LocalGateway, model: str
) -> None:
    serve(gw, "invoke", completion(content="Blue."))
    gw.chat_model(model=model, routing="compat").invoke("Hi", tools=[SEARCH])
    assert gw.requests[-1].body["tools"] == [SEARCH]


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "pro": ({"model": "deepseek-v4-pro"}, {"tools": [SEARCH]}, "use model='deepseek-flash'"),
    "pro per call": ({}, {"tools": [SEARCH], "model": "deepseek-v4-pro"}, "'deepseek-flash'"),
    "Workers AI": (
        {"model": "@cf/deepseek-ai/deepseek-v4-flash-0731", "routing": "unified"},
        {"tools": [SEARCH]},
        "`model`: only deepseek-flash has server tools",
    ),
    "custom pro": (
        {"model": "custom-mine/deepseek-v4-pro", "routing": "compat"},
        {"tools": [SEARCH]},
        "`model`: only deepseek-flash has server tools",
    ),
    "another name": ({}, {"tools": [{**SEARCH, "name": "search"}]}, "leave it out"),
    "strict": ({}, {"tools": [{**SEARCH, "strict": True}]}, "cannot be `strict`"),
    "any of one": ({}, {"tools": [SEARCH], "tool_choice": "any"}, "use 'auto'"),
    "required of one": ({}, {"tools": [SEARCH], "tool_choice": "required"}, "use 'auto'"),
    "true of one": ({}, {"tools": [SEARCH], "tool_choice": True}, "use 'auto'"),
    "Anthropic's any": ({}, {"tools": [SEARCH], "tool_choice": {"type": "any"}}, "use 'auto'"),
    **{
        f"forced by {choice!r}": (
            {},
            {"tools": [SEARCH, WEATHER], "tool_choice": choice},
            "forces a server tool",
        )
        for choice in (
            "deepseek_web_search",
            {"type": "deepseek_web_search"},
            {"type": "tool", "name": "deepseek_web_search"},
            {"type": "function", "function": {"name": "deepseek_web_search"}},
            {"type": "function", "name": "deepseek_read_url"},
        )
    },
    **{
        f"another provider's {tool}": ({}, {"tools": [tool]}, hint)
        for tool, hint in [
            ({"type": "web_search"}, "use {'type': 'deepseek_web_search'}"),
            ({"type": "web_search_preview"}, "use {'type': 'deepseek_web_search'}"),
            ({"type": "web_search_20250305", "name": "web_search"}, "'deepseek_web_search'"),
            ({"type": "google_search"}, "use {'type': 'deepseek_web_search'}"),
            ({"google_search": {}}, "use {'type': 'deepseek_web_search'}"),
            ({"type": "url_context"}, "use {'type': 'deepseek_read_url'}"),
            ({"type": "web_fetch_20250910", "name": "web_fetch"}, "'deepseek_read_url'"),
            ({"type": "code_interpreter", "container": {"type": "auto"}}, "a function tool"),
        ]
    },
}


@pytest.mark.parametrize("case", REFUSED)
def test_server_tools_that_cannot_be_sent_are_refused_with_what_to_write(
    gw: LocalGateway, ask: Ask, case: str
) -> None:
    fields, options, hint = REFUSED[case]
    llm = gw.chat_model(**fields)
    with pytest.raises(errors.CFDeepSeekInvalidRequestError) as error:
        ask(llm, "Hi", **options)
    assert hint in str(error.value)
    tools, others = options["tools"], {key: options[key] for key in options if key != "tools"}
    if tools[0] != {"google_search": {}}:
        with pytest.raises(errors.CFDeepSeekInvalidRequestError) as error:
            llm.bind_tools(tools, **others).invoke("Hi")
        assert hint in str(error.value)
    assert gw.requests == []


# --- Forced calls of functions, and results


CALL = {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}


@pytest.mark.parametrize("choice", ["any", "required", "get_weather"])
def test_a_forced_function_beside_server_tools_is_forced_by_a_second_request(
    gw: LocalGateway, path: str, choice: str
) -> None:
    serve(gw, path, completion(content="It is blue."))
    serve(gw, path, completion("tool_calls", tool_calls=[CALL]))
    message = PATHS[path](
        gw.chat_model().bind_tools([SEARCH, get_weather], tool_choice=choice),
        "Hi",
    )
    first, second = (request.body for request in gw.requests)
    assert (first["tools"], first["tool_choice"]) == ([SEARCH, WEATHER], "auto")
    assert "thinking" not in first
    named = {"type": "function", "function": {"name": "get_weather"}}
    assert second["tool_choice"] == (named if choice == "get_weather" else "required")
    assert (second["tools"], second["thinking"]) == ([WEATHER], {"type": "disabled"})
    assert second["messages"][-1] == {"role": "assistant", "content": "It is blue."}
    assert [call["name"] for call in message.tool_calls] == ["get_weather"]


@pytest.mark.parametrize("fields", [{}, {"safety_check": "high"}])
def test_structured_output_beside_server_tools_or_high_safety_uses_json_mode(
    gw: LocalGateway, fields: dict[str, Any]
) -> None:
    serve(gw, "invoke", completion(content='{"color": "blue"}'))
    tools = [] if fields else [SEARCH]
    llm = gw.chat_model(**fields).with_structured_output(Sky, tools=tools)
    assert llm.invoke("Hi") == Sky(color="blue")
    body = gw.requests[-1].body
    assert body["response_format"] == {"type": "json_object"}
    assert body.get("tools", []) == tools
    assert "tool_choice" not in body


def test_json_mode_of_structured_output_takes_server_tools(gw: LocalGateway) -> None:
    serve(gw, "invoke", completion(content='{"color": "blue"}'))
    llm = gw.chat_model().with_structured_output(Sky, method="json_mode", tools=[SEARCH, Sky])
    assert llm.invoke("Answer in JSON.") == Sky(color="blue")
    first, second = gw.requests[-1].body["tools"]
    assert (first, second["function"]["name"]) == (SEARCH, "Sky")


def test_an_agent_with_a_result_schema_beside_server_tools_ends_in_the_result(
    gw: LocalGateway,
) -> None:
    serve(gw, "invoke", completion(content="It is blue."))
    function = {"name": "Sky", "arguments": '{"color": "blue"}'}
    calls = [{"id": "a", "type": "function", "function": function}]
    serve(gw, "invoke", completion("tool_calls", tool_calls=calls))
    agent = create_agent(gw.chat_model(), [SEARCH], response_format=ToolStrategy(Sky))
    result = agent.invoke({"messages": [HumanMessage("Hi")]})
    assert result["structured_response"] == Sky(color="blue")
    assert len(gw.requests) == 2


def test_an_agent_with_a_result_schema_and_high_safety_is_refused_with_the_way_out(
    gw: LocalGateway,
) -> None:
    llm = gw.chat_model(safety_check="high")
    refused = create_agent(llm, [SEARCH], response_format=ToolStrategy(Sky))
    with pytest.raises(errors.CFDeepSeekInvalidRequestError, match="ProviderStrategy"):
        refused.invoke({"messages": [HumanMessage("Hi")]})
    assert gw.requests == []
    serve(gw, "invoke", completion(content='{"color": "blue"}'))
    agent = create_agent(llm, [SEARCH], response_format=ProviderStrategy(Sky))
    result = agent.invoke({"messages": [HumanMessage("Hi")]})
    assert result["structured_response"] == Sky(color="blue")


@pytest.mark.parametrize("choice", ["any", "get_weather"])
def test_high_safety_refuses_a_forced_tool_choice(gw: LocalGateway, ask: Ask, choice: str) -> None:
    llm = gw.chat_model(safety_check="high").bind_tools([get_weather], tool_choice=choice)
    with pytest.raises(errors.CFDeepSeekInvalidRequestError, match="use 'auto' or 'none'"):
        ask(llm, "Hi")
    assert gw.requests == []


# --- Responses


RESULT = {"type": "web_search_result", "url": "https://a", "title": "A", "page_age": "2026-02-02"}
CITED = {"type": "web_search_result_location", "url": "https://a", "cited_text": "blue"}
BLOCKS: list[dict[str, Any]] = [
    {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "sky"}},
    {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [RESULT]},
    {"type": "found_image", "image": {"url": "https://b"}},
    {"type": "text", "text": "Blue.", "citations": [CITED]},
]
CALLS: list[dict[str, Any]] = [
    {
        "id": "c1",
        "type": "server",
        "function": {"name": "web_search", "arguments": '{"query": "sky"}'},
    },
    {
        "id": "c2",
        "type": "function",
        "function": {"name": "deepseek_read_url", "arguments": '{"url": "https://a"}'},
    },
]


def _indexed(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**entry, "index": place} for place, entry in enumerate(entries)]


CARRIERS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "list": (
        {"content": BLOCKS},
        [
            {"content": [{**BLOCKS[0], "index": 0}]},
            {"content": [{**BLOCKS[1], "index": 1}]},
            {"content": [{**BLOCKS[2], "index": 2}, {**BLOCKS[3], "text": "Bl", "index": 3}]},
            {"content": [{"text": "ue.", "index": 3}]},
        ],
    ),
    "key": (
        {"content": "Blue.", "blocks": BLOCKS, "search": {"depth": "deep", "pages": ["a"]}},
        [
            {"blocks": [{**BLOCKS[0], "index": 0}], "search": {"depth": "deep"}},
            {"blocks": [{**BLOCKS[1], "index": 1}, {**BLOCKS[2], "index": 2}]},
            {"content": "Bl", "search": {"pages": ["a"]}},
            {"content": "ue.", "blocks": [{**BLOCKS[3], "index": 3}]},
        ],
    ),
    "tool_calls": (
        {"content": "Blue.", "tool_calls": CALLS},
        [
            {"tool_calls": [{**CALLS[0], "index": 0, "function": {"name": "web_search"}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": '{"query": '}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": '"sky"}'}}]},
            {"tool_calls": [{**CALLS[1], "index": 1}], "content": "Blue."},
        ],
    ),
}


def _answer(
    gw: LocalGateway, path: str, carrier: str, version: str = "v0", **fields: Any
) -> AIMessage:
    message, deltas = CARRIERS[carrier]
    serve(gw, path, completion(**message), *deltas)
    return PATHS[path](gw.chat_model(output_version=version, **fields), "Hi", tools=[SEARCH])


def _expected_turn(carrier: str, path: str) -> dict[str, Any]:
    message = json.loads(json.dumps(CARRIERS[carrier][0]))
    if path in {"stream", "astream"}:
        for key in ("content", "blocks"):
            if isinstance(message.get(key), list):
                message[key] = _indexed(message[key])
    return {"role": "assistant", "reasoning_content": "", **message}


def _through_sqlite(message: AIMessage, directory: Path) -> AIMessage:
    with SqliteSaver.from_conn_string(str(directory / "checkpoints.sqlite")) as saver:
        return _through_graph(message, saver)


def _through_graph(message: AIMessage, saver: Any) -> AIMessage:
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda _: {"messages": [message]})
    graph.add_edge(START, "model")
    compiled = graph.compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "1"}}
    compiled.invoke({"messages": [HumanMessage("Hi")]}, config)
    last: AIMessage = compiled.get_state(config).values["messages"][-1]
    return last


STORES: dict[str, Any] = {
    "memory": lambda message, _: _through_graph(message, InMemorySaver()),
    "sqlite": _through_sqlite,
    "messages_to_dict": lambda message, _: messages_from_dict(
        json.loads(json.dumps(messages_to_dict([message])))
    )[0],
    "dumpd": lambda message, _: load(
        json.loads(json.dumps(dumpd(message))), allowed_objects="messages"
    ),
    "model_copy": lambda message, _: message.model_copy(deep=True),
}


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
@pytest.mark.parametrize("version", ["v0", "v1"])
@pytest.mark.parametrize("carrier", CARRIERS)
def test_what_server_tools_send_goes_back_unchanged_from_every_store(
    gw: LocalGateway, path: str, carrier: str, version: str, tmp_path: Path
) -> None:
    message = _answer(gw, path, carrier, version)
    assert (message.text, message.tool_calls, message.invalid_tool_calls) == ("Blue.", [], [])
    for name, store in STORES.items():
        serve(gw, "invoke", completion(content="ok"))
        stored = store(message, tmp_path)
        gw.chat_model().invoke([HumanMessage("Hi"), stored, HumanMessage("Go on")])
        turn = gw.requests[-1].body["messages"][1]
        assert turn == _expected_turn(carrier, path), name
        kept = "content" if carrier == "list" else carrier.replace("key", "blocks")
        assert json.dumps(turn[kept]) == json.dumps(_expected_turn(carrier, path)[kept]), name


CITATION = {
    "type": "citation",
    "url": "https://a",
    "cited_text": "blue",
    "extras": {"citation_type": "web_search_result_location"},
}
SHOWN: dict[str, list[dict[str, Any]]] = {
    "call": [
        {"type": "server_tool_call", "id": "s1", "name": "web_search", "args": {"query": "sky"}}
    ],
    "result": [
        {
            "type": "server_tool_result",
            "tool_call_id": "s1",
            "status": "success",
            "output": [RESULT],
            "extras": {"block_type": "web_search_tool_result"},
        }
    ],
    "image": [{"type": "non_standard", "value": BLOCKS[2]}],
    "text": [
        {
            "type": "text",
            "text": "Blue.",
            "annotations": [CITATION],
            "extras": {"citations": [CITED]},
        }
    ],
    "depth": [
        {"type": "non_standard", "value": {"search": {"depth": "deep", "pages": ["a"]}}},
    ],
    "calls": [
        {
            "type": "server_tool_call",
            "id": "c1",
            "name": "web_search",
            "args": {"query": "sky"},
            "extras": {"type": "server"},
        },
        {
            "type": "server_tool_call",
            "id": "c2",
            "name": "deepseek_read_url",
            "args": {"url": "https://a"},
            "extras": {"type": "function"},
        },
    ],
}
ORDER = {
    "list": ["call", "result", "image", "text"],
    "key": ["call", "result", "image", "depth", "text"],
    "tool_calls": ["calls", "plain"],
}


def _without_index(block: Any) -> Any:
    """Return a block without the positions that streams add."""
    if isinstance(block, list):
        return [_without_index(each) for each in block]
    if not isinstance(block, dict):
        return block
    rest = {key: _without_index(value) for key, value in block.items() if key != "index"}
    return {key: value for key, value in rest.items() if not (key == "extras" and value == {})}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_content_blocks_show_what_server_tools_send_in_the_standard_form(
    gw: LocalGateway, path: str, carrier: str
) -> None:
    shown = {**SHOWN, "plain": [{"type": "text", "text": "Blue."}]}
    message = _answer(gw, path, carrier)
    expected = [block for name in ORDER[carrier] for block in shown[name]]
    assert _without_index(message.content_blocks) == expected
    held = message.model_copy()
    assert held.content_blocks == message.content_blocks


@pytest.mark.parametrize("carrier", CARRIERS)
def test_content_in_the_standard_form_shows_the_same_blocks(
    gw: LocalGateway, path: str, carrier: str
) -> None:
    blocks = _without_index(_answer(gw, path, carrier, "v1").content_blocks)
    shown = [block for block in blocks if block.get("text") != ""]
    expected = [block for name in ORDER[carrier] for block in SHOWN.get(name, [])]
    calls = [block for block in expected if block["type"] != "text"]
    assert [block for block in shown if block["type"] != "text"] == calls
    (text,) = [block for block in shown if block["type"] == "text"]
    citations = [] if carrier == "tool_calls" else [CITATION]
    assert (text["text"], text.get("annotations", [])) == ("Blue.", citations)


def test_chunks_show_blocks_of_server_tools_as_they_come(gw: LocalGateway) -> None:
    deltas = [
        {"content": [{**BLOCKS[0], "index": 0}]},
        {"content": [{"type": "input_json_delta", "partial_json": "{", "index": 4}]},
        {"content": [{**BLOCKS[1], "index": 1}]},
    ]
    serve(gw, "stream", completion(), *deltas)
    chunks = list(gw.chat_model().stream("Hi", tools=[SEARCH]))
    kinds = [[block["type"] for block in chunk.content_blocks] for chunk in chunks]
    assert [kind for kind in kinds if kind] == [
        ["server_tool_call"],
        ["server_tool_call_chunk"],
        ["server_tool_result"],
    ]


PIECES = [
    {"content": [{**BLOCKS[0], "input": {}, "index": 0}]},
    {"content": [{"type": "input_json_delta", "partial_json": '{"query": ', "index": 0}]},
    {"content": [{"type": "input_json_delta", "partial_json": '"sky"}', "index": 0}]},
    {"content": [{"type": "text", "text": "", "index": 1}]},
    {"content": [{"type": "text_delta", "text": "Blue.", "index": 1}]},
    {"content": [{"type": "citations_delta", "citation": CITED, "index": 1}]},
    {
        "content": [
            {"type": "citations_delta", "citation": {**CITED, "url": "https://b"}, "index": 1}
        ]
    },
]


@pytest.mark.parametrize("version", ["v0", "v1"])
@pytest.mark.parametrize("stream_path", ["stream", "astream"])
def test_deltas_of_anthropics_kind_add_up_to_arguments_text_and_citations(
    gw: LocalGateway, stream_path: str, version: str
) -> None:
    serve(gw, stream_path, completion(), *PIECES)
    message = PATHS[stream_path](gw.chat_model(output_version=version), "Hi", tools=[SEARCH])
    call, text = [block for block in message.content_blocks if block.get("text") != ""]
    assert (call["type"], call["args"]) == ("server_tool_call", {"query": "sky"})  # type: ignore[typeddict-item]
    assert (message.text, text["type"]) == ("Blue.", "text")
    assert text["annotations"] == [CITATION, {**CITATION, "url": "https://b"}]  # type: ignore[typeddict-item]
    serve(gw, "invoke", completion(content="ok"))
    gw.chat_model().invoke([HumanMessage("Hi"), message, HumanMessage("Go on")])
    call_sent, text_sent = gw.requests[-1].body["messages"][1]["content"]
    assert (call_sent["input"], call_sent["partial_json"]) == ({}, '{"query": "sky"}')
    assert text_sent["citations"] == [CITED, {**CITED, "url": "https://b"}]


ADDED: list[tuple[list[Any], Any]] = [
    (["a", "b"], "ab"),
    ([1, 3, 2], 2),
    ([0.5, 0.7], 0.7),
    ([False, True], True),
    ([{"n": 1, "done": False}, {"n": 4, "pages": ["a"]}, {"done": True, "pages": ["b"]}], None),
    ([[{"index": 0, "q": "s", "ok": False}], [{"index": 0, "q": "ky", "ok": True, "n": 2}]], None),
    ([[{"q": "a"}], [{"q": "b"}]], [{"q": "a"}, {"q": "b"}]),
    ([[{"index": 0, "id": "x"}], [{"index": 0, "id": "y"}]], None),
    ([{"type": "search", "q": "s"}, {"type": "search", "q": "ky"}], {"type": "search", "q": "sky"}),
    ([{}, {"a": []}, {"a": [1]}], {"a": [1]}),
    ([{"a": None}, {"a": "x"}, {"a": None}], {"a": "x"}),
]
SUMS: dict[int, Any] = {
    4: {"n": 4, "done": True, "pages": ["a", "b"]},
    5: [{"index": 0, "q": "sky", "ok": True, "n": 2}],
    7: [{"index": 0, "id": "x"}, {"index": 0, "id": "y"}],
}


@pytest.mark.parametrize("stream_path", ["stream", "astream"])
@pytest.mark.parametrize("case", range(len(ADDED)))
@pytest.mark.parametrize("version", ["v0", "v1"])
def test_undocumented_keys_add_up_and_of_other_values_the_last_counts(
    gw: LocalGateway, stream_path: str, case: int, version: str
) -> None:
    values, total = ADDED[case]
    deltas = [{"content": "a", "search": value} for value in values]
    serve(gw, stream_path, completion(), *deltas)
    message = PATHS[stream_path](gw.chat_model(output_version=version), "Hi", tools=[SEARCH])
    assert message.additional_kwargs["deepseek"] == {"search": SUMS.get(case, total)}


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ([RESULT], "success"),
        ([], "success"),
        ({"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}, "error"),
        ([{"type": "web_search_result_error"}], "error"),
        ([RESULT, {"type": "web_search_result_error"}], "success"),
    ],
)
def test_a_failed_search_is_a_result_with_the_status_error(
    gw: LocalGateway, path: str, content: Any, status: str
) -> None:
    blocks = [{**BLOCKS[1], "content": content}, {"type": "text", "text": "Blue."}]
    serve(gw, path, completion(content=blocks))
    message = PATHS[path](gw.chat_model(), "Hi", tools=[SEARCH])
    block: Any = message.content_blocks[0]
    assert (block["type"], block["status"]) == ("server_tool_result", status)
    assert block.get("output") == content


def test_annotations_beside_a_text_are_its_citations(gw: LocalGateway, path: str) -> None:
    cited = {"url": "https://a", "title": "A", "start_index": 0, "end_index": 5}
    annotations = [{"type": "url_citation", "url_citation": cited}]
    serve(gw, path, completion(content="Blue.", annotations=annotations))
    message = PATHS[path](gw.chat_model(), "Hi", tools=[SEARCH])
    assert message.content_blocks == [
        {"type": "text", "text": "Blue.", "annotations": [{"type": "citation", **cited}]}
    ]


def test_an_agent_never_executes_a_call_of_a_server_tool(gw: LocalGateway) -> None:
    serve(gw, "invoke", completion("tool_calls", content="Blue.", tool_calls=CALLS))
    agent = create_agent(gw.chat_model(), [SEARCH, READ, get_weather])
    result = agent.invoke({"messages": [HumanMessage("Hi")]})
    assert [message.type for message in result["messages"]] == ["human", "ai"]
    assert result["messages"][-1].text == "Blue."


def test_calls_of_both_kinds_are_told_apart_and_both_go_back(gw: LocalGateway, path: str) -> None:
    serve(gw, path, completion("tool_calls", tool_calls=[CALLS[0], CALL]))
    serve(gw, path, completion(content="ok"))
    llm = gw.chat_model()
    message = PATHS[path](llm, "Hi", tools=[SEARCH, WEATHER])
    assert [call["name"] for call in message.tool_calls] == ["get_weather"]
    PATHS[path](llm, [HumanMessage("Hi"), message])
    assert gw.requests[-1].body["messages"][1]["tool_calls"] == [CALLS[0], CALL]


def test_a_function_with_a_name_like_a_server_tool_is_a_function(
    gw: LocalGateway, path: str
) -> None:
    function = {"name": "deepseek_balance", "parameters": {"type": "object", "properties": {}}}
    call = {**CALL, "function": {"name": "deepseek_balance", "arguments": "{}"}}
    serve(gw, path, completion("tool_calls", tool_calls=[call]))
    tools = [{"type": "function", "function": function}]
    message = PATHS[path](gw.chat_model(), "Hi", tools=tools)
    assert [call["name"] for call in message.tool_calls] == ["deepseek_balance"]


def test_billed_searches_are_in_the_response_metadata(gw: LocalGateway, path: str) -> None:
    used = {"web_search_requests": 2, "web_fetch_requests": 1}
    serve(gw, path, completion(content="Blue.", usage={**USAGE, "server_tool_use": used}))
    message = PATHS[path](gw.chat_model(), "Hi", tools=[SEARCH])
    assert message.response_metadata["server_tool_use"] == used
    assert message.response_metadata["token_usage"]["server_tool_use"] == used


def test_billed_searches_of_two_requests_are_added_up(gw: LocalGateway, path: str) -> None:
    first = {**USAGE, "server_tool_use": {"web_search_requests": 2}}
    second = {**USAGE, "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 1}}
    serve(gw, path, completion(content="Blue.", usage=first))
    serve(gw, path, completion("tool_calls", tool_calls=[CALL], usage=second))
    llm = gw.chat_model().bind_tools([SEARCH, get_weather], tool_choice="any")
    message = PATHS[path](llm, "Hi")
    assert message.response_metadata["server_tool_use"] == {
        "web_search_requests": 3,
        "web_fetch_requests": 1,
    }


# --- The local gateway


@pytest.mark.parametrize("carrier", ["content", "key", "none"])
@pytest.mark.parametrize("version", ["v0", "v1"])
def test_a_search_of_the_local_gateway_is_shown_and_continued(
    ask: Ask, carrier: Any, version: str
) -> None:
    rules = Rules(assumptions=Assumptions(server_tool_blocks=carrier))
    found = [{"url": "https://a", "title": "A"}]
    cited = {"url": "https://a", "title": "A", "cited_text": "blue"}
    with LocalGateway(rules=rules) as gateway:
        gateway.reply(
            content="Blue.",
            searches=[ScriptedSearch(query="sky", results=found)],
            citations=[cited],
            title="The sky",
        )
        llm = gateway.chat_model(title=True, output_version=version)
        message = ask(llm, "Hi", tools=[SEARCH])
        next_message = ask(llm, [HumanMessage("Hi"), message, HumanMessage("More")], tools=[SEARCH])
        sent = gateway.requests[-1].body["messages"][1]
    assert (message.text, message.response_metadata["title"]) == ("Blue.", "The sky")
    assert message.response_metadata["server_tool_use"]["web_search_requests"] == 1
    assert next_message.text
    blocks: list[Any] = [
        block for block in message.content_blocks if block["type"] != "text" or block["text"]
    ]
    kinds = {block["type"] for block in blocks}
    shown = {"server_tool_call", "server_tool_result"} if carrier != "none" else set()
    assert kinds == {"text", *shown}
    (text,) = [block for block in blocks if block["type"] == "text"]
    citation = {"type": "citation", **cited, "extras": CITATION["extras"]}
    assert text.get("annotations", []) == ([citation] if carrier != "none" else [])
    held = sent["content"] if carrier == "content" else sent.get("server_tool_blocks")
    if carrier != "none":
        call, result, *_ = held
        assert (call["name"], call["input"]) == ("deepseek_web_search", {"query": "sky"})
        assert (result["tool_use_id"], result["content"][0]["url"]) == (call["id"], "https://a")
    else:
        assert (sent["content"], held) == ("Blue.", None)


# --- Silence


@pytest.mark.parametrize("whole_path", ["invoke", "ainvoke"])
def test_blank_lines_keep_a_whole_response_alive_that_searches(
    gw: LocalGateway, whole_path: str
) -> None:
    gw.fault(Fault(then="keep_alive", seconds=1.5, body=completion(content="Blue.")))
    begun = time.monotonic()
    llm = gw.chat_model(timeout=0.5, max_retries=0)
    assert PATHS[whole_path](llm, "Hi", tools=[SEARCH]).text == "Blue."
    assert time.monotonic() - begun > 1


@pytest.mark.parametrize("stream_path", ["stream", "astream"])
@pytest.mark.parametrize("after_chunks", [0, 1])
@pytest.mark.parametrize("options", [{"tools": [SEARCH]}, {"safety_check": "high"}])
def test_keep_alives_alone_keep_a_stream_alive_that_searches_or_is_reviewed(
    gw: LocalGateway,
    stream_path: str,
    after_chunks: int,
    options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_stream, "_MAX_QUEUE_SECONDS", 0.2)
    events = [delta(content="Blue."), {**delta("stop", content=""), "usage": USAGE}]
    gw.fault(
        Fault(
            then="keep_alive",
            after_chunks=after_chunks,
            seconds=1.5,
            **event_stream(*events),
        )
    )
    llm = gw.chat_model(stream_chunk_timeout=0.5, timeout=0.5)
    begun = time.monotonic()
    assert PATHS[stream_path](llm, "Hi", **options).text == "Blue."
    assert time.monotonic() - begun > 1
