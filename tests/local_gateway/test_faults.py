"""Every fault, in streams and in responses in one piece, as a plain HTTP client receives it."""

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from langchain_cf_deepseek.local import (
    Fault,
    LocalGateway,
    compat_error,
    deepseek_error,
    edge_error,
    gateway_error,
    policy_error,
    rest_error,
    workers_ai_error,
)
from tests.local_gateway.conftest import Caller, chunks, content_of

SCRIPTED = {"content": "one two three four five", "reasoning": "hm"}


def events(ask: Caller) -> list[str]:
    return ask.post(stream=True).text.split("\n\n")[:-1]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "status", "content_type", "body"),
    [
        (Fault(status=503), 503, None, b""),
        (Fault(status=500, body="oops"), 500, "text/plain; charset=utf-8", b"oops"),
        (Fault(body={"a": "ü"}), 200, "application/json", '{"a":"ü"}'.encode()),
        (Fault(body=b"\xff"), 200, "application/octet-stream", b"\xff"),
        (Fault(body=b""), 200, "application/octet-stream", b""),
        (
            Fault(body="<html>", content_type="text/html"),
            200,
            "text/html",
            b"<html>",
        ),
    ],
)
def test_a_fault_can_replace_the_response(
    ask: Caller, stream: bool, fault: Fault, status: int, content_type: str | None, body: bytes
) -> None:
    ask.gateway.fault(fault)
    response = ask.post(stream=stream)
    assert (response.status_code, response.headers.get("content-type"), response.content) == (
        status,
        content_type,
        body,
    )


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        (
            gateway_error(2005, 400, "Failed to get response from provider"),
            400,
            {
                "success": False,
                "result": [],
                "messages": [],
                "error": [{"code": 2005, "message": "Failed to get response from provider"}],
                "name": "AiGatewayError",
                "httpCode": 400,
                "internalCode": 2005,
                "message": "Failed to get response from provider",
                "description": "Failed to get response from provider",
            },
        ),
        (
            gateway_error(2003, 429, "Rate limited", old=True),
            429,
            {
                "success": False,
                "result": [],
                "messages": [],
                "error": [{"code": 2003, "message": "Rate limited"}],
            },
        ),
        (
            rest_error(10000, 401, "Authentication error"),
            401,
            {
                "result": None,
                "success": False,
                "errors": [{"code": 10000, "message": "Authentication error"}],
                "messages": [],
            },
        ),
        (
            compat_error(402, "Insufficient balance"),
            402,
            {
                "error": {
                    "message": "Insufficient balance",
                    "type": "gateway_error",
                    "code": None,
                }
            },
        ),
        (
            policy_error(429, "Spending limit exceeded", bucket="b", spent=1000.42, limit=1000),
            429,
            {
                "success": False,
                "error": {
                    "message": "Spending limit exceeded",
                    "bucket": "b",
                    "spent": 1000.42,
                    "limit": 1000,
                },
            },
        ),
        (
            workers_ai_error(5007, 400, "No such model"),
            400,
            {
                "name": "AiError",
                "internalCode": 5007,
                "httpCode": 400,
                "message": "AiError: No such model",
                "description": "No such model",
                "requestId": "00000000-0000-4000-8000-000000000000",
            },
        ),
        (
            deepseek_error(402, "Insufficient Balance", "unknown_error"),
            402,
            {
                "error": {
                    "message": "Insufficient Balance",
                    "type": "unknown_error",
                    "param": None,
                    "code": "invalid_request_error",
                }
            },
        ),
    ],
)
def test_every_error_body_of_cloudflare_and_deepseek_can_be_requested(
    ask: Caller, fault: Fault, status: int, body: dict[str, Any]
) -> None:
    ask.gateway.fault(fault)
    response = ask.post()
    assert (response.status_code, response.json()) == (status, body)
    assert "cf-aig-log-id" in response.headers


def test_an_error_of_the_edge_has_no_headers_of_the_gateway(ask: Caller) -> None:
    ask.gateway.fault(edge_error())
    response = ask.post()
    assert (response.status_code, response.text) == (403, "error code: 1010")
    assert [name for name in response.headers if name.startswith("cf-")] == ["cf-ray"]


def test_a_fault_sets_headers_and_the_content_type(ask: Caller) -> None:
    ask.gateway.fault(headers={"Retry-After": "7", "CF-AIG-Step": "2"}, content_type="text/html")
    headers = ask.post(stream=True).headers
    assert (headers["retry-after"], headers["cf-aig-step"], headers["content-type"]) == (
        "7",
        "2",
        "text/html",
    )


def test_a_cut_stream_ends_cleanly_after_the_requested_chunks(ask: Caller) -> None:
    ask.gateway.fault(then="cut", after_chunks=3)
    received = events(ask)
    assert len(received) == 3
    assert all(json.loads(event.removeprefix("data: ")) for event in received)


def test_a_stream_can_be_cut_before_its_done(ask: Caller) -> None:
    whole = len(events(ask))
    ask.gateway.fault(then="cut", after_chunks=whole - 1)
    assert json.loads(events(ask)[-1].removeprefix("data: "))["choices"][0]["finish_reason"]


def test_a_fault_after_the_end_of_a_stream_has_no_effect(ask: Caller) -> None:
    ask.gateway.fault(then="cut", after_chunks=10_000)
    assert content_of(chunks(ask.post(stream=True).text))


def test_a_cut_body_is_half_of_its_json(ask: Caller) -> None:
    ask.gateway.fault(then="cut")
    body = ask.post().text
    assert body.startswith('{"id":')
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


@pytest.mark.parametrize("stream", [False, True])
def test_a_reset_breaks_the_connection_after_what_was_sent(ask: Caller, stream: bool) -> None:
    ask.gateway.fault(then="reset", after_chunks=2)
    received = b""
    with (  # noqa: PT012 - what comes before the reset is wanted
        pytest.raises(httpx.ReadError, match="reset"),
        ask.http.stream(
            "POST",
            f"{ask.gateway.base_url()}/chat/completions",
            headers=ask.headers("provider-native"),
            json={
                "model": "deepseek-flash",
                "messages": [{"role": "user", "content": "hi"}],
                "stream": stream,
            },
        ) as response,
    ):
        for piece in response.iter_raw():
            received += piece
    assert received.count(b"\n\n") == (2 if stream else 0)
    assert received.startswith(b"data: {" if stream else b'{"id":')


def test_the_gateway_works_after_a_reset_connection(ask: Caller) -> None:
    ask.gateway.fault(then="reset")
    with pytest.raises(httpx.HTTPError):
        ask.post(stream=True)
    assert ask.post().status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_stall_is_silence_and_then_the_rest(ask: Caller, stream: bool) -> None:
    ask.gateway.reply(**SCRIPTED)
    ask.gateway.fault(then="stall", seconds=0.3)
    began = time.monotonic()
    response = ask.post(stream=stream)
    assert time.monotonic() - began >= 0.3
    if stream:
        assert content_of(chunks(response.text)) == SCRIPTED["content"]
    else:
        assert response.json()["choices"][0]["message"]["content"] == SCRIPTED["content"]


def test_keep_alives_can_fill_the_middle_of_a_stream(ask: Caller) -> None:
    ask.gateway.reply(**SCRIPTED)
    ask.gateway.fault(then="keep_alive", seconds=0.2, after_chunks=1)
    received = events(ask)
    comments = [number for number, event in enumerate(received) if event == ": keep-alive"]
    assert comments == list(range(1, len(comments) + 1))
    assert len(comments) >= 2
    assert content_of(chunks("\n\n".join([*received, ""]))) == SCRIPTED["content"]


def test_keep_alives_can_precede_a_response_in_one_piece(ask: Caller) -> None:
    ask.gateway.fault(then="keep_alive", seconds=0.2)
    body = ask.post().text
    assert body.startswith("\n\n")
    assert json.loads(body)["object"] == "chat.completion"


def test_an_error_can_end_a_stream(ask: Caller) -> None:
    ask.gateway.fault(then="error_event", after_chunks=1)
    received = events(ask)
    assert len(received) == 2
    assert json.loads(received[1].removeprefix("data: ")) == {
        "error": {
            "message": "Internal server error",
            "type": "server_error",
            "param": None,
            "code": "internal_error",
        }
    }


@pytest.mark.parametrize("stream", [False, True])
def test_the_error_inside_a_response_can_be_chosen(ask: Caller, stream: bool) -> None:
    ask.gateway.fault(then="error_event", body={"error": "mine"}, after_chunks=0)
    response = ask.post(stream=stream)
    assert response.status_code == 200
    assert response.text == ('data: {"error":"mine"}\n\n' if stream else '{"error":"mine"}')


def test_bad_json_replaces_one_event_and_the_rest_follows(ask: Caller) -> None:
    ask.gateway.fault(then="bad_json", after_chunks=1)
    received = events(ask)
    with pytest.raises(json.JSONDecodeError):
        json.loads(received[1].removeprefix("data: "))
    assert json.loads(received[2].removeprefix("data: "))["object"] == "chat.completion.chunk"
    assert received[-1] == "data: [DONE]"


def test_a_response_in_one_piece_can_be_bad_json(ask: Caller) -> None:
    ask.gateway.fault(then="bad_json")
    with pytest.raises(json.JSONDecodeError):
        ask.post().json()


@pytest.mark.parametrize("stream", [False, True])
def test_the_finish_reason_can_be_replaced(ask: Caller, stream: bool) -> None:
    ask.gateway.reply(**SCRIPTED)
    ask.gateway.fault(finish_reason="insufficient_system_resource")
    response = ask.post(stream=stream)
    payloads = chunks(response.text) if stream else [response.json()]
    reasons = [payload["choices"][0]["finish_reason"] for payload in payloads]
    assert reasons[-1] == "insufficient_system_resource"
    assert set(reasons[:-1]) <= {None}


@pytest.mark.parametrize("body", ["no json", "{no json}", '{"a":1}'])
def test_a_finish_reason_does_not_change_a_body_without_one(ask: Caller, body: str) -> None:
    ask.gateway.fault(body=body, finish_reason="aborted")
    assert ask.post().text == body


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("size", [1, 7])
def test_a_body_can_be_sent_in_pieces_of_any_size(ask: Caller, stream: bool, size: int) -> None:
    ask.gateway.reply(content="Grüße, 世界 😀")
    ask.gateway.fault(split=size)
    response = ask.post(stream=stream)
    content = (
        content_of(chunks(response.text))
        if stream
        else response.json()["choices"][0]["message"]["content"]
    )
    assert content == "Grüße, 世界 😀"


def test_a_given_event_stream_can_be_split_and_cut(ask: Caller) -> None:
    body = b'data: {"a":1}\r\n\r\ndata: [DONE]\r\n\r\n'
    ask.gateway.fault(body=body, content_type="text/event-stream", split=3)
    response = ask.post(stream=True)
    assert (response.content, response.headers["content-type"]) == (body, "text/event-stream")


def test_a_fault_delays_the_first_byte(ask: Caller) -> None:
    ask.gateway.fault(delay=0.2, status=504)
    began = time.monotonic()
    assert ask.post().status_code == 504
    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize("stream", [False, True])
def test_an_abandoned_request_uses_no_later_reply(ask: Caller, stream: bool) -> None:
    ask.gateway.fault(delay=0.4)
    short_client = httpx.Client(timeout=0.1)
    with short_client, pytest.raises(httpx.ReadTimeout):
        Caller(ask.gateway, short_client).post(stream=stream)
    ask.gateway.reply(**SCRIPTED)
    time.sleep(0.5)
    assert content_of(ask.stream()) == SCRIPTED["content"]


def test_faults_apply_in_the_order_and_as_often_as_requested(ask: Caller) -> None:
    ask.gateway.fault(status=500, times=2)
    ask.gateway.fault(status=503)
    assert [ask.post().status_code for _ in range(4)] == [500, 500, 503, 200]


def test_a_fault_without_end_applies_until_reset(ask: Caller) -> None:
    ask.gateway.fault(status=500, times=None)
    assert {ask.post().status_code for _ in range(5)} == {500}
    ask.gateway.reset()
    assert ask.post().status_code == 200


@pytest.mark.parametrize("endless", [{"times": None}, {"share": 1.0}])
def test_a_delay_without_end_hides_no_other_fault(ask: Caller, endless: dict[str, Any]) -> None:
    ask.gateway.fault(delay=0.1, **endless)
    ask.gateway.fault(status=500, delay=0.1)
    ask.gateway.fault(status=503)
    statuses, seconds = [], []
    for _ in range(3):
        began = time.monotonic()
        statuses.append(ask.post().status_code)
        seconds.append(time.monotonic() - began)
    assert statuses == [500, 503, 200]
    assert seconds[0] >= 0.2
    assert min(seconds) >= 0.1


def test_a_delay_that_ends_applies_alone(ask: Caller) -> None:
    ask.gateway.fault(delay=0.1)
    ask.gateway.fault(status=503)
    assert [ask.post().status_code for _ in range(2)] == [200, 503]


def test_a_share_of_requests_fails_and_the_same_seed_selects_the_same_ones(
    ask: Caller,
) -> None:
    def statuses_with(seed: int) -> list[int]:
        ask.gateway.reset()
        ask.gateway.fault(status=503, share=0.3, seed=seed)
        return [ask.post().status_code for _ in range(100)]

    first = statuses_with(1)
    assert 15 <= first.count(503) <= 45
    assert statuses_with(1) == first
    assert statuses_with(2) != first


def test_a_refused_request_uses_up_no_fault(ask: Caller) -> None:
    ask.gateway.fault(status=503)
    assert ask.post(headers={"cf-aig-authorization": "wrong"}).status_code == 401
    assert ask.post().status_code == 503


@pytest.mark.parametrize("routing", ["provider-native", "unified", "compat"])
def test_faults_apply_on_every_routing(ask: Caller, routing: Any) -> None:
    ask.gateway.fault(then="bad_json")
    ask.gateway.fault(body=[1])
    ask.gateway.fault(status=500, body={"error": {}})
    assert [ask.post(routing=routing).status_code for _ in range(4)] == [200, 200, 500, 200]


def test_keep_alives_do_not_count_as_chunks(http: httpx.Client) -> None:
    with LocalGateway(keep_alive=2) as gateway:
        gateway.fault(then="cut", after_chunks=1)
        received = events(Caller(gateway, http))
        assert received[:2] == [": keep-alive"] * 2
        assert len(received) == 3


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n", "\r\r"])
def test_events_are_counted_however_an_upstream_sends_them(http: httpx.Client, end: str) -> None:
    pieces = [f'data: {{"n":{number}}}{end}' for number in range(4)]
    body = "".join([*pieces, "data: tail"])
    with LocalGateway(authenticated=False, stored_key=True) as upstream:
        upstream.fault(body=body, content_type="text/event-stream", split=5, times=2)
        with LocalGateway(upstream=upstream.base_url()) as front:
            front.fault(then="cut", after_chunks=2)
            front.fault(then="cut", after_chunks=20)
            answers = [Caller(front, http).post(stream=True).text for _ in range(2)]
    assert answers == ["".join(pieces[:2]), body]


@pytest.mark.parametrize("wrong", [lambda: Fault(then="explode"), lambda: Fault(statsu=1)])  # type: ignore[arg-type, call-arg]  # that is the test
def test_a_misspelled_fault_is_refused(wrong: Callable[[], Fault]) -> None:
    with pytest.raises((ValueError, TypeError)):
        wrong()
