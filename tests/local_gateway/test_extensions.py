"""The fields of November 2026: title, safety check, latest reminder; and continued prefixes."""

import json
import time
from typing import Any

import httpx
import pytest

from langchain_cf_deepseek.local import Fault
from tests.local_gateway.conftest import QUESTION, Caller, content_of
from tests.local_gateway.test_deepseek import OFF, TOOL, error_of, message_of
from tests.local_gateway.test_server_tools import SEARCH

HIGH = {"level": "high"}
TITLE = {"enabled": True}


def reminder(content: str) -> list[dict[str, Any]]:
    return [QUESTION, {"role": "latest_reminder", "content": content}, QUESTION]


def test_a_title_is_in_the_message_and_in_the_closing_chunk(ask: Caller) -> None:
    for _ in range(2):
        ask.gateway.reply(content="Hi", title="A greeting")
    assert message_of(ask.post(title=TITLE, thinking=OFF)) == {
        "role": "assistant",
        "content": "Hi",
        "title": "A greeting",
    }
    closing = ask.stream(title=TITLE, thinking=OFF)
    titles = [chunk["choices"][0]["delta"].get("title") for chunk in closing]
    assert titles == [None] * (len(titles) - 1) + ["A greeting"]
    assert closing[-1]["choices"][0]["finish_reason"] == "stop"
    assert closing[-1]["usage"]


@pytest.mark.parametrize(
    ("title", "made"), [(TITLE, "Why is the sky blue?"), ({"enabled": False}, None)]
)
def test_a_title_is_made_of_the_question_if_one_is_requested(
    ask: Caller, title: dict[str, bool], made: str | None
) -> None:
    assert message_of(ask.post(title=title)).get("title") == made


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"title": True}, "Invalid 'title': expected an object with a boolean 'enabled'"),
        ({"title": {"enabled": 1}}, "Invalid 'title': expected an object with a boolean 'enabled'"),
        ({"safety_check": "high"}, "Invalid 'safety_check.level': expected 'low' or 'high'"),
        (
            {"safety_check": {"level": "max"}},
            "Invalid 'safety_check.level': expected 'low' or 'high'",
        ),
        (
            {"safety_check": HIGH, "tools": [TOOL], "tool_choice": "required", "thinking": OFF},
            "Only tool_choice 'auto' and 'none' are supported with safety_check level 'high'",
        ),
        (
            {"messages": reminder("2026-02-30,Monday,Singapore,Web,English")},
            "Invalid 'messages.1.content': invalid date",
        ),
        (
            {"messages": reminder("20261109,Monday,,Web,English")},
            "Invalid 'messages.1.content': invalid date",
        ),
        ({"messages": reminder("")}, "Invalid 'messages.1.content': invalid date"),
        (
            {"messages": reminder("2026-11-09,Monday,Web,English")},
            "Invalid 'messages.1.content': invalid format",
        ),
        (
            {"messages": reminder("2026-11-09,Monday,Singapore,Desktop,English")},
            "Invalid 'messages.1.content': invalid platform",
        ),
    ],
)
def test_a_malformed_field_is_refused(ask: Caller, fields: dict[str, Any], message: str) -> None:
    assert error_of(ask.post(**fields)) == message


@pytest.mark.parametrize(
    "fields",
    [
        {
            "safety_check": {"level": "low"},
            "tools": [TOOL],
            "tool_choice": "required",
            "thinking": OFF,
        },
        {"safety_check": HIGH, "tools": [TOOL], "tool_choice": "auto"},
        {"safety_check": HIGH, "tools": [TOOL], "tool_choice": "none"},
        {
            "safety_check": HIGH,
            "tools": [SEARCH, TOOL],
            "tool_choice": "required",
            "thinking": OFF,
        },
        {"messages": reminder("2026-11-09,Monday,Singapore,Web,English")},
        {"messages": reminder("2026-11-09,星期一,,App,中文")},
        {"messages": reminder("2026-11-09,Monday,Portland, Oregon, USA,Web,English")},
    ],
)
def test_a_valid_field_is_accepted(ask: Caller, fields: dict[str, Any]) -> None:
    assert ask.post(**fields).status_code == 200


@pytest.mark.parametrize("by", ["reply", "fault"])
def test_a_refusal_comes_in_the_closing_chunk_after_the_whole_text(ask: Caller, by: str) -> None:
    for _ in range(2):
        if by == "reply":
            ask.gateway.reply(content="Part by part.", finish_reason="content_filter")
        else:
            ask.gateway.reply(content="Part by part.")
            ask.gateway.fault(Fault(finish_reason="content_filter"))
    choice = ask.post(safety_check=HIGH, thinking=OFF).json()["choices"][0]
    message = {"role": "assistant", "content": "Part by part."}
    assert (choice["message"], choice["finish_reason"]) == (message, "content_filter")
    streamed = ask.stream(safety_check=HIGH, thinking=OFF)
    assert content_of(streamed) == "Part by part."
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in streamed]
    assert reasons == [None] * (len(reasons) - 1) + ["content_filter"]
    assert streamed[-1]["usage"]["completion_tokens"]


@pytest.mark.parametrize(("level", "is_reviewed"), [("high", True), ("low", False)])
def test_a_review_keeps_the_stream_open_after_the_last_token(
    ask: Caller, level: str, is_reviewed: bool
) -> None:
    ask.gateway.reply(content="Hi", review_seconds=0.3)
    body = {
        "model": "deepseek-flash",
        "messages": [QUESTION],
        "stream": True,
        "safety_check": {"level": level},
    }
    times: dict[str, float] = {}
    url = f"{ask.gateway.base_url()}/chat/completions"
    headers = ask.headers("provider-native")
    with ask.http.stream("POST", url, json=body, headers=headers) as response:
        for line in response.iter_lines():
            for mark in ('"content":"Hi"', '"finish_reason":"stop"'):
                if mark in line:
                    times[mark] = time.monotonic()
    text, end = times.values()
    assert (end - text >= 0.25) == is_reviewed


KEYS = ("reasoning_content", "content")
REPLY = {"reasoning": "Let me think.", "content": "Rayleigh scattering, mostly."}


def continued(ask: Caller, **prefix: str) -> httpx.Response:
    turn = {"role": "assistant", "prefix": True, **prefix}
    return ask.post(messages=[QUESTION, turn], path="beta/chat/completions")


@pytest.mark.parametrize(
    ("prefix", "rest"),
    [
        ({"content": "", "reasoning_content": ""}, REPLY),
        (
            {"content": "", "reasoning_content": "Let me"},
            {"reasoning": " think.", "content": REPLY["content"]},
        ),
        (
            {"content": "", "reasoning_content": REPLY["reasoning"]},
            {"content": REPLY["content"]},
        ),
        (
            {"content": "Rayleigh", "reasoning_content": REPLY["reasoning"]},
            {"content": " scattering, mostly."},
        ),
        ({"content": REPLY["content"], "reasoning_content": REPLY["reasoning"]}, {"content": ""}),
    ],
)
def test_a_prefix_is_continued_with_the_rest_of_the_reply_that_the_conversation_had(
    ask: Caller, prefix: dict[str, str], rest: dict[str, str]
) -> None:
    ask.gateway.reply(**REPLY)
    ask.gateway.reply(content="For the next question.")
    ask.post()
    message = message_of(continued(ask, **prefix))
    got = {"reasoning": message.get("reasoning_content"), "content": message["content"]}
    assert {key: text for key, text in got.items() if text} == {
        key: text for key, text in rest.items() if text
    }
    later = ask.post(messages=[{"role": "user", "content": "And at night?"}], thinking=OFF)
    assert message_of(later)["content"] == "For the next question."


def test_a_stream_that_is_cut_at_any_event_is_continued_to_the_same_text(ask: Caller) -> None:
    ask.gateway.reply(**REPLY)
    whole = received(ask.post(stream=True).text)
    assert whole == ("Let me think.", "Rayleigh scattering, mostly.")
    for events in range(12):
        ask.gateway.reset()
        ask.gateway.reply(**REPLY)
        ask.gateway.fault(then="cut", after_chunks=events)
        reasoning, content = received(ask.post(stream=True).text)
        turn = {"role": "assistant", "prefix": True}
        prefix = {"content": content, "reasoning_content": reasoning}
        rest = ask.post(
            messages=[QUESTION, {**turn, **prefix}], path="beta/chat/completions", stream=True
        )
        more_reasoning, more_content = received(rest.text)
        assert (reasoning + more_reasoning, content + more_content) == whole


def received(text: str) -> tuple[str, str]:
    """Return reasoning and text of a stream, complete or not."""
    events = [event.removeprefix("data: ") for event in text.split("\n\n")]
    chunks = [json.loads(event) for event in events if event.startswith("{")]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    reasoning, content = ("".join(delta.get(key) or "" for delta in deltas) for key in KEYS)
    return reasoning, content


def test_a_reply_of_the_simulated_model_is_continued(ask: Caller) -> None:
    whole = message_of(ask.post())
    prefix = {"reasoning_content": whole["reasoning_content"], "content": whole["content"][:20]}
    assert message_of(continued(ask, **prefix))["content"] == whole["content"][20:]


def test_a_scripted_reply_that_is_exactly_the_rest_is_used_for_it(ask: Caller) -> None:
    ask.gateway.reply(**REPLY)
    ask.gateway.reply(content=" scattering, mostly.")
    ask.gateway.reply(content="Next.")
    ask.post()
    assert message_of(continued(ask, content="Rayleigh"))["content"] == " scattering, mostly."
    assert message_of(ask.post(thinking=OFF))["content"] == "Next."


def test_a_continuation_can_be_scripted_and_continued_in_turn(ask: Caller) -> None:
    ask.gateway.reply(**REPLY)
    ask.gateway.reply(content=" light is scattered.", continuation=True)
    ask.post()
    texts = ["Rayleigh", "Rayleigh light"]
    rests = [message_of(continued(ask, content=text))["content"] for text in texts]
    assert rests == [" light is scattered.", " is scattered."]
