"""`safety_check`, `title`, refusals, and the message with date and place."""

import asyncio
import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessageChunk,
    ChatMessage,
    HumanMessage,
    messages_from_dict,
    messages_to_dict,
)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import ValidationError

from langchain_cf_deepseek import errors, latest_reminder
from langchain_cf_deepseek.local import LocalGateway
from tests.conftest import PATHS, Ask
from tests.streaming import USAGE, completion, delta, event_stream, serve


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# --- Requests

HIGH, ON = {"level": "high"}, {"enabled": True}
SENT: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "fields": ({"safety_check": "high", "title": True}, {}, {"safety_check": HIGH, "title": ON}),
    "arguments": ({}, {"safety_check": "high", "title": True}, {"safety_check": HIGH, "title": ON}),
    "DeepSeek's forms": (
        {},
        {"safety_check": {"level": "low", "x": 1}, "title": {"enabled": False}},
        {"safety_check": {"level": "low", "x": 1}, "title": {"enabled": False}},
    ),
    "extra_body": ({}, {"extra_body": {"title": ON}}, {"title": ON}),
    "overridden": (
        {"safety_check": "high", "title": True},
        {"safety_check": "low", "title": False},
        {"safety_check": {"level": "low"}},
    ),
    "off": ({"title": False}, {}, {}),
}


@pytest.mark.parametrize("case", SENT)
def test_safety_check_and_title_are_sent_in_deepseeks_form(
    gw: LocalGateway, path: str, case: str
) -> None:
    fields, options, sent = SENT[case]
    serve(gw, path, completion(content="Hi."))
    PATHS[path](gw.chat_model(**fields), "Hi", **options)
    body = gw.requests[-1].body
    assert {key: body[key] for key in ("safety_check", "title") if key in body} == sent


@pytest.mark.parametrize(
    "options",
    [
        {"safety_check": "medium"},
        {"safety_check": {"level": "medium"}},
        {"safety_check": {}},
        {"safety_check": True},
        {"title": "Greeting"},
        {"title": {}},
        {"title": {"enabled": "yes"}},
    ],
    ids=str,
)
def test_safety_check_and_title_of_another_form_are_refused(
    gw: LocalGateway, ask: Ask, options: dict[str, Any]
) -> None:
    (name,) = options
    with pytest.raises(errors.CFDeepSeekInvalidRequestError, match=f"`{name}` must be"):
        ask(gw.chat_model(), "Hi", **options)
    with pytest.raises(ValidationError, match=name):
        gw.chat_model(**options)
    assert gw.requests == []


@pytest.mark.parametrize(
    ("model", "routing"),
    [
        ("dynamic/support", "compat"),
        ("custom-mine/deepseek-flash", "compat"),
        ("@cf/deepseek-ai/deepseek-v4-pro-0813", "unified"),
        ("deepseek-v4-pro", "unified"),
    ],
)
def test_safety_check_off_deepseek_warns_that_nothing_is_reviewed(
    gw: LocalGateway, model: str, routing: Any
) -> None:
    with pytest.warns(UserWarning, match="reviews nothing"):
        llm = gw.chat_model(model=model, routing=routing, safety_check="low")
    serve(gw, "invoke", completion(content="Hi."))
    assert llm.invoke("Hi").text == "Hi."


# --- Title


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_a_title_is_in_the_response_metadata_and_is_not_sent_back(
    gw: LocalGateway, path: str, version: str
) -> None:
    llm = gw.chat_model(title=True, output_version=version)
    if path in {"invoke", "ainvoke"}:
        serve(gw, path, completion(content="Hi.", title="Greeting"))
    else:
        last = delta("stop", content="", title="Greeting")
        gw.fault(**event_stream(delta(content="Hi."), {**last, "usage": USAGE}))
    message = PATHS[path](llm, "Hi")
    assert message.response_metadata["title"] == "Greeting"
    assert "deepseek" not in message.additional_kwargs
    serve(gw, path, completion(content="ok"))
    PATHS[path](llm, [HumanMessage("Hi"), message, HumanMessage("Go on")])
    assert gw.requests[-1].body["messages"][1] == {
        "role": "assistant",
        "content": "Hi.",
        "reasoning_content": "",
    }


def test_a_title_that_an_earlier_version_kept_is_not_sent_back(gw: LocalGateway) -> None:
    serve(gw, "invoke", completion(content="Hi."))
    message = gw.chat_model().invoke("Hi")
    message.additional_kwargs["deepseek"] = {"title": "Greeting"}
    serve(gw, "invoke", completion(content="ok"))
    gw.chat_model().invoke([HumanMessage("Hi"), message, HumanMessage("Go on")])
    assert "title" not in gw.requests[-1].body["messages"][1]


@pytest.mark.parametrize("title", [{}, {"title": None}, {"title": ""}])
def test_a_title_that_was_not_written_is_absent(
    gw: LocalGateway, path: str, title: dict[str, Any]
) -> None:
    serve(gw, path, completion(content="Hi.", **title))
    message = PATHS[path](gw.chat_model(title=True), "Hi")
    assert "title" not in message.response_metadata


def test_a_title_that_several_deltas_repeat_is_read_once(gw: LocalGateway) -> None:
    deltas = [{"content": "Hi.", "title": "Greeting"}, {"content": "", "title": "Greeting"}]
    serve(gw, "stream", completion(), *deltas)
    chunks: list[AIMessageChunk] = list(gw.chat_model(title=True).stream("Hi"))
    titles = [chunk.response_metadata.get("title") for chunk in chunks]
    assert [title for title in titles if title] == ["Greeting"]


# --- Refusals


def _refuse(gw: LocalGateway, path: str) -> None:
    whole = completion("content_filter", content="First words.", reasoning_content="Hm.")
    serve(
        gw, path, whole, {"reasoning_content": "Hm."}, {"content": "First "}, {"content": "words."}
    )


def _check_refusal(error: errors.CFDeepSeekContentBlockedError) -> None:
    assert (error.partial, error.is_retryable) == ("First words.", False)
    assert error.raw_message is not None
    assert error.raw_message.response_metadata["finish_reason"] == "content_filter"
    assert error.usage_metadata == {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}


@pytest.mark.parametrize("fields", [{}, {"safety_check": "high"}])
def test_a_refusal_after_the_text_is_an_error_with_the_text(
    gw: LocalGateway, path: str, fields: dict[str, Any]
) -> None:
    _refuse(gw, path)
    with pytest.raises(errors.CFDeepSeekContentBlockedError) as caught:
        PATHS[path](gw.chat_model(**fields), "Hi")
    _check_refusal(caught.value)
    assert len(gw.requests) == 1


def _texts(event: Any) -> list[str]:
    return [event["data"]["chunk"].text] if event["event"] == "on_chat_model_stream" else []


def test_a_refusal_ends_event_streams_after_their_text(gw: LocalGateway) -> None:
    _refuse(gw, "astream")
    received: list[str] = []

    async def collect() -> None:
        async for event in gw.chat_model().astream_events("Hi", version="v2"):
            received.extend(_texts(event))

    with pytest.raises(errors.CFDeepSeekContentBlockedError) as caught:
        asyncio.run(collect())
    _check_refusal(caught.value)
    assert "".join(received) == "First words."


@pytest.mark.parametrize("mode", ["values", "messages"])
def test_a_refusal_ends_a_graph_run(gw: LocalGateway, mode: Any) -> None:
    llm = gw.chat_model()
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [llm.invoke(state["messages"])]})
    graph.add_edge(START, "model")
    compiled = graph.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    _refuse(gw, "stream" if mode == "messages" else "invoke")
    with pytest.raises(errors.CFDeepSeekContentBlockedError) as caught:
        list(compiled.stream({"messages": [HumanMessage("Hi")]}, config, stream_mode=mode))
    _check_refusal(caught.value)
    messages = compiled.get_state(config).values["messages"]
    assert [message.type for message in messages] == ["human"]


# --- Reminder


@pytest.mark.parametrize(
    ("arguments", "content"),
    [
        (("2026-11-09", "Singapore"), "2026-11-09,Monday,Singapore,Web,English"),
        ((date(2026, 11, 8), "", "App", "中文"), "2026-11-08,星期日,,App,中文"),
        (
            (datetime(2026, 11, 13, 9, tzinfo=UTC), "Paris, France"),
            "2026-11-13,Friday,Paris, France,Web,English",
        ),
        (("2026-11-11", "", "Web", "Deutsch", "Mittwoch"), "2026-11-11,Mittwoch,,Web,Deutsch"),
    ],
)
def test_the_reminder_is_sent_before_its_user_message(
    gw: LocalGateway, ask: Ask, arguments: tuple[Any, ...], content: str
) -> None:
    *given, weekday = (*arguments, None) if len(arguments) < 5 else arguments
    reminder = latest_reminder(*given, weekday=weekday)
    gw.reply(content="Hi.")
    (stored,) = messages_from_dict(json.loads(json.dumps(messages_to_dict([reminder]))))
    assert stored == reminder == ChatMessage(role="latest_reminder", content=content)
    ask(gw.chat_model(), [stored, HumanMessage("Hi")])
    assert gw.requests[-1].body["messages"] == [
        {"role": "latest_reminder", "content": content},
        {"role": "user", "content": "Hi"},
    ]


@pytest.mark.parametrize(
    ("arguments", "options", "named"),
    [
        (("2026-13-01",), {}, "date"),
        (("20261109",), {}, "date"),
        (("9 November",), {}, "date"),
        ((20261109,), {}, "date"),
        ((None,), {}, "date"),
        (("2026-11-09", "Paris\nFrance"), {}, "location"),
        (("2026-11-09", "Paris\u2028"), {}, "location"),
        (("2026-11-09", 5), {}, "location"),
        (("2026-11-09", None), {}, "location"),
        (("2026-11-09", "", "web"), {}, "platform"),
        (("2026-11-09", "", "Web", "Deutsch"), {}, "weekday"),
        (("2026-11-09", "", "Web", ""), {"weekday": "Monday"}, "language"),
        (("2026-11-09", "", "Web", "A,B"), {"weekday": "Monday"}, "language"),
        (("2026-11-09",), {"weekday": "a,b"}, "weekday"),
        (("2026-11-09",), {"weekday": "a\nb"}, "weekday"),
        (("2026-11-09",), {"weekday": ""}, "weekday"),
    ],
)
def test_a_malformed_reminder_is_refused(
    arguments: tuple[Any, ...], options: dict[str, Any], named: str
) -> None:
    with pytest.raises(errors.CFDeepSeekInvalidRequestError, match=f"`{named}`"):
        latest_reminder(*arguments, **options)


def test_a_reminder_to_workers_ai_is_a_system_message(gw: LocalGateway, ask: Ask) -> None:
    gw.reply(content="Hi.")
    llm = gw.chat_model(model="@cf/deepseek-ai/deepseek-v4-pro-0813", routing="unified")
    ask(llm, [latest_reminder("2026-11-09"), HumanMessage("Hi")])
    assert gw.requests[-1].body["messages"] == [
        {"role": "system", "content": "2026-11-09,Monday,,Web,English"},
        {"role": "user", "content": "Hi"},
    ]


def test_a_reminder_stays_in_the_thread_of_a_graph(gw: LocalGateway) -> None:
    llm = gw.chat_model()
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [llm.invoke(state["messages"])]})
    graph.add_edge(START, "model")
    compiled = graph.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    for number in (8, 9):
        gw.reply(content="Hi.")
        asked: list[Any] = [latest_reminder(date(2026, 11, number)), HumanMessage("Hi")]
        compiled.invoke({"messages": asked}, config)
    roles = [message["role"] for message in gw.requests[-1].body["messages"]]
    assert roles == ["latest_reminder", "user", "assistant", "latest_reminder", "user"]
