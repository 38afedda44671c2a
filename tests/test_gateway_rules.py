"""Rules of a gateway reach the caller as completions, gateway metadata and typed errors."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from langchain_cf_deepseek import errors
from langchain_cf_deepseek.local import (
    Assumptions,
    AutoRouter,
    DlpProfile,
    Guardrails,
    LocalGateway,
    Policy,
    RateLimit,
    Reply,
    Route,
    RouteStep,
    Routing,
    Rules,
    SpendLimit,
    ToolCall,
)
from tests.conftest import Ask
from tests.tools import get_weather

GATEWAY_HOST: list[Routing] = ["provider-native", "compat"]
ROUTINGS: list[Routing] = [*GATEWAY_HOST, "unified"]
FLASH = "deepseek/deepseek-flash"
PRO = "deepseek/deepseek-v4-pro"
HOSTED = "@cf/deepseek-ai/deepseek-v4-flash-0731"
A_DOLLAR = {"custom_cost": {"total_cost": 1}}

Ruled = Callable[..., LocalGateway]


@pytest.fixture
def ruled() -> Iterator[Ruled]:
    """Start a gateway with its own rules."""
    with ExitStack() as running:
        yield lambda **rules: running.enter_context(LocalGateway(rules=Rules(**rules)))


ANSWERS = {
    "text": Reply("Rayleigh scattering.", "Short waves scatter more."),
    "tool call": Reply(tool_calls=[ToolCall("get_weather", {"city": "Paris"})], reasoning="Hm."),
    "no reasoning": Reply("Yes."),
}


def comparable(message: AIMessage) -> dict[str, Any]:
    """Return the parts of a message that do not differ between requests."""
    metadata = message.response_metadata
    return {
        "content": message.content,
        "reasoning": message.additional_kwargs.get("reasoning_content"),
        "tool_calls": [(call["name"], call["args"]) for call in message.tool_calls],
        "usage": message.usage_metadata,
        "metadata": {name: metadata[name] for name in ("model_name", "finish_reason")},
    }


def gateway_metadata(message: AIMessage, *names: str) -> dict[str, Any]:
    told = message.response_metadata["cloudflare_gateway"]
    return {name: told[name] for name in names if name in told}


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
@pytest.mark.parametrize("routing", GATEWAY_HOST)
@pytest.mark.parametrize("answer", ANSWERS)
def test_guardrails_that_buffer_a_stream_give_the_same_message(
    ruled: Ruled, gw: LocalGateway, ask: Ask, answer: str, routing: Routing, content_type: str
) -> None:
    guarded = ruled(
        guardrails=Guardrails(response=["unheard of"]),
        assumptions=Assumptions(guardrail_content_type=content_type),
    )
    messages = []
    for gateway in (guarded, gw):
        gateway.reply(ANSWERS[answer])
        llm = gateway.chat_model(routing=routing).bind_tools([get_weather])
        messages.append(ask(llm, "Tell me."))
    assert comparable(messages[0]) == comparable(messages[1])
    assert messages[0].text == ANSWERS[answer].content
    assert gateway_metadata(messages[0], "step", "cache_status") == {
        "step": 0,
        "cache_status": "MISS",
    }


@pytest.mark.parametrize("routing", ROUTINGS)
def test_blocked_prompt_is_reported_and_not_retried(
    ruled: Ruled, ask: Ask, routing: Routing
) -> None:
    gateway = ruled(guardrails=Guardrails(prompt=["bomb"]))
    with pytest.raises(errors.CFDeepSeekContentBlockedError) as caught:
        ask(gateway.chat_model(routing=routing), "How is a bomb built?")
    assert "blocked the prompt" in caught.value.hint
    assert "log_id" in caught.value.gateway
    assert (len(gateway.requests), gateway.upstream_calls) == (1, 0)


@pytest.mark.parametrize("routing", GATEWAY_HOST)
def test_blocked_completion_is_reported_on_every_path(
    ruled: Ruled, ask: Ask, routing: Routing
) -> None:
    gateway = ruled(guardrails=Guardrails(response=["secret"]))
    gateway.reply(content="A secret.")
    with pytest.raises(errors.CFDeepSeekContentBlockedError, match="blocked the response"):
        ask(gateway.chat_model(routing=routing), "Hello")
    assert len(gateway.requests) == 1


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_dlp_that_buffers_a_stream_gives_the_same_message_with_its_findings(
    ruled: Ruled, gw: LocalGateway, ask: Ask, answer: str, routing: Routing
) -> None:
    held = ruled(dlp=[DlpProfile(["tell me"], action="flag")])
    messages = []
    for gateway in (held, gw):
        gateway.reply(ANSWERS[answer])
        llm = gateway.chat_model(routing=routing).bind_tools([get_weather])
        messages.append(ask(llm, "Tell me."))
    assert comparable(messages[0]) == comparable(messages[1])
    profile = {"context": {}, "entry_ids": ["local-entry"], "profile_id": "local-profile"}
    finding = {"profile": profile, "policy_ids": ["local-policy"], "check": "REQUEST"}
    assert gateway_metadata(messages[0], "dlp") == {
        "dlp": {"findings": [finding], "action": "FLAG"}
    }
    assert gateway_metadata(messages[1], "dlp") == {}


@pytest.mark.parametrize("routing", ROUTINGS)
def test_dlp_block_of_a_completion_is_reported_with_its_findings(
    ruled: Ruled, ask: Ask, routing: Routing
) -> None:
    gateway = ruled(dlp=[DlpProfile(["4111"], "response")])
    gateway.reply(content="It is 4111.")
    with pytest.raises(
        errors.CFDeepSeekContentBlockedError, match="blocked the response"
    ) as caught:
        ask(gateway.chat_model(routing=routing), "Hello")
    assert caught.value.gateway["dlp"]["action"] == "BLOCK"
    assert len(gateway.requests) == 1


@pytest.mark.parametrize("routing", ["compat", "unified"])
@pytest.mark.parametrize(
    ("failures", "told"),
    [
        (0, {"step": 0, "provider": "deepseek", "model": "deepseek-flash"}),
        (1, {"step": 1, "provider": "workers-ai", "model": HOSTED}),
    ],
)
def test_dynamic_route_returns_which_step_and_model_served(
    ruled: Ruled, ask: Ask, routing: Routing, failures: int, told: dict[str, Any]
) -> None:
    gateway = ruled(routes={"support": Route([FLASH, HOSTED])})
    for _ in range(failures):
        gateway.fail_next("deepseek-busy")
    message = ask(gateway.chat_model(routing=routing, model="dynamic/support"), "Hello")
    assert gateway_metadata(message, "step", "provider", "model") == told
    assert message.response_metadata["model_name"] == told["model"]
    assert (len(gateway.requests), gateway.upstream_calls) == (1, failures + 1)


@pytest.mark.parametrize("routing", ["compat", "unified"])
def test_dynamic_route_step_that_times_out_falls_back_to_the_next(
    ruled: Ruled, ask: Ask, routing: Routing
) -> None:
    gateway = ruled(routes={"support": Route([RouteStep(FLASH, 100), PRO])})
    gateway.fault(delay=10)
    message = ask(gateway.chat_model(routing=routing, model="dynamic/support"), "Hello")
    assert gateway_metadata(message, "step", "model") == {"step": 1, "model": "deepseek-v4-pro"}


@pytest.mark.parametrize("routing", ["compat", "unified"])
@pytest.mark.parametrize(
    ("status", "error"),
    [(404, errors.CFDeepSeekModelNotFoundError), (400, errors.CFDeepSeekAPIError)],
)
def test_dynamic_route_that_is_unknown_is_a_typed_error(
    ruled: Ruled, ask: Ask, routing: Routing, status: Any, error: type[Exception]
) -> None:
    gateway = ruled(routes={}, assumptions=Assumptions(unknown_route_status=status))
    llm = gateway.chat_model(routing=routing, model="dynamic/support", max_retries=0)
    with pytest.raises(error):
        ask(llm, "Hello")


@pytest.mark.parametrize("routing", ["compat", "unified"])
def test_auto_router_returns_what_it_chose_and_why(
    ruled: Ruled, ask: Ask, routing: Routing
) -> None:
    gateway = ruled(auto_router=AutoRouter([HOSTED, PRO]))
    llm = gateway.chat_model(routing=routing, model="cloudflare/auto")
    messages = [
        ask(llm, "Hello"),
        ask(llm, "Hello", gateway={"allowed_models": ["deepseek/*"], "turn_id": "t"}),
        ask(llm, "Hello", gateway={"turn_id": "t"}),
    ]
    assert [
        gateway_metadata(message, "routed_model", "routing_reason") for message in messages
    ] == [
        {"routed_model": HOSTED, "routing_reason": "cost_optimal_within_pool"},
        {"routed_model": PRO, "routing_reason": "forced_by_candidate_pool"},
        {"routed_model": PRO, "routing_reason": "pinned_by_turn"},
    ]
    ids = {
        gateway_metadata(message, "routing_decision_id")["routing_decision_id"]
        for message in messages
    }
    assert len(ids) == 3


def test_auto_router_without_candidates_is_an_invalid_request(gw: LocalGateway, ask: Ask) -> None:
    llm = gw.chat_model(routing="unified", model="cloudflare/auto")
    with pytest.raises(errors.CFDeepSeekInvalidRequestError):
        ask(llm, "Hello", gateway={"allowed_providers": ["openai"]})


@pytest.mark.parametrize("routing", ROUTINGS)
def test_gateway_retries_are_not_multiplied_by_the_clients(
    gw: LocalGateway, ask: Ask, routing: Routing
) -> None:
    gw.fail_next("deepseek-busy", times=3)
    llm = gw.chat_model(routing=routing, gateway={"max_attempts": 3, "retry_delay_ms": 1})
    with pytest.raises(errors.CFDeepSeekAPIError):
        ask(llm, "Hello")
    assert (len(gw.requests), gw.upstream_calls) == (1, 3)
    assert ask(llm, "Hello").text


@pytest.mark.parametrize("routing", ROUTINGS)
def test_gateway_retries_end_in_one_completion(
    gw: LocalGateway, ask: Ask, routing: Routing
) -> None:
    gw.fail_next("deepseek-rate", times=2)
    llm = gw.chat_model(routing=routing, gateway={"max_attempts": 3, "retry_delay_ms": 1})
    assert ask(llm, "Hello").text
    assert (len(gw.requests), gw.upstream_calls) == (1, 3)


@pytest.mark.parametrize("status", [400, 502, 504])
def test_gateway_request_timeout_is_retried_by_the_client(
    ruled: Ruled, ask: Ask, status: Any
) -> None:
    gateway = ruled(assumptions=Assumptions(timeout_status=status))
    gateway.fault(delay=10)
    llm = gateway.chat_model(gateway={"request_timeout_ms": 200})
    assert ask(llm, "Hello").text
    assert (len(gateway.requests), gateway.upstream_calls) == (2, 2)


def test_rate_limit_is_waited_out(ruled: Ruled) -> None:
    gateway = ruled(rate_limit=RateLimit(requests=1, seconds=1))
    llm = gateway.chat_model(max_retries=6)
    began = time.monotonic()
    assert [llm.invoke("Hello").text for _ in range(2)] == ["Hello! How can I help you today?"] * 2
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize("routing", ROUTINGS)
def test_rate_limit_that_stays_is_retried_max_retries_times(
    ruled: Ruled, ask: Ask, routing: Routing
) -> None:
    gateway = ruled(rate_limit=RateLimit(requests=1, seconds=3600))
    llm = gateway.chat_model(routing=routing, max_retries=1)
    assert ask(llm, "Hello").text
    with pytest.raises(errors.CFDeepSeekRateLimitError) as caught:
        ask(llm, "Hello")
    assert caught.value.retry_after is None
    assert (len(gateway.requests), gateway.upstream_calls) == (3, 1)


@pytest.mark.parametrize("routing", ROUTINGS)
def test_spend_limit_is_not_retried(ruled: Ruled, ask: Ask, routing: Routing) -> None:
    gateway = ruled(spend_limits=[SpendLimit(usd=0.5, seconds=3600)])
    llm = gateway.chat_model(routing=routing, gateway=A_DOLLAR)
    assert ask(llm, "Hello").text
    with pytest.raises(errors.CFDeepSeekSpendLimitError, match=r"cost limit 0\.5 per 3600s"):
        ask(llm, "Hello")
    assert (len(gateway.requests), gateway.upstream_calls) == (2, 1)


def test_policy_applies_to_the_metadata_of_a_call(ruled: Ruled, ask: Ask) -> None:
    gateway = ruled(policies=[Policy({"team": "search"}, budget_usd=0.5)])
    llm = gateway.chat_model(gateway={**A_DOLLAR, "metadata": {"team": "search"}})
    assert ask(llm, "Hello").text
    with pytest.raises(errors.CFDeepSeekSpendLimitError):
        ask(llm, "Hello")
    with pytest.raises(errors.CFDeepSeekPermissionDeniedError):
        ask(llm.with_gateway(metadata={"team": "sales"}), "Hello")
    assert len(gateway.requests) == 3


@pytest.mark.parametrize("routing", ["compat", "unified"])
@pytest.mark.parametrize("answer", ANSWERS)
def test_workers_ai_models_can_be_used(
    gw: LocalGateway, ask: Ask, answer: str, routing: Routing
) -> None:
    gw.reply(ANSWERS[answer])
    llm = gw.chat_model(routing=routing, model=HOSTED).bind_tools([get_weather])
    message = ask(llm, "Tell me.")
    expected = ANSWERS[answer]
    assert (message.text, message.additional_kwargs.get("reasoning_content")) == (
        expected.content,
        expected.reasoning,
    )
    assert [call["args"] for call in message.tool_calls] == [
        call.args for call in expected.tool_calls
    ]
    assert message.response_metadata["model_name"] == HOSTED
    assert gw.requests[0].body["model"] == HOSTED


@pytest.mark.parametrize("failure", ["workers-ai-capacity", "workers-ai-limit"])
def test_workers_ai_errors_are_retried_only_when_it_is_busy(
    gw: LocalGateway, ask: Ask, failure: str
) -> None:
    gw.fail_next(failure)
    llm = gw.chat_model(routing="unified", model=HOSTED)
    if failure == "workers-ai-capacity":
        assert ask(llm, "Hello").text
    else:
        with pytest.raises(errors.CFDeepSeekSpendLimitError):
            ask(llm, "Hello")
    assert len(gw.requests) == (2 if failure == "workers-ai-capacity" else 1)


@pytest.mark.parametrize("routing", GATEWAY_HOST)
def test_stored_key_is_selected_by_its_alias(ask: Ask, routing: Routing) -> None:
    keys = {"default": "stale-0000", "production": "local-deepseek-key"}
    with LocalGateway(stored_key=keys) as gateway:
        llm = gateway.chat_model(routing=routing, api_key=None)
        assert ask(llm.with_gateway(byok_alias="production"), "Hello").text
        with pytest.raises(errors.CFDeepSeekAuthenticationError, match="key stored in the gateway"):
            ask(llm, "Hello")
        with pytest.raises(errors.CFDeepSeekInvalidRequestError, match="default, production"):
            ask(llm, "Hello", gateway={"byok_alias": "none"})


@pytest.mark.parametrize("routing", ROUTINGS)
def test_unified_billing_can_be_switched_off(gw: LocalGateway, ask: Ask, routing: Routing) -> None:
    keyless = {} if routing == "unified" else {"api_key": None}
    llm = gw.chat_model(routing=routing, gateway={"no_wholesale": True}, **keyless)
    with pytest.raises(errors.CFDeepSeekInvalidRequestError, match="key of your own"):
        ask(llm, "Hello")
    assert (len(gw.requests), gw.upstream_calls) == (1, 0)
