"""DLP: raw text is searched both ways, findings are in a header, streams are buffered."""

import json
import time
from typing import Any, Literal

import pytest

from langchain_cf_deepseek.local import Assumptions, DlpProfile, Policy, Routing, ToolCall
from tests.local_gateway.conftest import (
    AT_LOCAL,
    QUESTION,
    Caller,
    StartGateway,
    chunks,
    content_of,
    text_of,
)
from tests.local_gateway.test_admission import ROUTINGS, gateway_error, rest_error

REQUEST = "Request content blocked due to DLP policy violations"
RESPONSE = "Response content blocked due to DLP policy violations"
CARD = "4111 1111 1111 1111"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def finding(check: str) -> dict[str, Any]:
    return {
        "profile": {
            "context": {},
            "entry_ids": ["local-entry"],
            "profile_id": "local-profile",
        },
        "policy_ids": ["local-policy"],
        "check": check,
    }


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 424])
@pytest.mark.parametrize("routing", ROUTINGS)
def test_a_request_is_blocked_before_it_is_sent(
    start_gateway: StartGateway, routing: Routing, status: Literal[400, 424], stream: bool
) -> None:
    ask = start_gateway(dlp=[DlpProfile([CARD])], assumptions=Assumptions(dlp_status=status))
    message = {**QUESTION, "content": f"My card is {CARD}."}
    refused = ask.post(routing=routing, messages=[message], headers=AT_LOCAL, stream=stream)
    body = (
        rest_error((2029, REQUEST))
        if routing == "unified"
        else gateway_error(2029, status, REQUEST)
    )
    assert (refused.status_code, refused.json()) == (status, body)
    assert json.loads(refused.headers["cf-aig-dlp"]) == {
        "findings": [finding("REQUEST")],
        "action": "BLOCK",
    }
    assert ask.gateway.upstream_calls == 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("routing", ROUTINGS)
def test_a_response_is_blocked_even_when_its_words_are_split_between_chunks(
    start_gateway: StartGateway, routing: Routing, stream: bool
) -> None:
    ask = start_gateway(dlp=[DlpProfile([CARD], check="response")])
    ask.gateway.reply(content=f"Your card is {CARD}.")
    refused = ask.post(routing=routing, headers=AT_LOCAL, stream=stream)
    body = (
        rest_error((2030, RESPONSE)) if routing == "unified" else gateway_error(2030, 400, RESPONSE)
    )
    assert (refused.status_code, refused.json()) == (400, body)
    assert refused.headers["content-type"] == "application/json"
    assert json.loads(refused.headers["cf-aig-dlp"]) == {
        "findings": [finding("RESPONSE")],
        "action": "BLOCK",
    }


@pytest.mark.parametrize("stream", [False, True])
def test_the_arguments_of_a_tool_call_are_searched(
    start_gateway: StartGateway, stream: bool
) -> None:
    ask = start_gateway(dlp=[DlpProfile(["Paris, TX"], check="response")])
    ask.gateway.reply(tool_calls=[ToolCall("weather", {"city": "Paris, TX"})])
    assert ask.post(tools=[WEATHER], stream=stream).status_code == 400


@pytest.mark.parametrize("stream", [False, True])
def test_a_flag_is_reported_and_the_response_is_sent(
    start_gateway: StartGateway, stream: bool
) -> None:
    mine = DlpProfile(
        ["sky"],
        action="flag",
        profile_id="mine",
        entry_ids=["1", "2"],
        policy_ids=[],
    )
    ask = start_gateway(dlp=[mine, DlpProfile(["unheard of"])])
    ask.gateway.reply(content="The sky is blue.")
    answer = ask.post(stream=stream)
    text = content_of(chunks(answer.text)) if stream else text_of(answer)
    assert text == "The sky is blue."
    profile = {"context": {}, "entry_ids": ["1", "2"], "profile_id": "mine"}
    assert json.loads(answer.headers["cf-aig-dlp"]) == {
        "findings": [
            {"profile": profile, "policy_ids": [], "check": "REQUEST"},
            {"profile": profile, "policy_ids": [], "check": "RESPONSE"},
        ],
        "action": "FLAG",
    }


@pytest.mark.parametrize("check", ["request", "response", "both"])
def test_without_findings_there_is_no_header(start_gateway: StartGateway, check: Any) -> None:
    answer = start_gateway(dlp=[DlpProfile(["unheard of"], check=check)]).post()
    assert text_of(answer)
    assert "cf-aig-dlp" not in answer.headers


def first_and_last_byte(ask: Caller) -> tuple[float, float]:
    """Seconds until the first and the last byte of a stream that stalls for one second."""
    ask.gateway.fault(then="stall", after_chunks=2, seconds=1)
    began = time.monotonic()
    with ask.http.stream(
        "POST",
        f"{ask.gateway.base_url()}/chat/completions",
        headers=ask.headers("provider-native"),
        json={"model": "deepseek-flash", "messages": [QUESTION], "stream": True},
    ) as response:
        pieces = response.iter_raw()
        received = next(pieces)
        first = time.monotonic() - began
        received += b"".join(pieces)
    assert response.headers["content-type"] == "text/event-stream"
    assert chunks(received.decode())
    return first, time.monotonic() - began


@pytest.mark.parametrize("check", ["response", "both"])
def test_a_stream_is_buffered_until_it_is_complete(start_gateway: StartGateway, check: Any) -> None:
    first, _ = first_and_last_byte(start_gateway(dlp=[DlpProfile(["unheard of"], check=check)]))
    assert first >= 1


def test_a_check_of_requests_buffers_nothing(start_gateway: StartGateway) -> None:
    first, last = first_and_last_byte(
        start_gateway(dlp=[DlpProfile(["unheard of"], check="request")])
    )
    assert last - first > 0.3


def test_a_stream_of_other_events_is_searched_unchanged(start_gateway: StartGateway) -> None:
    ask = start_gateway(dlp=[DlpProfile([CARD])])
    for text in ("[1]", f'["{CARD}"]'):
        ask.gateway.fault(body=f"data: {text}\n\n", content_type="text/event-stream", split=4)
    assert [ask.post(stream=True).status_code for _ in range(2)] == [200, 400]


def test_a_blocked_response_is_not_cached_and_a_flagged_one_is(start_gateway: StartGateway) -> None:
    ask = start_gateway(dlp=[DlpProfile(["bad"], "response"), DlpProfile(["odd"], action="flag")])
    kept = {"cf-aig-cache-ttl": "3600"}
    for word in ("bad", "odd", "never said"):
        ask.gateway.reply(content=word)
    assert ask.post(headers=kept).status_code == 400
    assert [text_of(ask.post(headers=kept)) for _ in range(2)] == ["odd", "odd"]


def test_a_policy_is_checked_before_dlp(start_gateway: StartGateway) -> None:
    ask = start_gateway(dlp=[DlpProfile(["sky"])], policies=[Policy(action="block")])
    assert ask.post().status_code == 403
