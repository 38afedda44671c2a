"""The rate limit: requests per window, for all callers together."""

from typing import Any

import pytest

from langchain_cf_deepseek.local import RateLimit, Routing
from langchain_cf_deepseek.local.cloudflare.time_windows import Technique, Window
from tests.local_gateway.conftest import AT_LOCAL, StartGateway
from tests.local_gateway.test_admission import ROUTINGS, gateway_error, rest_error

BODIES: dict[Routing, dict[str, Any]] = {
    "provider-native": gateway_error(2003, 429, "Rate limited"),
    "compat": gateway_error(2003, 429, "Rate limited"),
    "unified": rest_error((2003, "Rate limited")),
}


@pytest.mark.parametrize("routing", ROUTINGS)
def test_a_request_above_the_limit_is_refused_without_retry_after(
    start_gateway: StartGateway, routing: Routing
) -> None:
    ask = start_gateway(rate_limit=RateLimit(requests=2, seconds=3600))
    *passed, refused = (ask.post(routing=routing, headers=AT_LOCAL) for _ in range(3))
    assert [response.status_code for response in passed] == [200, 200]
    assert (refused.status_code, refused.json()) == (429, BODIES[routing])
    assert "cf-aig-log-id" in refused.headers
    assert "retry-after" not in refused.headers
    assert ask.gateway.upstream_calls == 2


def test_all_routings_and_callers_share_the_limit(start_gateway: StartGateway) -> None:
    ask = start_gateway(rate_limit=RateLimit(requests=2, seconds=3600), stored_key=True)
    answers = [
        ask.post(),
        ask.post(routing="compat", without=("authorization",)),
        ask.post(routing="unified", headers=AT_LOCAL),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 429]


def test_the_default_gateway_has_no_limit(start_gateway: StartGateway) -> None:
    ask = start_gateway(rate_limit=RateLimit(requests=0, seconds=3600))
    assert ask.post().status_code == 429
    assert ask.post(routing="unified").status_code == 200


def test_responses_from_the_cache_are_not_counted(start_gateway: StartGateway) -> None:
    ask = start_gateway(rate_limit=RateLimit(requests=1, seconds=3600))
    kept = {"cf-aig-cache-ttl": "3600"}
    assert [ask.post(headers=kept).status_code for _ in range(3)] == [200, 200, 200]
    assert ask.post().status_code == 429


def test_a_refused_credential_is_not_counted(start_gateway: StartGateway) -> None:
    ask = start_gateway(rate_limit=RateLimit(requests=1, seconds=3600))
    assert ask.post(headers={"cf-aig-authorization": "wrong"}).status_code == 401
    assert ask.post().status_code == 200


def test_reset_starts_a_new_window(start_gateway: StartGateway) -> None:
    ask = start_gateway(rate_limit=RateLimit(requests=1, seconds=3600))
    assert [ask.post().status_code for _ in range(2)] == [200, 429]
    ask.gateway.reset()
    assert ask.post().status_code == 200


@pytest.mark.parametrize(
    ("technique", "totals"),
    [
        # One amount at 0 s, one at 6 s; the window is 10 s long.
        ("fixed", {6: 2, 9: 2, 10: 0, 15: 0}),
        ("sliding", {6: 2, 9: 2, 10: 1, 15: 1, 16: 0}),
    ],
)
def test_amounts_expire_together_in_a_fixed_window_and_separately_in_a_sliding_one(
    technique: Technique, totals: dict[int, int]
) -> None:
    now = 0.0
    window = Window(10, technique, clock=lambda: now)
    window.add(1)
    now = 6
    window.add(1)
    found = {}
    for now in totals:
        found[now] = window.total
    assert found == totals


def test_a_fixed_window_starts_with_its_first_amount() -> None:
    now = 0.0
    window = Window(10, clock=lambda: now)
    window.add(1)
    now = 20
    window.add(1)
    assert window.total == 1
    now = 29
    assert window.total == 1
    now = 30
    assert window.total == 0
