"""The response cache: what is stored, under which key, and for how long."""

import httpx
import pytest

from langchain_cf_deepseek.local import LocalGateway, Routing
from langchain_cf_deepseek.local.cloudflare.cache import MAX_ENTRIES, Cache
from langchain_cf_deepseek.local.exchange import Call, GatewayResponse, RecordedRequest
from tests.local_gateway.conftest import Caller, chunks, content_of

HOUR = {"cf-aig-cache-ttl": "3600"}


def status(response: httpx.Response) -> str:
    assert response.status_code == 200
    return response.headers["cf-aig-cache-status"]


@pytest.mark.parametrize("routing", ["provider-native", "unified", "compat"])
def test_an_identical_request_is_a_hit_and_reaches_no_provider(
    ask: Caller, routing: Routing
) -> None:
    first, second = (ask.post(routing=routing, headers=HOUR) for _ in range(2))
    assert (status(first), status(second)) == ("MISS", "HIT")
    assert first.json() == second.json()
    assert first.headers["cf-aig-log-id"] != second.headers["cf-aig-log-id"]
    assert ask.gateway.upstream_calls == 1


def test_a_streamed_answer_is_replayed_as_a_stream(ask: Caller) -> None:
    first, second = (ask.post(headers=HOUR, stream=True) for _ in range(2))
    assert (status(first), status(second)) == ("MISS", "HIT")
    assert second.headers["content-type"] == "text/event-stream"
    assert content_of(chunks(first.text)) == content_of(chunks(second.text)) != ""
    assert ask.gateway.upstream_calls == 1


def test_nothing_is_cached_unless_a_request_asks_for_it(ask: Caller) -> None:
    assert [status(ask.post()) for _ in range(2)] == ["MISS", "MISS"]
    assert ask.gateway.upstream_calls == 2


@pytest.mark.parametrize("ttl", ["0", "soon", "-60"])
def test_a_ttl_of_zero_caches_nothing(ask: Caller, ttl: str) -> None:
    headers = {"cf-aig-cache-ttl": ttl}
    assert [status(ask.post(headers=headers)) for _ in range(2)] == ["MISS", "MISS"]


def test_another_body_key_or_endpoint_is_another_entry(ask: Caller, http: httpx.Client) -> None:
    status(ask.post(headers=HOUR))
    assert status(ask.post(headers=HOUR, temperature=0.5)) == "MISS"
    assert status(ask.post(headers=HOUR, routing="compat")) == "MISS"
    with LocalGateway(stored_key=True) as gateway:
        byok = Caller(gateway, http)
        status(byok.post(headers=HOUR))
        assert status(byok.post(headers=HOUR, without=("authorization",))) == "MISS"


def test_a_callers_key_replaces_the_computed_one(ask: Caller) -> None:
    key = {"cf-aig-cache-key": "mine"}
    assert status(ask.post(headers=key)) == "MISS"
    assert status(ask.post(headers=key, temperature=0.5)) == "HIT"
    assert status(ask.post(headers={"cf-aig-cache-key": "other"})) == "MISS"


def test_skipping_the_cache_neither_reads_nor_stores(ask: Caller) -> None:
    skip = {**HOUR, "cf-aig-skip-cache": "true"}
    assert [status(ask.post(headers=headers)) for headers in (skip, HOUR, skip, HOUR)] == [
        "MISS",
        "MISS",
        "MISS",
        "HIT",
    ]


def test_errors_and_broken_streams_are_not_cached(ask: Caller) -> None:
    assert ask.post(headers=HOUR, temperature=9).status_code == 400
    assert ask.post(headers=HOUR, temperature=9).headers["cf-aig-cache-status"] == "MISS"
    ask.gateway.fault(then="cut", after_chunks=2)
    assert "[DONE]" not in ask.post(headers=HOUR, stream=True).text
    assert status(ask.post(headers=HOUR, stream=True)) == "MISS"


def test_an_error_of_the_provider_is_not_cached(ask: Caller) -> None:
    ask.gateway.fault(status=503)
    assert ask.post(headers=HOUR).status_code == 503
    assert status(ask.post(headers=HOUR)) == "MISS"


def test_a_hit_uses_up_no_reply_and_no_fault(ask: Caller) -> None:
    status(ask.post(headers=HOUR))
    ask.gateway.reply(content="scripted")
    ask.gateway.fault(status=503)
    assert status(ask.post(headers=HOUR)) == "HIT"
    assert ask.post().status_code == 503
    assert ask.post().json()["choices"][0]["message"]["content"] == "scripted"


def test_reset_empties_the_cache(ask: Caller) -> None:
    status(ask.post(headers=HOUR))
    ask.gateway.reset()
    assert (ask.gateway.requests, ask.gateway.upstream_calls) == ([], 0)
    assert status(ask.post(headers=HOUR)) == "MISS"


async def _nothing_to_break() -> None:
    """Replace the reset of a connection."""


def _call(key: str, ttl: str | None) -> Call:
    headers = {"cf-aig-cache-key": key} | ({} if ttl is None else {"cf-aig-cache-ttl": ttl})
    request = RecordedRequest("POST", "/", "", headers, None)
    return Call(request, b"", "compat", "account", None, "chat/completions", _nothing_to_break)


async def _asked(cache: Cache, key: str, ttl: str | None = "60") -> str:
    call = _call(key, ttl)

    async def provide() -> GatewayResponse:
        return GatewayResponse(200, b"{}")

    await cache.step(call, provide)
    return call.gateway_headers["cf-aig-cache-status"]


@pytest.mark.parametrize(
    ("ttl", "seconds"), [("1", 60), ("90", 90), ("9999999999", 30 * 24 * 3600), (None, 300)]
)
async def test_an_entry_lives_as_long_as_asked_but_at_least_a_minute(
    ttl: str | None, seconds: int
) -> None:
    now = 0.0
    cache = Cache(clock=lambda: now)
    assert await _asked(cache, "k", ttl) == "MISS"
    now = seconds - 0.5
    assert await _asked(cache, "k", ttl) == "HIT"
    now = seconds + 0.5
    assert await _asked(cache, "k", ttl) == "MISS"


async def test_the_oldest_entries_are_dropped() -> None:
    cache = Cache()
    for number in range(MAX_ENTRIES + 1):
        await _asked(cache, str(number))
    assert await _asked(cache, "0") == "MISS"
    assert await _asked(cache, str(MAX_ENTRIES)) == "HIT"
