"""Dynamic routes: which model responds, when the next one is tried, and which headers say so."""

import time
from typing import Any, Literal

import httpx
import pytest

from langchain_cf_deepseek.local import Assumptions, Route, RouteStep, Routing
from tests.local_gateway.conftest import AT_LOCAL, StartGateway, code_of, content_of
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


def step_headers(response: httpx.Response) -> tuple[str, ...]:
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
def test_the_first_model_that_does_not_fail_responds(
    start_gateway: StartGateway,
    failures: int,
    answer: tuple[str, ...],
    routing: Routing,
    stream: bool,
) -> None:
    ask = start_gateway(routes=route(FLASH, PRO, HOSTED))
    if failures:
        ask.gateway.fault(status=503, headers={"retry-after": "9"}, times=failures)
    response = ask_route(ask, routing=routing, stream=stream)
    assert (response.status_code, step_headers(response)) == (200, answer)
    assert "retry-after" not in response.headers
    served = response.json()["model"] if not stream else None
    assert served in {None, answer[2], f"accounts/fireworks/models/{answer[2]}"}
    assert ask.gateway.upstream_calls == failures + 1


def test_when_all_models_fail_the_last_failure_is_returned(start_gateway: StartGateway) -> None:
    ask = start_gateway(routes=route(FLASH, PRO))
    for number in range(2):
        ask.gateway.fault(status=500, body={"number": number})
    response = ask_route(ask)
    assert (response.status_code, response.json(), step_headers(response)) == (
        500,
        {"number": 1},
        ("1", "deepseek", "deepseek-v4-pro"),
    )


@pytest.mark.parametrize("status", [400, 401, 402, 429])
def test_after_any_failure_of_a_provider_the_next_one_is_tried(
    start_gateway: StartGateway, status: int
) -> None:
    ask = start_gateway(routes=route(FLASH, PRO))
    ask.gateway.fault(status=status)
    assert step_headers(ask_route(ask))[0] == "1"


def test_a_refusal_by_the_gateway_itself_ends_the_route(start_gateway: StartGateway) -> None:
    ask = start_gateway(routes=route(FLASH, PRO))
    ask.gateway.fail_next("guardrail-prompt")
    assert code_of(ask_route(ask)) == (424, 2016)


def test_a_step_has_its_own_timeout_and_attempts(start_gateway: StartGateway) -> None:
    with_timeout = RouteStep(FLASH, request_timeout_ms=100)
    with_attempts = RouteStep(PRO, max_attempts=3)
    ask = start_gateway(routes=route(with_timeout, with_attempts, HOSTED))
    ask.gateway.fault(delay=10)
    ask.gateway.fault(status=503, times=2)
    began = time.monotonic()
    response = ask_route(ask, headers={"cf-aig-retry-delay": "1"})
    assert step_headers(response)[0] == "1"
    assert time.monotonic() - began < 10
    assert ask.gateway.upstream_calls == 4


@pytest.mark.parametrize("broken", ["custom-lab/model", "openai/gpt-5"])
def test_a_step_with_an_unsupported_model_counts_as_failed(
    start_gateway: StartGateway, broken: str
) -> None:
    ask = start_gateway(routes={"support": Route([broken, FLASH]), "broken": Route([broken])})
    assert step_headers(ask_route(ask))[0] == "1"
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
    start_gateway: StartGateway, routing: Routing, status: Literal[400, 404], body: Any
) -> None:
    ask = start_gateway(routes=route(FLASH), assumptions=Assumptions(unknown_route_status=status))
    response = ask_route(ask, model="dynamic/nowhere", routing=routing)
    assert (response.status_code, response.json()) == (status, body)


def test_on_the_rest_host_a_route_needs_its_gateway(start_gateway: StartGateway) -> None:
    ask = start_gateway(routes=route(FLASH))
    other = {"cf-aig-gateway-id": "default"}
    assert ask_route(ask, routing="unified", headers=other).status_code == 404


def test_without_configured_routes_every_name_is_a_route(start_gateway: StartGateway) -> None:
    response = ask_route(start_gateway(), model="dynamic/anything")
    assert step_headers(response) == ("0", "deepseek", "deepseek-flash")


def test_a_route_streams(start_gateway: StartGateway) -> None:
    ask = start_gateway(routes=route(PRO))
    ask.gateway.reply(content="one two")
    assert content_of(ask.stream(model="dynamic/support", routing="compat")) == "one two"
