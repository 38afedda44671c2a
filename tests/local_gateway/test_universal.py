"""The universal endpoint: several requests in one, tried in turn."""

import time
from typing import Any

import httpx
import pytest

from tests.local_gateway.conftest import QUESTION, Caller, chunks, code_of, content_of, text_of
from tests.local_gateway.test_admission import gateway_error


def entry(model: str = "deepseek-flash", **changed: Any) -> dict[str, Any]:
    return {
        "provider": "deepseek",
        "endpoint": "chat/completions",
        "headers": {"Authorization": "Bearer local-deepseek-key"},
        "query": {"model": model, "messages": [QUESTION]},
        **changed,
    }


def post(ask: Caller, entries: Any, **headers: str) -> httpx.Response:
    gw = ask.gateway
    return ask.http.post(
        f"{gw.url}/v1/{gw.account_id}/{gw.gateway_id}",
        json=entries,
        headers={"cf-aig-authorization": f"Bearer {gw.gateway_token}", **headers},
    )


def test_the_first_entry_responds(ask: Caller) -> None:
    response = post(ask, [entry(), entry("deepseek-v4-pro")])
    assert text_of(response)
    assert (response.json()["model"], response.headers["cf-aig-step"]) == ("deepseek-flash", "0")
    assert ask.gateway.requests[0].body == [entry(), entry("deepseek-v4-pro")]
    assert len(ask.gateway.requests) == 1


@pytest.mark.parametrize(
    "failing",
    [
        entry("no-such-model"),
        entry(headers={"authorization": "Bearer wrong"}),
        entry(headers={}),
        entry(endpoint="files"),
        entry(query={}),
    ],
)
def test_after_a_failed_entry_the_next_is_tried(ask: Caller, failing: dict[str, Any]) -> None:
    response = post(ask, [failing, entry("deepseek-v4-pro", endpoint="/v1/chat/completions")])
    assert response.status_code == 200
    assert (response.json()["model"], response.headers["cf-aig-step"]) == ("deepseek-v4-pro", "1")


def test_the_last_failure_is_returned(ask: Caller) -> None:
    ask.gateway.fault(status=503, body={"busy": 1}, times=2)
    response = post(ask, [entry(), entry()])
    assert (response.status_code, response.json()) == (503, {"busy": 1})
    assert response.headers["cf-aig-step"] == "1"


@pytest.mark.parametrize("model", ["deepseek/deepseek-flash", "@cf/deepseek-ai/deepseek-r1"])
@pytest.mark.parametrize("endpoint", ["chat/completions", "/chat/completions"])
def test_an_entry_can_be_for_compat_as_cloudflares_own_client_sends_it(
    ask: Caller, model: str, endpoint: str
) -> None:
    response = post(ask, [entry(model, provider="compat", endpoint=endpoint)])
    assert text_of(response)
    assert response.json()["model"] == model.removeprefix("deepseek/")


@pytest.mark.parametrize(
    ("model", "endpoint", "code"),
    [
        ("deepseek-flash", "chat/completions", 2019),
        ("nobody/x", "chat/completions", 2008),
        ("deepseek/deepseek-flash", "models", 2008),
    ],
)
def test_an_entry_for_compat_is_refused_as_compat_itself_refuses(
    ask: Caller, model: str, endpoint: str, code: int
) -> None:
    assert code_of(post(ask, [entry(model, provider="compat", endpoint=endpoint)])) == (400, code)


def test_an_entry_can_stream(ask: Caller) -> None:
    ask.gateway.reply(content="one two")
    query = {**entry()["query"], "stream": True}
    assert content_of(chunks(post(ask, [entry(query=query)]).text)) == "one two"


def test_headers_of_an_entry_override_its_config_which_overrides_the_request(ask: Caller) -> None:
    ask.gateway.fault(status=503, times=5)
    config = {"maxAttempts": 2, "retryDelay": 1}
    own = {**entry()["headers"], "cf-aig-max-attempts": "3"}
    entries = [entry(headers=own, config=config), entry(config=config), entry()]
    response = post(ask, entries, **{"cf-aig-max-attempts": "1"})
    assert (response.status_code, response.headers["cf-aig-step"]) == (200, "2")
    assert ask.gateway.upstream_calls == 6


def test_after_a_timeout_the_next_entry_is_tried(ask: Caller) -> None:
    ask.gateway.fault(delay=10)
    began = time.monotonic()
    response = post(ask, [entry(config={"requestTimeout": 100}), entry()])
    assert response.headers["cf-aig-step"] == "1"
    assert time.monotonic() - began < 10


def test_each_entry_is_cached_separately(ask: Caller) -> None:
    kept = entry(config={"cacheTtl": 3600})
    statuses = [
        post(ask, [each]).headers["cf-aig-cache-status"]
        for each in (kept, kept, entry(config={"cacheTtl": 3600, "skipCache": True}))
    ]
    assert statuses == ["MISS", "HIT", "MISS"]


def test_after_a_refusal_by_the_gateway_itself_no_entry_is_tried(ask: Caller) -> None:
    response = post(ask, [entry(provider="openai"), entry()])
    assert (response.status_code, response.json()) == (
        400,
        gateway_error(2008, 400, "Invalid provider"),
    )


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        [1],
        [{}],
        [entry(provider=None)],
        [entry(endpoint=3)],
        [entry(headers="none")],
        [entry(query=[])],
        [entry(config=1)],
    ],
)
def test_anything_but_an_array_of_requests_is_refused(ask: Caller, body: Any) -> None:
    assert code_of(post(ask, body)) == (400, 2019)


def test_the_gateway_token_is_checked_first(ask: Caller) -> None:
    assert code_of(post(ask, [entry()], **{"cf-aig-authorization": "wrong"})) == (401, 2009)
