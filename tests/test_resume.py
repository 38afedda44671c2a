"""A stream that breaks goes on in the same stream, or ends in the error that it is."""

import asyncio
import threading
import time
from itertools import takewhile
from typing import Any, cast

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from pydantic import ValidationError

from langchain_cf_deepseek import ChatCloudflareDeepSeek, errors
from langchain_cf_deepseek._http import retries
from langchain_cf_deepseek.local import Fault, LocalGateway, Reply, ScriptedCall
from tests.conftest import PATHS, Ask
from tests.streaming import USAGE, delta, event_stream, streamed

CHAT = "/v1/0123456789abcdef0123456789abcdef/local/deepseek/chat/completions"
BETA = CHAT.replace("/chat/", "/beta/chat/")

REPLY = Reply(content="one two three four", reasoning="Count to four.")
CALLED = Reply(
    content="Let me see.", reasoning="Ask.", tool_calls=[ScriptedCall("look", {"at": "x"})]
)
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object"}},
}

BREAKS: dict[str, Fault] = {
    "cut": Fault(then="cut"),
    "reset": Fault(then="reset"),
    "error_event": Fault(then="error_event"),
    "bad_json": Fault(then="bad_json"),
}

# What differs between a message of one response and the same message of two.
_OF_A_RESPONSE = ("cloudflare_gateway", "id", "resumed", "token_usage")


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "_INITIAL_DELAY", 0.01)


def _model(gw: LocalGateway, **settings: Any) -> ChatCloudflareDeepSeek:
    return gw.chat_model(**{"streaming": True, "resume": 1, "max_retries": 0, **settings})


def _script(gw: LocalGateway, *replies: Reply) -> None:
    for reply in replies:
        gw.reply(reply)


def _essence(message: AIMessage) -> dict[str, Any]:
    metadata = message.response_metadata
    calls = [{**call, "id": None} for call in message.tool_calls]
    return {
        "content": message.content,
        "additional_kwargs": message.additional_kwargs,
        "tool_calls": calls,
        "invalid_tool_calls": message.invalid_tool_calls,
        "metadata": {key: metadata[key] for key in metadata if key not in _OF_A_RESPONSE},
    }


def _parts(gw: LocalGateway, reply: Reply, **settings: Any) -> list[tuple[str, str]]:
    """Return reasoning and text of each event before the finish reason of a streamed reply."""
    _script(gw, reply)
    chunks = takewhile(
        lambda chunk: "finish_reason" not in chunk.response_metadata,
        _model(gw, **settings).stream("Count"),
    )
    return [
        (str(chunk.additional_kwargs.get("reasoning_content", "")), chunk.text) for chunk in chunks
    ]


def _received(parts: list[tuple[str, str]], count: int) -> tuple[str, str]:
    reasonings, texts = zip(*parts[:count], strict=True) if count else ((), ())
    return "".join(reasonings), "".join(texts)


def _rest(reply: Reply, reasoning: str, text: str) -> Reply:
    return Reply(
        content=reply.content.removeprefix(text),
        reasoning=(reply.reasoning or "").removeprefix(reasoning),
    )


@pytest.mark.parametrize("then", BREAKS)
@pytest.mark.parametrize("thinking", ["enabled", "disabled"])
def test_a_stream_broken_at_any_event_goes_on_to_the_message_of_the_unbroken_one(
    gw: LocalGateway, ask: Ask, then: str, thinking: str
) -> None:
    settings = {"thinking": thinking}
    parts = _parts(gw, REPLY, **settings)
    _script(gw, REPLY)
    unbroken = ask(_model(gw, **settings), "Count")
    for count in range(len(parts) + 1):
        gw.reset()
        reasoning, text = _received(parts, count)
        _script(gw, REPLY, _rest(REPLY, reasoning, text))
        gw.fault(Fault(then=BREAKS[then].then, after_chunks=count))
        message = ask(_model(gw, **settings), "Count")
        assert _essence(message) == _essence(unbroken)
        first, second = gw.requests
        turn = {"role": "assistant", "content": text, "prefix": True}
        if reasoning:
            turn["reasoning_content"] = reasoning
        turns = [turn] if reasoning or text else []
        assert second.body == {**first.body, "messages": [*first.body["messages"], *turns]}
        assert [first.path, second.path] == [CHAT, BETA if turns else CHAT]
        assert second.headers["cf-aig-skip-cache"] == "true"
        (resumed,) = message.response_metadata["resumed"]
        assert resumed["reasoning_characters"] == len(reasoning)
        assert resumed["text_characters"] == len(text)


def _error_of(
    ask: Ask, llm: ChatCloudflareDeepSeek, asked: Any = "Count", **options: Any
) -> errors.CFDeepSeekError:
    with pytest.raises(errors.CFDeepSeekError) as caught:
        ask(llm, asked, **options)
    return caught.value


def test_a_stream_broken_at_any_event_of_a_call_is_sent_again_or_the_error(
    gw: LocalGateway, ask: Ask
) -> None:
    tools = {"tools": [TOOL]}
    parts = _parts(gw, CALLED, model_kwargs=tools)
    _script(gw, CALLED)
    unbroken = ask(_model(gw), "Count", **tools)
    assert len(parts) == 17
    for count in range(len(parts) + 1):
        gw.reset()
        reasoning, text = _received(parts, count)
        _script(gw, CALLED, CALLED)
        gw.fault(then="reset", after_chunks=count)
        if count < 2:
            message = ask(_model(gw), "Count", **tools)
            assert _essence(message) == _essence(unbroken)
            assert [request.path for request in gw.requests] == [CHAT, CHAT]
            assert gw.requests[0].body == gw.requests[1].body
            continue
        error = _error_of(ask, _model(gw), **tools)
        assert type(error) is errors.CFDeepSeekIncompleteStreamError
        assert (error.partial, error.is_retryable) == (text, True)
        assert error.raw_message is not None
        assert error.raw_message.additional_kwargs["reasoning_content"] == reasoning
        has_called = count > 7
        reason = "its tool calls have begun" if has_called else "prefix completion excludes `tools`"
        assert error.__notes__ == [f"`resume` could not continue the response: {reason}."]
        assert len(gw.requests) == 1


@pytest.mark.parametrize("then", ["stall", "keep_alive"])
def test_a_silent_stream_goes_on(gw: LocalGateway, ask: Ask, then: Any) -> None:
    _script(gw, REPLY, Reply(content=" four", reasoning=""))
    gw.fault(then=then, after_chunks=8, seconds=5.0)
    message = ask(_model(gw, stream_chunk_timeout=0.2), "Count")
    assert message.content == REPLY.content
    assert message.response_metadata["resumed"][0]["error"] == "CFDeepSeekTimeoutError"


@pytest.mark.parametrize("finish", ["insufficient_system_resource", "aborted"])
def test_a_stream_whose_finish_is_a_failure_goes_on(
    gw: LocalGateway, ask: Ask, finish: str
) -> None:
    events = streamed({"content": "one"}, {"content": " two"}, finish_reason=finish)
    gw.fault(**events)
    gw.fault(**streamed({"content": " three"}))
    message = ask(_model(gw), "Count")
    assert message.content == "one two three"
    assert message.response_metadata["finish_reason"] == "stop"
    assert message.usage_metadata == {"input_tokens": 14, "output_tokens": 10, "total_tokens": 24}
    (resumed,) = message.response_metadata["resumed"]
    assert resumed["usage"]["completion_tokens"] == 5


def test_a_stream_that_broke_twice_says_where_and_why_and_adds_up_what_was_reported(
    gw: LocalGateway, ask: Ask
) -> None:
    bodies = (
        event_stream(delta(reasoning_content="Go."), delta(content="one"), done=False),
        event_stream(delta(content=" two"), {"error": {"message": "busy"}}),
        streamed({"content": " three"}),
    )
    log_ids = ["log-1", "log-2", "log-3"]
    for log_id, body in zip(log_ids, bodies, strict=True):
        gw.fault(**body, headers={"cf-aig-log-id": log_id})
    message = ask(_model(gw, resume=2), "Count")
    assert message.content == "one two three"
    assert message.additional_kwargs == {"reasoning_content": "Go."}
    assert message.usage_metadata == {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
    assert message.response_metadata["cloudflare_gateway"]["log_id"] == log_ids[0]
    assert message.response_metadata["resumed"] == [
        {
            "error": "CFDeepSeekIncompleteStreamError",
            "message": "the response ended before its finish reason",
            "reasoning_characters": 3,
            "text_characters": 3,
            "usage": None,
            "log_id": log_ids[0],
            "next_log_id": log_ids[1],
        },
        {
            "error": "CFDeepSeekAPIError",
            "message": "busy",
            "reasoning_characters": 3,
            "text_characters": 7,
            "usage": None,
            "log_id": log_ids[1],
            "next_log_id": log_ids[2],
        },
    ]


def test_a_stream_that_breaks_too_often_is_the_last_error_with_the_whole_text(
    gw: LocalGateway, ask: Ask
) -> None:
    gw.fault(**event_stream(delta(content="one"), done=False))
    gw.fault(**event_stream(delta(content=" two"), {"error": {"message": "busy"}}))
    error = _error_of(ask, _model(gw))
    assert type(error) is errors.CFDeepSeekAPIError
    assert "busy" in str(error)
    assert error.partial == "one two"
    assert error.raw_message is not None
    assert len(error.raw_message.response_metadata["resumed"]) == 1
    assert len(gw.requests) == 2


def test_a_stream_is_not_resumed_by_default(gw: LocalGateway, ask: Ask) -> None:
    gw.fault(then="cut", after_chunks=7)
    error = _error_of(ask, gw.chat_model(streaming=True))
    assert type(error) is errors.CFDeepSeekIncompleteStreamError
    assert not hasattr(error, "__notes__")
    assert len(gw.requests) == 1


HISTORY = [
    HumanMessage("Look"),
    AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "a"}]),
    ToolMessage("A tree.", tool_call_id="a"),
]


@pytest.mark.parametrize(
    ("settings", "options", "asked", "reason"),
    [
        ({}, {"tools": [TOOL]}, "Count", "prefix completion excludes `tools`"),
        (
            {},
            {"tools": [{**TOOL, "function": {**TOOL["function"], "strict": True}}]},
            "Count",
            "prefix completion excludes `tools`",
        ),
        (
            {},
            {"response_format": {"type": "json_object"}},
            "Count",
            "prefix completion excludes JSON mode",
        ),
        ({}, {}, HISTORY, "prefix completion excludes tool calls in the conversation"),
        (
            {"routing": "unified"},
            {},
            "Count",
            "routing 'unified' has no beta path for prefix completion",
        ),
        (
            {"routing": "compat"},
            {},
            "Count",
            "routing 'compat' has no beta path for prefix completion",
        ),
    ],
)
def test_a_stream_that_prefix_completion_excludes_is_the_error_that_says_why(
    gw: LocalGateway, ask: Ask, settings: Any, options: Any, asked: Any, reason: str
) -> None:
    gw.fault(**event_stream(delta(content='{"a": '), done=False))
    error = _error_of(ask, _model(gw, **settings), asked, **options)
    assert type(error) is errors.CFDeepSeekIncompleteStreamError
    assert error.partial == '{"a": '
    assert error.__notes__ == [f"`resume` could not continue the response: {reason}."]
    assert len(gw.requests) == 1


@pytest.mark.parametrize(
    "extra",
    [
        {"content": [{"type": "search_result", "index": 0, "url": "https://a.example"}]},
        {"content": "one", "citations": [{"url": "https://a.example"}]},
    ],
)
def test_a_stream_with_blocks_of_server_tools_is_not_continued(
    gw: LocalGateway, ask: Ask, extra: dict[str, Any]
) -> None:
    gw.fault(**event_stream(delta(**extra), done=False))
    error = _error_of(ask, _model(gw))
    reason = "it holds more than text and reasoning"
    assert error.__notes__ == [f"`resume` could not continue the response: {reason}."]
    assert len(gw.requests) == 1


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (delta("content_filter", content=""), errors.CFDeepSeekContentBlockedError),
        (
            {"error": {"message": "Insufficient Balance", "code": "insufficient_balance"}},
            errors.CFDeepSeekError,
        ),
        (
            {"choices": [{"delta": {"content": " two"}, "logprobs": {"content": "malformed"}}]},
            errors.CFDeepSeekAPIError,
        ),
    ],
)
def test_a_refusal_and_what_no_retry_helps_are_not_resumed(
    gw: LocalGateway, ask: Ask, last: dict[str, Any], kind: type[errors.CFDeepSeekError]
) -> None:
    gw.fault(**event_stream(delta(content="one"), last))
    error = _error_of(ask, _model(gw))
    assert isinstance(error, kind)
    assert error.partial.startswith("one")
    assert len(gw.requests) == 1


def test_a_refusal_whose_connection_is_reset_afterwards_is_not_resumed(
    gw: LocalGateway, ask: Ask
) -> None:
    _script(gw, REPLY)
    gw.fault(finish_reason="content_filter", then="reset", after_chunks=10)
    error = _error_of(ask, _model(gw))
    assert type(error) is errors.CFDeepSeekContentBlockedError
    assert len(gw.requests) == 1


def test_a_stream_cut_after_its_finish_is_complete(gw: LocalGateway, ask: Ask) -> None:
    _script(gw, REPLY)
    gw.fault(then="reset", after_chunks=10)
    message = ask(_model(gw), "Count")
    assert message.content == REPLY.content
    assert "resumed" not in message.response_metadata
    assert len(gw.requests) == 1


def test_tools_that_the_model_must_not_call_do_not_prevent_the_continuation(
    gw: LocalGateway, ask: Ask
) -> None:
    """DeepSeek leaves them out of the prompt, which stays the same without them."""
    _script(gw, REPLY, Reply(content=" four", reasoning=""))
    gw.fault(then="cut", after_chunks=8)
    message = ask(_model(gw), "Count", tools=[TOOL], tool_choice="none")
    assert message.content == REPLY.content
    assert gw.requests[1].body.keys() == gw.requests[0].body.keys() - {"tools", "tool_choice"}


def test_a_continuation_of_the_callers_own_prefix_extends_it(gw: LocalGateway, ask: Ask) -> None:
    prefix = AIMessage("zero", additional_kwargs={"prefix": True, "reasoning_content": "Go."})
    gw.fault(**event_stream(delta(content=" one"), done=False))
    gw.fault(**streamed({"content": " two"}))
    assert ask(_model(gw), [HumanMessage("Count"), prefix]).content == " one two"
    assert gw.requests[1].body["messages"][1:] == [
        {
            "role": "assistant",
            "content": "zero one",
            "reasoning_content": "Go.",
            "prefix": True,
        }
    ]


@pytest.mark.parametrize("code", [400, 404])
def test_a_rejected_continuation_is_the_error_of_the_stream(
    gw: LocalGateway, ask: Ask, code: int
) -> None:
    _script(gw, REPLY)
    gw.fault(then="cut", after_chunks=8)
    gw.fault(status=code, body={"error": {"message": "no such path"}})
    error = _error_of(ask, _model(gw, resume=3))
    assert type(error) is errors.CFDeepSeekIncompleteStreamError
    assert error.is_retryable
    assert error.partial == "one two three"
    assert "no such path" in str(error.__cause__)
    assert len(gw.requests) == 2


def test_a_continuation_that_cannot_be_paid_is_its_own_error_with_the_text(
    gw: LocalGateway, ask: Ask
) -> None:
    _script(gw, REPLY)
    gw.fault(then="cut", after_chunks=8)
    gw.fail_next("deepseek-balance")
    error = _error_of(ask, _model(gw, resume=3))
    assert type(error) is errors.CFDeepSeekInsufficientFundsError
    assert error.partial == "one two three"


def test_a_continuation_that_fails_to_open_is_sent_again(gw: LocalGateway, ask: Ask) -> None:
    _script(gw, REPLY, Reply(content=" four", reasoning=""))
    gw.fault(then="cut", after_chunks=8)
    gw.fail_next("deepseek-busy")
    message = ask(_model(gw, resume=2), "Count")
    assert message.content == REPLY.content
    first, second = message.response_metadata["resumed"]
    assert second["text_characters"] == first["text_characters"] == len("one two three")


def test_tokens_of_a_broken_part_count_once_when_its_continuation_fails_to_open(
    gw: LocalGateway, ask: Ask
) -> None:
    gw.fault(**streamed({"content": "one"}, finish_reason="aborted"))
    gw.fail_next("deepseek-busy")
    gw.fault(**streamed({"content": " two"}))
    message = ask(_model(gw, resume=2), "Count")
    assert message.usage_metadata == {"input_tokens": 14, "output_tokens": 10, "total_tokens": 24}
    usages = [resumed["usage"] for resumed in message.response_metadata["resumed"]]
    assert usages == [USAGE, None]


def test_a_continuation_is_sent_after_a_delay(
    gw: LocalGateway, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "_INITIAL_DELAY", 0.4)
    gw.fault(**event_stream(delta(content="one"), done=False))
    gw.fault(**streamed({"content": " two"}))
    start = time.monotonic()
    assert ask(_model(gw), "Count").content == "one two"
    assert time.monotonic() - start >= 0.3


def test_a_request_that_fails_to_open_is_not_resumed(gw: LocalGateway, ask: Ask) -> None:
    gw.fail_next("deepseek-busy")
    error = _error_of(ask, _model(gw))
    assert type(error) is errors.CFDeepSeekAPIError
    assert len(gw.requests) == 1


def test_a_service_that_asks_for_a_longer_delay_than_a_retry_waits_is_not_asked_again(
    gw: LocalGateway, ask: Ask
) -> None:
    _script(gw, REPLY)
    gw.fault(then="error_event", after_chunks=8, headers={"retry-after": "500"})
    assert _error_of(ask, _model(gw)).retry_after == 500
    assert len(gw.requests) == 1


def test_max_tokens_of_the_continuation_are_those_that_are_left(gw: LocalGateway, ask: Ask) -> None:
    gw.fault(**event_stream(delta(reasoning_content="a b c"), delta(content="d e"), done=False))
    gw.fault(**event_stream(delta(content=" f"), done=False))
    gw.fault(**streamed({"content": "g"}, finish_reason="length"))
    llm = _model(gw, resume=2, max_tokens=7)
    left = [7 - llm.get_num_tokens("a b c") - llm.get_num_tokens(text) for text in ("d e", "d e f")]
    assert ask(llm, "Count").response_metadata["finish_reason"] == "length"
    assert [request.body["max_tokens"] for request in gw.requests] == [7, *left]
    gw.reset()
    # In a thread of its own on an event loop: loading the tokenizer takes a moment.
    threads = []
    gw.fault(**event_stream(delta(content="d e f g h i j"), done=False))
    gw.fault(**streamed({"content": "."}, finish_reason="length"))

    def token_ids(text: str) -> list[int]:
        threads.append(threading.current_thread())
        return list(map(ord, text))

    ask(_model(gw, max_tokens=3, custom_get_token_ids=token_ids), "Count")
    assert [request.body["max_tokens"] for request in gw.requests] == [3, 1]
    is_async = ask in (PATHS["ainvoke"], PATHS["astream"])
    assert [thread is not threading.main_thread() for thread in threads] == [is_async]


def test_a_continuation_skips_the_cache_and_keeps_the_other_gateway_options(
    gw: LocalGateway, ask: Ask
) -> None:
    _script(gw, REPLY, Reply(content=" four", reasoning=""), Reply(content="Anew."))
    gw.fault(then="cut", after_chunks=8)
    options = {"cache_ttl": 60, "cache_key": "mine", "metadata": {"team": "search"}}
    llm = _model(gw, gateway=options)
    assert ask(llm, "Count").content == REPLY.content
    first, second = ({**request.headers} for request in gw.requests)
    assert first.pop("cf-aig-cache-ttl") == "60"
    assert first.pop("cf-aig-cache-key") == "mine"
    assert second.pop("cf-aig-skip-cache") == "true"
    assert {name: value for name, value in first.items() if name.startswith("cf-")} == {
        name: value for name, value in second.items() if name.startswith("cf-")
    }
    # Neither the broken response nor the continuation is served under the caller's key.
    assert ask(llm, "Count").content == "Anew."


def test_a_character_of_which_one_half_arrived_is_written_by_the_continuation(
    gw: LocalGateway, ask: Ask
) -> None:
    events = event_stream(
        delta(reasoning_content="\ud83c"), delta(content="A wave: \ud83c"), done=False
    )
    gw.fault(**events)
    gw.fault(**streamed({"content": "\U0001f30a."}))
    message = ask(_model(gw), "Count")
    assert message.content == "A wave: \U0001f30a."
    assert gw.requests[1].body["messages"][-1] == {
        "role": "assistant",
        "content": "A wave: ",
        "prefix": True,
    }


@pytest.mark.parametrize(
    ("settings", "options"),
    [({"output_version": "v1"}, {}), ({}, {"logprobs": True, "top_logprobs": 1})],
)
def test_blocks_and_log_probabilities_are_continued_like_text(
    gw: LocalGateway, ask: Ask, settings: dict[str, Any], options: dict[str, Any]
) -> None:
    _script(gw, REPLY)
    unbroken = ask(_model(gw, **settings), "Count", **options)
    for count, rest in ((3, Reply(REPLY.content, " four.")), (8, Reply(" four", ""))):
        _script(gw, REPLY, rest)
        gw.fault(then="cut", after_chunks=count)
        assert _essence(ask(_model(gw, **settings), "Count", **options)) == _essence(unbroken)


def test_resume_is_also_an_option_of_a_call(gw: LocalGateway, ask: Ask) -> None:
    _script(gw, REPLY, Reply(content=" four", reasoning=""))
    gw.fault(then="cut", after_chunks=8)
    assert ask(_model(gw, resume=0), "Count", resume=1).content == REPLY.content
    gw.fault(then="cut", after_chunks=8)
    assert not hasattr(_error_of(ask, _model(gw), resume=0), "__notes__")
    assert len(gw.requests) == 3


@pytest.mark.parametrize("value", [-1, True, 1.5, "2"])
def test_resume_that_is_not_a_count_is_rejected(gw: LocalGateway, ask: Ask, value: Any) -> None:
    with pytest.raises(ValidationError, match="resume"):
        gw.chat_model(resume=value)
    error = _error_of(ask, gw.chat_model(), resume=value)
    assert type(error) is errors.CFDeepSeekInvalidRequestError
    assert f"`resume` must be a whole number of at least 0, not {value!r}." in str(error)
    assert gw.requests == []


def _chunk_texts(chunks: list[AIMessageChunk]) -> list[str]:
    return [chunk.text for chunk in chunks if chunk.text]


def test_chunks_of_a_resumed_stream_have_one_id_and_the_models_name_first_and_last(
    gw: LocalGateway,
) -> None:
    _script(gw, REPLY, Reply(content=" four", reasoning=""))
    gw.fault(then="cut", after_chunks=8)
    chunks = list(_model(gw).stream("Count"))
    assert _chunk_texts(chunks) == ["one", " two", " three", " four"]
    assert len({chunk.id for chunk in chunks}) == 1
    named = [place for place, chunk in enumerate(chunks) if "model_name" in chunk.response_metadata]
    closing = next(chunk for chunk in chunks if "resumed" in chunk.response_metadata)
    assert named == [0, chunks.index(closing)]
    assert [chunk for chunk in chunks if chunk.usage_metadata] == [closing]


def test_event_streams_and_agents_are_continued(gw: LocalGateway) -> None:
    async def events() -> list[str]:
        return [
            event["data"]["chunk"].text
            async for event in _model(gw).astream_events("Count", version="v2")
            if event["event"] == "on_chat_model_stream"
        ]

    _script(gw, REPLY, Reply(content=" four", reasoning=""))
    gw.fault(then="cut", after_chunks=8)
    assert "".join(asyncio.run(events())) == REPLY.content

    _script(gw, REPLY, Reply(content=" four", reasoning=""))
    gw.fault(then="cut", after_chunks=8)
    agent = create_agent(gw.chat_model(resume=1), [])
    texts: list[str] = []
    state: dict[str, Any] = {}
    question: Any = {"messages": [HumanMessage("Count")]}
    for mode, payload in agent.stream(question, stream_mode=["messages", "values"]):
        if mode == "messages":
            texts.append(cast("Any", payload)[0].text)
        else:
            state = cast("Any", payload)
    assert "".join(texts) == REPLY.content
    assert state["messages"][-1].text == REPLY.content
    assert state["messages"][-1].response_metadata["resumed"][0]["text_characters"] == 13


def test_a_stream_that_the_caller_closes_is_not_resumed(gw: LocalGateway) -> None:
    async def close_early() -> None:
        chunks = _model(gw).astream("Count")
        async for chunk in chunks:
            if chunk.text:
                break
        await chunks.aclose()  # type: ignore[attr-defined]

    _script(gw, REPLY, REPLY)
    gw.fault(then="cut", after_chunks=8, times=None)
    chunks = _model(gw).stream("Count")
    next(chunk for chunk in chunks if chunk.text)
    chunks.close()  # type: ignore[attr-defined]
    asyncio.run(close_early())
    assert len(gw.requests) == 2


def test_a_stream_that_is_cancelled_is_not_resumed(
    gw: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the response, and in the delay before the continuation."""

    async def cancel(after: float) -> None:
        async def consume() -> None:
            async for _ in _model(gw).astream("Count"):
                pass

        task = asyncio.ensure_future(consume())
        await asyncio.sleep(after)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    gw.fault(then="stall", after_chunks=8, seconds=5.0)
    asyncio.run(cancel(0.3))
    assert len(gw.requests) == 1
    monkeypatch.setattr(retries, "_INITIAL_DELAY", 5.0)
    gw.fault(then="cut", after_chunks=8)
    asyncio.run(cancel(0.3))
    assert len(gw.requests) == 2
