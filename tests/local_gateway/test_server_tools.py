"""DeepSeek's server tools: what they find, where a response carries it, what is refused."""

import json
from typing import Any

import pytest

from langchain_cf_deepseek.local import (
    Assumptions,
    LocalGateway,
    Reply,
    Routing,
    Rules,
    ScriptedPage,
    ScriptedSearch,
    WebPage,
)
from tests.local_gateway.conftest import QUESTION, Caller, StartGateway
from tests.local_gateway.test_deepseek import OFF, TOOL, error_of, message_of

SEARCH = {"type": "deepseek_web_search"}
READ = {"type": "deepseek_read_url"}
FOUND = {"url": "https://example.com/sky", "title": "The sky", "page_age": "2026-02-02"}
CITED = {"url": "https://example.com/sky", "title": "The sky", "cited_text": "It is blue."}
REPLY = Reply(
    content="Blue, says a page.",
    reasoning="I search.",
    searches=[ScriptedSearch("sky colour", [FOUND])],
    pages=[ScriptedPage("https://example.com/sky", "The sky", "It is blue.")],
    citations=[CITED],
)
USAGE = {"web_search_requests": 1, "web_fetch_requests": 1}
TEXT = {
    "type": "text",
    "text": "Blue, says a page.",
    "citations": [{"type": "web_search_result_location", **CITED}],
}
Merged = dict[str, Any]


def blocks(ids: list[str]) -> list[dict[str, Any]]:
    document = {
        "type": "document",
        "title": "The sky",
        "source": {"type": "text", "media_type": "text/plain", "data": "It is blue."},
    }
    return [
        {
            "type": "server_tool_use",
            "id": ids[0],
            "name": "deepseek_web_search",
            "input": {"query": "sky colour"},
        },
        {
            "type": "web_search_tool_result",
            "tool_use_id": ids[0],
            "content": [{"type": "web_search_result", **FOUND}],
        },
        {
            "type": "server_tool_use",
            "id": ids[1],
            "name": "deepseek_read_url",
            "input": {"url": "https://example.com/sky"},
        },
        {
            "type": "web_fetch_tool_result",
            "tool_use_id": ids[1],
            "content": {
                "type": "web_fetch_result",
                "url": "https://example.com/sky",
                "content": document,
            },
        },
    ]


def ids_in(found: list[dict[str, Any]]) -> list[str]:
    return [block["id"] for block in found if block.get("type") == "server_tool_use"]


def merged(streamed: list[dict[str, Any]]) -> tuple[Merged, str, dict[str, Any]]:
    """Merge deltas by the rules of a client: texts append, lists merge by index."""
    message: Merged = {}
    for chunk in streamed:
        for key, value in chunk["choices"][0]["delta"].items():
            if isinstance(value, list):
                found = message.setdefault(key, {}) or {}
                message[key] = found
                for part in value:
                    block = found.setdefault(part["index"], {})
                    text = block.get("text", "") + part.get("text", "")
                    block |= {name: part[name] for name in part if name != "index"}
                    block |= {"text": text} if text else {}
            elif value is not None:
                message[key] = (message.get(key) or "") + value
    lists = {key: list(value.values()) for key, value in message.items() if isinstance(value, dict)}
    last = streamed[-1]
    return message | lists, last["choices"][0]["finish_reason"], last["usage"]["server_tool_use"]


def ask_both(caller: Caller, **fields: Any) -> list[tuple[Merged, str, dict[str, Any]]]:
    """Return message, finish reason and billed calls, of a whole response and of a stream."""
    whole = caller.post(**fields).json()
    choice = whole["choices"][0]
    streamed = merged(caller.stream(**fields))
    return [
        (choice["message"], choice["finish_reason"], whole["usage"]["server_tool_use"]),
        streamed,
    ]


def test_server_tools_of_a_reply_are_blocks_of_the_content(ask: Caller) -> None:
    for _ in range(2):
        ask.gateway.reply(REPLY)
    for message, finish_reason, usage in ask_both(ask, tools=[SEARCH, READ]):
        assert message == {
            "role": "assistant",
            "reasoning_content": "I search.",
            "content": [*blocks(ids_in(message["content"])), TEXT],
        }
        assert (finish_reason, usage) == ("stop", USAGE)


def test_server_tools_of_a_reply_can_be_blocks_under_a_key(start_gateway: StartGateway) -> None:
    caller = start_gateway(assumptions=Assumptions(server_tool_blocks="key"))
    for _ in range(2):
        caller.gateway.reply(REPLY)
    for message, finish_reason, usage in ask_both(caller, tools=[SEARCH, READ]):
        found = message["server_tool_blocks"]
        assert message == {
            "role": "assistant",
            "reasoning_content": "I search.",
            "content": "Blue, says a page.",
            "server_tool_blocks": [*blocks(ids_in(found)), *TEXT["citations"]],
        }
        assert (finish_reason, usage) == ("stop", USAGE)


def test_server_tools_of_a_reply_can_leave_only_the_text(start_gateway: StartGateway) -> None:
    caller = start_gateway(assumptions=Assumptions(server_tool_blocks="none"))
    for _ in range(2):
        caller.gateway.reply(REPLY)
    message = {
        "role": "assistant",
        "reasoning_content": "I search.",
        "content": "Blue, says a page.",
    }
    expected = (message, "stop", USAGE)
    assert ask_both(caller, tools=[SEARCH, READ]) == [expected, expected]


def test_server_tools_come_after_the_reasoning_and_before_the_text(ask: Caller) -> None:
    ask.gateway.reply(REPLY)
    deltas = [chunk["choices"][0]["delta"] for chunk in ask.stream(tools=[SEARCH, READ])]
    kinds = [
        "reasoning" if delta.get("reasoning_content") else delta["content"][0].get("type", "more")
        for delta in deltas
        if delta.get("reasoning_content") or delta.get("content")
    ]
    assert list(dict.fromkeys(kinds)) == [
        "reasoning",
        "server_tool_use",
        "web_search_tool_result",
        "web_fetch_tool_result",
        "text",
        "more",
    ]


@pytest.mark.parametrize(
    ("tools", "count", "usage"),
    [
        ([READ], 2, {"web_search_requests": 0, "web_fetch_requests": 1}),
        ([SEARCH], 4, USAGE),
        ([], 0, None),
    ],
)
def test_server_tools_that_a_request_does_not_declare_do_not_run(
    ask: Caller, tools: list[Any], count: int, usage: Any
) -> None:
    ask.gateway.reply(REPLY)
    body = ask.post(tools=tools).json()
    content = body["choices"][0]["message"]["content"]
    assert len(content[:-1] if isinstance(content, list) else []) == count
    assert body["usage"].get("server_tool_use") == usage


def test_server_tools_go_with_function_tools_that_the_model_calls(ask: Caller) -> None:
    call = {"name": "get_weather", "args": {"city": "Paris"}}
    ask.gateway.reply(searches=[ScriptedSearch("Paris", [FOUND])], tool_calls=[call])
    streamed = ask.stream(tools=[SEARCH, TOOL], tool_choice="auto")
    deltas = [chunk["choices"][0]["delta"] for chunk in streamed]
    blocks_at = [number for number, delta in enumerate(deltas) if delta.get("content")]
    calls_at = [number for number, delta in enumerate(deltas) if delta.get("tool_calls")]
    assert len(blocks_at) == 2
    assert blocks_at[-1] < calls_at[0]
    assert streamed[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_blocks_that_are_sent_back_are_accepted_by_either_carrier(ask: Caller) -> None:
    question = {"role": "user", "content": "My sky is green."}
    in_content = {"role": "assistant", "content": [*blocks(["a", "b"]), TEXT]}
    beside = {"role": "assistant", "content": "Blue.", "server_tool_blocks": blocks(["a", "b"])}
    for turn in (in_content, beside):
        sent = [question, {**turn, "reasoning_content": "I search."}]
        messages = [*sent, {"role": "user", "content": "Which sky is green?"}]
        message = message_of(ask.post(messages=messages, tools=[SEARCH]))
        assert message["content"] == "You told me: My sky is green."
        assert ask.gateway.requests[-1].body["messages"] == messages


WEB: dict[str, WebPage | tuple[str, str]] = {
    "https://example.com/sky": ("The sky", "# Sky\nThe sky is blue by Rayleigh scattering."),
    "https://example.org/sea": WebPage("The sea", "The sea is salty.", "2026-10-20T08:00:00Z", 3),
}


@pytest.fixture(scope="module")
def web_caller(http: Any) -> Any:
    with LocalGateway(web=WEB) as gateway:
        yield Caller(gateway, http)


@pytest.mark.parametrize(
    ("question", "tools", "url", "text"),
    [
        (
            "Why is the sky blue?",
            [SEARCH],
            "https://example.com/sky",
            "The sky is blue by Rayleigh",
        ),
        ("Read https://example.org/sea, please.", [READ], "https://example.org/sea", "The sea is"),
    ],
)
def test_the_simulated_model_answers_from_the_web_and_cites_it(
    web_caller: Caller, question: str, tools: list[Any], url: str, text: str
) -> None:
    messages = [{"role": "user", "content": question}]
    content = message_of(web_caller.post(messages=messages, tools=tools))["content"]
    assert content[-1]["text"].startswith(text)
    assert [citation["url"] for citation in content[-1]["citations"]] == [url]
    assert url in str(content[1])


def test_a_page_that_is_not_in_the_web_is_a_failed_fetch(web_caller: Caller) -> None:
    web_caller.gateway.reply(content="Nothing.", pages=["https://example.com/none"])
    body = web_caller.post(tools=[READ]).json()
    assert body["choices"][0]["message"]["content"][1]["content"] == {
        "type": "web_fetch_tool_result_error",
        "error_code": "unavailable",
    }
    assert body["usage"]["server_tool_use"]["web_fetch_requests"] == 0


NAMED = {"type": "function", "function": {"name": "get_weather"}}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"model": "deepseek-v4-pro", "tools": [READ]},
            "deepseek_read_url is only supported by deepseek-flash",
        ),
        (
            {"tools": [TOOL, {**SEARCH, "strict": True}]},
            "Invalid 'tools[1]': 'strict' is not supported",
        ),
        (
            {"tools": [SEARCH], "tool_choice": "required"},
            "A server tool cannot be forced by 'tool_choice'",
        ),
        (
            {"tools": [SEARCH, TOOL], "tool_choice": SEARCH},
            "A server tool cannot be forced by 'tool_choice'",
        ),
        (
            {
                "tools": [SEARCH],
                "messages": [QUESTION, {"role": "assistant", "content": "So", "prefix": True}],
                "path": "beta/chat/completions",
            },
            "Function call should not be used with prefix",
        ),
    ],
)
def test_server_tools_are_refused(ask: Caller, fields: dict[str, Any], message: str) -> None:
    assert error_of(ask.post(**fields)) == message


def test_server_tools_may_have_a_name(ask: Caller) -> None:
    ask.gateway.reply(REPLY)
    response = ask.post(tools=[{**SEARCH, "name": "deepseek_web_search"}])
    assert response.json()["usage"]["server_tool_use"] == USAGE


@pytest.mark.parametrize(
    "tools", [[{"type": ["deepseek_web_search"]}], ["deepseek_web_search"], {"type": "x"}, [None]]
)
def test_malformed_tools_are_refused_by_deepseeks_library(ask: Caller, tools: Any) -> None:
    response = ask.post(tools=tools)
    assert response.status_code == 400
    assert response.text.startswith("Failed to deserialize the JSON body into the target type:")


@pytest.mark.parametrize("choice", ["auto", "none"])
def test_server_tools_go_with_the_other_tool_choices(ask: Caller, choice: str) -> None:
    assert ask.post(tools=[SEARCH], tool_choice=choice).status_code == 200


@pytest.mark.parametrize("routing", ["provider-native", "compat", "unified"])
def test_an_old_server_refuses_server_tools_and_ignores_the_new_fields(
    http: Any, routing: Routing
) -> None:
    rules = Rules(assumptions=Assumptions(november_2026=False))
    with LocalGateway(rules=rules, stored_key=True) as gateway:
        caller = Caller(gateway, http)
        refused = caller.post(routing=routing, tools=[TOOL, SEARCH])
        assert refused.status_code == 400
        assert "unknown variant `deepseek_web_search`, expected `function`" in refused.text
        fields: dict[str, Any] = {"title": {"enabled": True}, "safety_check": {"level": "none"}}
        message = message_of(caller.post(routing=routing, thinking=OFF, **fields))
    assert message.keys() == {"role", "content"}


@pytest.mark.parametrize("carrier", ["content", "key"])
def test_the_log_has_the_blocks_of_a_stream(start_gateway: StartGateway, carrier: Any) -> None:
    caller = start_gateway(assumptions=Assumptions(server_tool_blocks=carrier))
    for _ in range(2):
        caller.gateway.reply(REPLY)
    fields: dict[str, Any] = {"tools": [SEARCH, READ], "title": {"enabled": True}}
    whole = caller.post(**fields).json()["choices"][0]["message"]
    caller.stream(**fields)
    url = f"{caller.gateway.url}/client/v4/accounts/{caller.gateway.account_id}/ai-gateway"
    headers = caller.headers("unified")
    rows = caller.http.get(f"{url}/gateways/local/logs", headers=headers).json()["result"]
    streamed = max(rows, key=lambda row: row["created_at"])
    body = caller.http.get(f"{url}/gateways/local/logs/{streamed['id']}/response", headers=headers)
    message = body.json()["choices"][0]["message"]
    key = "content" if carrier == "content" else "server_tool_blocks"
    logged, expected = (ids_in(each[key]) for each in (message, whole))
    renamed = json.dumps(message)
    for mine, theirs in zip(logged, expected, strict=True):
        renamed = renamed.replace(mine, theirs)
    assert json.loads(renamed) == whole
