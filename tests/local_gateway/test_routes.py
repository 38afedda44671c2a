"""Dynamic routes: which model answers, when the next one has its turn, and what is told."""

import time
from typing import Any, Literal

import httpx
import pytest

from langchain_cf_deepseek.local import Assumptions, Route, RouteStep, Routing
from tests.local_gateway.conftest import AT_LOCAL, Ruled, code_of, content_of
from tests.local_gateway.test_admission import gateway_error, rest_error

FLASH = "deepseek/deepseek-flash"
PRO = "deepseek/deepseek-v4-pro"
HOSTED = "@cf/deepseek-ai/deepseek-v4-pro-0813"
DOORS: list[Routing] = ["compat", "unified"]


def route(*steps: RouteStep | str) -> dict[str, Route]:
    return {"support": Route(steps)}


def ask_route(ask: Any, **kwargs: Any) -> httpx.Response:
    headers = AT_LOCAL | kwargs.pop("headers", {})
    response: httpx.Response = ask.post(
        **{"model": "dynamic/support", "routing": "compat", **kwargs}, headers=headers
    )
    return response


def told(response: httpx.Response) -> tuple[str, ...]:
    return tuple(response.headers[f"cf-aig-{name}"] for name in ("step", "provider", "model"))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("routing", DOORS)
@pytest.mark.parametrize(
    ("failures", "answer"),
    [
        (0, ("0", "deepseek", "deepseek-flash")),
        (1, ("1", "deepseek", "deepseek-v4-pro")),
        (2, ("2", "workers-ai", HOSTED)),
    ],
)
def test_the_first_model_that_does_not_fail_answers(
    ruled: Ruled, failures: int, answer: tuple[str, ...], routing: Routing, stream: bool
) -> None:
    ask = ruled(routes=route(FLASH, PRO, HOSTED))
    if failures:
        ask.gateway.fault(status=503, headers={"retry-after": "9"}, times=failures)
    response = ask_route(ask, routing=routing, stream=stream)
    assert (response.status_code, told(response)) == (200, answer)
    assert "retry-after" not in response.headers
    served = response.json()["model"] if not stream else None
    assert served in {None, answer[2], f"accounts/fireworks/models/{answer[2]}"}
    assert ask.gateway.upstream_calls == failures + 1


def test_when_all_models_fail_the_last_failure_is_handed_on(ruled: Ruled) -> None:
    ask = ruled(routes=route(FLASH, PRO))
    for number in range(2):
        ask.gateway.fault(status=500, body={"number": number})
    response = ask_route(ask)
    assert (response.status_code, response.json(), told(response)) == (
        500,
        {"number": 1},
        ("1", "deepseek", "deepseek-v4-pro"),
    )


@pytest.mark.parametrize("status", [400, 401, 402, 429])
def test_whatever_a_provider_refuses_the_next_one_is_asked(ruled: Ruled, status: int) -> None:
    ask = ruled(routes=route(FLASH, PRO))
    ask.gateway.fault(status=status)
    assert told(ask_route(ask))[0] == "1"


def test_a_refusal_by_the_gateway_itself_ends_the_route(ruled: Ruled) -> None:
    ask = ruled(routes=route(FLASH, PRO))
    ask.gateway.fail_next("guardrail-prompt")
    assert code_of(ask_route(ask)) == (424, 2016)


def test_a_step_has_a_timeout_and_attempts_of_its_own(ruled: Ruled) -> None:
    hurried = RouteStep(FLASH, request_timeout_ms=100)
    stubborn = RouteStep(PRO, max_attempts=3)
    ask = ruled(routes=route(hurried, stubborn, HOSTED))
    ask.gateway.fault(delay=10)
    ask.gateway.fault(status=503, times=2)
    began = time.monotonic()
    response = ask_route(ask, headers={"cf-aig-retry-delay": "1"})
    assert told(response)[0] == "1"
    assert time.monotonic() - began < 10
    assert ask.gateway.upstream_calls == 4


@pytest.mark.parametrize("broken", ["custom-lab/model", "openai/gpt-5"])
def test_a_step_that_a_route_cannot_take_counts_as_failed(ruled: Ruled, broken: str) -> None:
    ask = ruled(routes={"support": Route([broken, FLASH]), "broken": Route([broken])})
    assert told(ask_route(ask))[0] == "1"
    assert code_of(ask_route(ask, model="dynamic/broken")) == (400, 2005)


@pytest.mark.parametrize(
    ("routing", "status", "body"),
    [
        ("compat", 404, gateway_error(7003, 404, "Model not found: dynamic/nowhere")),
        ("unified", 404, rest_error((7003, "Model not found: dynamic/nowhere"))),
        ("compat", 400, gateway_error(2005, 400, "Failed to get response from provider")),
        ("unified", 400, rest_error((2005, "Failed to get response from provider"))),
    ],
)
def test_an_unknown_route_is_refused(
    ruled: Ruled, routing: Routing, status: Literal[400, 404], body: Any
) -> None:
    ask = ruled(routes=route(FLASH), assumptions=Assumptions(unknown_route_status=status))
    response = ask_route(ask, model="dynamic/nowhere", routing=routing)
    assert (response.status_code, response.json()) == (status, body)


def test_on_the_rest_host_the_owner_of_a_route_must_be_named(ruled: Ruled) -> None:
    ask = ruled(routes=route(FLASH))
    other = {"cf-aig-gateway-id": "default"}
    assert ask_route(ask, routing="unified", headers=other).status_code == 404


def test_without_routes_of_its_own_a_gateway_has_one_under_every_name(ruled: Ruled) -> None:
    response = ask_route(ruled(), model="dynamic/anything")
    assert told(response) == ("0", "deepseek", "deepseek-flash")


def test_a_route_streams(ruled: Ruled) -> None:
    ask = ruled(routes=route(PRO))
    ask.gateway.reply(content="one two")
    assert content_of(ask.stream(model="dynamic/support", routing="compat")) == "one two"
