"""How often and how long the gateway retries a provider that fails."""

import time
from typing import Any, Literal

import pytest

from langchain_cf_deepseek.local import Assumptions, Fault, Retries, Routing, gateway_error
from langchain_cf_deepseek.local.cloudflare.retries import Backoff
from tests.local_gateway.conftest import (
    AT_LOCAL,
    Caller,
    StartGateway,
    code_of,
    content_of,
    text_of,
)
from tests.local_gateway.test_admission import ROUTINGS

BUSY = Fault(status=503, headers={"retry-after": "9"})
THRICE = {"cf-aig-max-attempts": "3", "cf-aig-retry-delay": "1"}
SHORT_TIMEOUT = {"cf-aig-request-timeout": "200"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize(
    "fault",
    [
        BUSY,
        Fault(status=500),
        Fault(status=429),
        gateway_error(2005, 400, "Failed to get response from provider"),
    ],
)
def test_a_failed_attempt_is_retried_and_leaves_no_trace(
    ask: Caller, routing: Routing, fault: Fault, stream: bool
) -> None:
    ask.gateway.fault(fault)
    ask.gateway.fault(fault)
    answer = ask.post(routing=routing, headers=THRICE, stream=stream)
    assert answer.status_code == 200
    assert "retry-after" not in answer.headers
    assert answer.headers["cf-aig-step"] == "0"
    assert (len(ask.gateway.requests), ask.gateway.upstream_calls) == (1, 3)


def test_the_failure_of_the_last_attempt_is_returned(ask: Caller) -> None:
    ask.gateway.fault(BUSY)
    ask.gateway.fault(status=500, body={"last": True}, times=2)
    answer = ask.post(headers=THRICE)
    assert (answer.status_code, answer.json()) == (500, {"last": True})
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize(
    ("headers", "calls"),
    [
        ({}, 1),
        ({"cf-aig-max-attempts": "1"}, 1),
        ({"cf-aig-max-attempts": "0"}, 1),
        ({"cf-aig-max-attempts": "-3"}, 1),
        ({"cf-aig-max-attempts": "many"}, 1),
        ({"cf-aig-max-attempts": "2"}, 2),
        ({"cf-aig-max-attempts": "9"}, 5),
    ],
)
def test_there_are_one_to_five_attempts(ask: Caller, headers: dict[str, str], calls: int) -> None:
    ask.gateway.fault(status=503, times=None)
    assert ask.post(headers={"cf-aig-retry-delay": "1", **headers}).status_code == 503
    assert ask.gateway.upstream_calls == calls


@pytest.mark.parametrize(
    "name", ["rate-limit", "spend-limit", "guardrail-prompt", "deepseek-balance", "deepseek-key"]
)
def test_a_refusal_is_not_retried(ask: Caller, name: str) -> None:
    ask.gateway.fail_next(name)
    assert ask.post(headers=THRICE).status_code >= 400
    assert ask.post().status_code == 200


def test_a_request_that_deepseek_rejects_is_not_retried(ask: Caller) -> None:
    assert ask.post(headers=THRICE, temperature=9).status_code == 400
    assert ask.gateway.upstream_calls == 1


def test_a_request_that_deepseek_rejects_is_retried_by_another_assumption(
    start_gateway: StartGateway,
) -> None:
    ask = start_gateway(assumptions=Assumptions(retry_client_errors=True))
    assert ask.post(headers=THRICE, temperature=9).status_code == 400
    assert ask.gateway.upstream_calls == 3


def test_the_settings_of_a_gateway_can_retry_and_a_header_overrides_them(
    start_gateway: StartGateway,
) -> None:
    ask = start_gateway(retries=Retries(max_attempts=2, retry_delay_ms=1))
    ask.gateway.fault(status=503, times=3)
    assert [
        ask.post(headers=headers).status_code for headers in ({"cf-aig-max-attempts": "1"}, {}, {})
    ] == [503, 503, 200]
    assert ask.gateway.upstream_calls == 4


@pytest.mark.parametrize(
    ("backoff", "delays"),
    [
        ("constant", [0.2, 0.2, 0.2, 0.2]),
        ("linear", [0.2, 0.4, 0.6, 0.8]),
        ("exponential", [0.2, 0.4, 0.8, 1.6]),
    ],
)
def test_the_delay_grows_by_the_backoff(backoff: Backoff, delays: list[float]) -> None:
    headers = {"cf-aig-retry-delay": "200", "cf-aig-backoff": backoff}
    plan = Retries().overridden_by(headers)
    assert [plan.delay(failed) for failed in range(1, 5)] == delays


@pytest.mark.parametrize(
    ("headers", "plan"),
    [
        ({}, Retries(4, 300, "linear", 50)),
        ({"cf-aig-backoff": "cubic", "cf-aig-retry-delay": "soon"}, Retries(4, 300, "linear", 50)),
        ({"cf-aig-retry-delay": "60000"}, Retries(4, 5000, "linear", 50)),
        (
            {
                "cf-aig-max-attempts": "2",
                "cf-aig-retry-delay": "0",
                "cf-aig-backoff": "constant",
                "cf-aig-request-timeout": "7",
            },
            Retries(2, 0, "constant", 7),
        ),
    ],
)
def test_headers_override_the_settings_and_malformed_ones_do_not(
    headers: dict[str, str], plan: Retries
) -> None:
    assert Retries(4, 300, "linear", 50).overridden_by(headers) == plan


def test_the_gateway_pauses_between_attempts(ask: Caller) -> None:
    ask.gateway.fault(status=503, times=2)
    began = time.monotonic()
    assert ask.post(headers={"cf-aig-max-attempts": "3", "cf-aig-retry-delay": "150"})
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("status", [400, 502, 504])
def test_a_response_that_does_not_start_in_time_is_an_error(
    start_gateway: StartGateway, status: Literal[400, 502, 504], routing: Routing, stream: bool
) -> None:
    ask = start_gateway(assumptions=Assumptions(timeout_status=status))
    ask.gateway.fault(delay=10)
    began = time.monotonic()
    answer = ask.post(routing=routing, headers=AT_LOCAL | SHORT_TIMEOUT, stream=stream)
    assert 0.2 <= time.monotonic() - began < 10
    assert code_of(answer) == (status, 2005)
    assert ask.gateway.upstream_calls == 1


def test_a_stream_that_stalls_before_its_first_byte_has_not_started(ask: Caller) -> None:
    ask.gateway.fault(then="stall", after_chunks=0, seconds=10)
    assert code_of(ask.post(headers=SHORT_TIMEOUT, stream=True)) == (504, 2005)


def test_a_stream_that_has_started_has_no_time_limit(ask: Caller) -> None:
    ask.gateway.reply(content="one two three")
    ask.gateway.fault(then="stall", after_chunks=1, seconds=0.5)
    assert content_of(ask.stream(headers=SHORT_TIMEOUT)) == "one two three"


def test_a_response_in_time_is_complete(ask: Caller) -> None:
    patient = {"cf-aig-request-timeout": "60000"}
    assert text_of(ask.post(headers=patient))
    assert content_of(ask.stream(headers=patient))
    ask.gateway.fault(then="cut", after_chunks=0)
    assert ask.post(headers=patient, stream=True).text == ""


@pytest.mark.parametrize("stream", [False, True])
def test_a_late_attempt_is_retried(ask: Caller, stream: bool) -> None:
    ask.gateway.fault(delay=10)
    answer = ask.post(headers=SHORT_TIMEOUT | THRICE, stream=stream)
    assert answer.status_code == 200
    assert ask.gateway.upstream_calls == 2


def test_the_last_of_several_attempts_has_no_time_limit(ask: Caller) -> None:
    ask.gateway.fault(delay=10)
    ask.gateway.fault(delay=0.4)
    two = {"cf-aig-max-attempts": "2", "cf-aig-retry-delay": "1"}
    assert ask.post(headers=SHORT_TIMEOUT | two).status_code == 200


def test_the_stream_of_a_failed_attempt_is_closed(ask: Caller) -> None:
    ask.gateway.fault(status=500, body="data: {}\\n\\n", split=3)
    assert ask.post(headers=THRICE).status_code == 200


def test_a_list_of_models_is_retried_too(ask: Caller) -> None:
    ask.gateway.fault(status=500)
    headers: dict[str, Any] = ask.headers("provider-native") | THRICE
    assert ask.http.get(f"{ask.gateway.base_url()}/models", headers=headers).status_code == 200
