"""What third-party tracers record of a request: all of it, once, and no credential."""

import time
from dataclasses import replace

import pytest
from langchain_core.runnables import RunnableConfig

from langchain_cf_deepseek import CFDeepSeekError, CFDeepSeekRateLimitError
from langchain_cf_deepseek.local import LocalGateway, Routing, ScriptedCall
from tests.conftest import Ask
from tests.observability.tracing import TracedRequest, Tracer, Tracing

# MLflow warns about type hints of its own when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")

QUESTION = "What is the weather in Paris?"
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def _config(tracing: Tracing) -> RunnableConfig:
    return {"callbacks": list(tracing.callbacks)}


def test_a_completion_is_traced_once_and_completely(
    gw: LocalGateway, tracer: Tracer, tracing: Tracing, ask: Ask, method: str
) -> None:
    # A dynamic route serves a model of another name than the requested one.
    llm = gw.chat_model(model="dynamic/support", routing="compat")
    gw.reply(
        reasoning="A tool can tell.",
        tool_calls=[ScriptedCall("get_weather", {"city": "Paris"})],
        cached_tokens=64,
    )
    began = time.perf_counter()
    message = ask(llm, QUESTION, tools=[TOOL], config=_config(tracing))
    elapsed = time.perf_counter() - began
    usage = message.usage_metadata
    assert usage is not None
    response = TracedRequest(
        provider="deepseek",
        requested_model="dynamic/support",
        served_model="deepseek-flash",
        input_tokens=usage["input_tokens"],
        output_tokens=usage["output_tokens"],
        cached_tokens=64,
        reasoning_tokens=usage["output_token_details"]["reasoning"],
        tool_calls=[("get_weather", {"city": "Paris"})],
        log_id=message.response_metadata["cloudflare_gateway"]["log_id"],
    )
    streams = method in {"stream", "astream"}
    deviations = {**tracer.deviations, **(tracer.stream_deviations if streams else {})}
    traced = tracing.read_requests()
    assert traced == [replace(response, **deviations)]
    assert 0 < traced[0].seconds <= elapsed


def test_a_failed_request_is_traced_once_with_its_error(
    gw: LocalGateway, tracer: Tracer, tracing: Tracing, ask: Ask
) -> None:
    llm = gw.chat_model(model="dynamic/support", routing="compat", max_retries=0)
    gw.fail_next("rate-limit")
    began = time.perf_counter()
    with pytest.raises(CFDeepSeekRateLimitError) as raised:
        ask(llm, QUESTION, config=_config(tracing))
    elapsed = time.perf_counter() - began
    failed = TracedRequest(
        provider="deepseek",
        requested_model="dynamic/support",
        error_class="CFDeepSeekRateLimitError",
        log_id=raised.value.gateway["log_id"],
    )
    traced = tracing.read_requests()
    assert traced == [replace(failed, **tracer.error_deviations)]
    assert 0 < traced[0].seconds <= elapsed


@pytest.mark.parametrize("routing", ["provider-native", "unified", "compat"])
def test_no_credential_is_in_the_export(
    gw: LocalGateway, tracing: Tracing, ask: Ask, routing: Routing
) -> None:
    llm = gw.chat_model(routing=routing, max_retries=0)
    secret = "a-secret-header-value"
    config = _config(tracing)
    ask(llm, QUESTION, config=config, extra_headers={"x-team-key": secret})
    gw.fail_next("deepseek-key")
    with pytest.raises(CFDeepSeekError):
        ask(llm, QUESTION, config=config, extra_headers={"x-team-key": secret})
    assert gw.requests[-1].headers["x-team-key"] == secret
    assert len(tracing.read_requests()) == 2
    export = tracing.read_export().decode(errors="replace")
    assert QUESTION in export
    credentials = [gw.api_key, gw.gateway_token, gw.cloudflare_api_token, secret]
    assert [credential for credential in credentials if credential in export] == []
