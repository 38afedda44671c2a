"""Every failure that Cloudflare and DeepSeek document raises the right class, with a hint."""

import copy
import pickle
from typing import Any

import openai
import pytest
from langchain_core import exceptions as core

from langchain_cf_deepseek import errors
from langchain_cf_deepseek.local import (
    FAILURES,
    Fault,
    LocalGateway,
    deepseek_error,
    edge_error,
    gateway_error,
    policy_error,
    rest_error,
)
from tests.conftest import PATHS, Ask

# The classes of the SDK and of LangChain that each class belongs to.
FAMILIES = {
    "Authentication": (openai.AuthenticationError, core.ModelAuthenticationError),
    "PermissionDenied": (openai.PermissionDeniedError, core.ModelPermissionDeniedError),
    "InvalidRequest": (openai.BadRequestError, core.ModelInvalidRequestError),
    "ContextOverflow": (openai.BadRequestError, core.ContextOverflowError),
    "ModelNotFound": (openai.NotFoundError, core.ModelNotFoundError),
    "InsufficientFunds": (openai.APIStatusError, core.ModelError),
    "RateLimit": (openai.RateLimitError, core.ModelRateLimitError),
    "SpendLimit": (openai.RateLimitError, core.ModelRateLimitError),
    "ContentBlocked": (openai.APIStatusError, core.ModelError),
    "API": (openai.InternalServerError, core.ModelAPIError),
    "Timeout": (openai.APITimeoutError, core.ModelTimeoutError),
}

RETRYABLE = {"RateLimit", "API", "Timeout"}

DEEPSEEK_WORD = "invalid_request_error"

TOO_LONG = "context_length_exceeded"

ACCESS = "`CF-Access-Client-Id` and `CF-Access-Client-Secret` in `default_headers`"

# What each known failure raises: class, origin, code, what the hint must name.
EXPECTED: dict[str, tuple[str, str, Any, str]] = {
    "gateway-unknown": ("InvalidRequest", "gateway", 2001, "CLOUDFLARE_GATEWAY_ID"),
    "provider-unknown": ("InvalidRequest", "gateway", 2008, "`model`"),
    "compat-model": ("InvalidRequest", "gateway", 2019, "`model`"),
    "no-route": ("InvalidRequest", "gateway", 7003, "CLOUDFLARE_ACCOUNT_ID"),
    "model-unknown": ("ModelNotFound", "gateway", 7003, "catalogue"),
    "model-schema": ("InvalidRequest", "gateway", 7003, ""),
    "route-unknown": ("ModelNotFound", "gateway", 7003, "`model`"),
    "no-candidate": ("InvalidRequest", "gateway", 2008, "`allowed_models`"),
    "gateway-token": ("Authentication", "gateway", 2009, "CF_AIG_TOKEN"),
    "cloudflare-token": ("Authentication", "gateway", 10000, "CLOUDFLARE_API_TOKEN"),
    "cloudflare-token-unread": ("Authentication", "gateway", 9106, "CLOUDFLARE_API_TOKEN"),
    "byok-alias-unknown": ("InvalidRequest", "gateway", 2040, "byok_alias"),
    "own-key-required": ("InvalidRequest", "gateway", 2001, "no key to use"),
    "stored-key-rejected": ("Authentication", "gateway", 2009, "CF_AIG_TOKEN"),
    "cloudflares-key-rejected": ("API", "gateway", 2005, "Try again"),
    "deepseek-key": ("Authentication", "deepseek", DEEPSEEK_WORD, "DEEPSEEK_API_KEY"),
    "deepseek-key-missing": ("Authentication", "deepseek", None, "DEEPSEEK_API_KEY"),
    "no-credits": ("InsufficientFunds", "gateway", 2021, "credits"),
    "no-credits-native": ("InsufficientFunds", "gateway", 2021, "credits"),
    "no-credits-compat": ("InsufficientFunds", "gateway", None, "credits"),
    "not-sold": ("InsufficientFunds", "gateway", 2021, "DEEPSEEK_API_KEY"),
    "payment-required": ("InsufficientFunds", "gateway", None, "payments"),
    "deepseek-balance": ("InsufficientFunds", "deepseek", DEEPSEEK_WORD, "balance"),
    "spend-limit": ("SpendLimit", "gateway", 2045, "spend limit"),
    "spend-limit-2041": ("SpendLimit", "gateway", 2041, "spend limit"),
    "policy-budget": ("SpendLimit", "gateway", None, "limit"),
    "workers-ai-allocation": ("SpendLimit", "gateway", 4006, "daily allocation"),
    "workers-ai-limit": ("SpendLimit", "gateway", 3036, "daily allocation"),
    "rate-limit": ("RateLimit", "gateway", 2003, "rate limit"),
    "wholesale-rate": ("RateLimit", "gateway", 2021, "Try again"),
    "wholesale-rate-2018": ("RateLimit", "gateway", 2018, "Try again"),
    "wholesale-rate-7003": ("RateLimit", "gateway", 7003, "Try again"),
    "workers-ai-capacity": ("RateLimit", "gateway", 3040, "Try again"),
    "deepseek-rate": ("RateLimit", "deepseek", DEEPSEEK_WORD, "at the same time"),
    "policy": ("PermissionDenied", "gateway", None, "policy"),
    "guardrail-prompt": ("ContentBlocked", "gateway", 2016, "blocked the prompt"),
    "guardrail-response": ("ContentBlocked", "gateway", 2017, "blocked the response"),
    "guardrail-rest": ("ContentBlocked", "gateway", 2017, "prompt or the response"),
    "guardrail-no-credits": ("InsufficientFunds", "gateway", 2021, "credits"),
    "guardrail-down": ("API", "gateway", 7013, "Try again"),
    "dlp-request": ("ContentBlocked", "gateway", 2029, "blocked the prompt"),
    "dlp-request-424": ("ContentBlocked", "gateway", 2029, "blocked the prompt"),
    "dlp-response": ("ContentBlocked", "gateway", 2030, "blocked the response"),
    "dlp-response-424": ("ContentBlocked", "gateway", 2030, "blocked the response"),
    "provider-failed": ("API", "gateway", 2005, "Try again"),
    "provider-failed-502": ("API", "gateway", 2005, "Try again"),
    "provider-failed-old": ("API", "gateway", 2005, "Try again"),
    "route-timeout": ("API", "deepseek", None, "Try again"),
    "deepseek-busy": ("API", "deepseek", DEEPSEEK_WORD, "Try again"),
    "workers-ai-timeout": ("Timeout", "gateway", 3007, "Try again"),
    "workers-ai-model": ("ModelNotFound", "gateway", 5007, "`model`"),
    "too-large": ("InvalidRequest", "deepseek", None, ""),
    "context-overflow-deepseek": ("ContextOverflow", "deepseek", DEEPSEEK_WORD, "Shorten"),
    "context-overflow-openai": ("ContextOverflow", "deepseek", TOO_LONG, "Shorten"),
    "context-overflow-anthropic": ("ContextOverflow", "deepseek", DEEPSEEK_WORD, "Shorten"),
    "context-overflow-workers-ai": ("ContextOverflow", "gateway", 5021, "Shorten"),
    "context-overflow-workers-ai-3010": ("ContextOverflow", "gateway", 3010, "Shorten"),
    "context-overflow-llama-cpp": ("ContextOverflow", "deepseek", 400, "Shorten"),
    "edge-block": ("PermissionDenied", "cloudflare-edge", 1010, "`User-Agent`"),
    "edge-page": ("API", "cloudflare-edge", None, "Try again"),
    "edge-problem": ("RateLimit", "cloudflare-edge", 1015, "fewer requests"),
    "edge-problem-1010": ("PermissionDenied", "cloudflare-edge", 1010, "`User-Agent`"),
    "edge-problem-1020": ("PermissionDenied", "cloudflare-edge", 1020, "owner"),
    "edge-problem-404": ("ModelNotFound", "cloudflare-edge", 404, "`base_url`"),
    "edge-problem-502": ("API", "cloudflare-edge", 502, "Try again"),
    "edge-problem-524": ("API", "cloudflare-edge", 524, "Try again"),
    "edge-problem-530": ("API", "cloudflare-edge", 1033, "Try again"),
    "access-login": ("Authentication", "cloudflare-edge", None, ACCESS),
    "access-token": ("Authentication", "cloudflare-edge", None, ACCESS),
    "access-invalid-token": ("Authentication", "cloudflare-edge", "invalid_token", ACCESS),
    "access-service-token": (
        "PermissionDenied",
        "cloudflare-edge",
        "missing_service_token",
        ACCESS,
    ),
    "access-page": ("Authentication", "cloudflare-edge", None, ACCESS),
}

# Further errors of DeepSeek, and responses that are no completion: fault, then as above.
MORE: dict[str, tuple[Fault, str, str, Any, str]] = {
    "no such URI": (
        rest_error(7000, 400, "No route for that URI"),
        "InvalidRequest",
        "gateway",
        7000,
        "CLOUDFLARE_ACCOUNT_ID",
    ),
    "edge page": (
        edge_error(530, "<!DOCTYPE html><title>Origin is\nunreachable</title>", "text/html"),
        "API",
        "cloudflare-edge",
        None,
        "Try again",
    ),
    "model unknown to DeepSeek": (
        deepseek_error(400, "The supported API model names are a, b, but you passed x."),
        "ModelNotFound",
        "deepseek",
        DEEPSEEK_WORD,
        "`model`",
    ),
    "path unknown to DeepSeek": (
        Fault(status=404),
        "ModelNotFound",
        "deepseek",
        None,
        "base_url",
    ),
    "moderation": (
        deepseek_error(400, "Content Exists Risk"),
        "ContentBlocked",
        "deepseek",
        DEEPSEEK_WORD,
        "moderation",
    ),
    "context overflow": (
        deepseek_error(
            400, "This model's maximum context length is 1048576 tokens. However, you requested 2M"
        ),
        "ContextOverflow",
        "deepseek",
        DEEPSEEK_WORD,
        "Shorten",
    ),
    "validation": (
        deepseek_error(400, "Invalid temperature value"),
        "InvalidRequest",
        "deepseek",
        DEEPSEEK_WORD,
        "",
    ),
    "wrong media type": (
        Fault(status=415, body="Expected JSON"),
        "InvalidRequest",
        "deepseek",
        None,
        "",
    ),
    "unprocessable": (
        deepseek_error(422, "invalid parameters"),
        "InvalidRequest",
        "deepseek",
        DEEPSEEK_WORD,
        "",
    ),
    "redirect": (
        Fault(status=307, headers={"location": "https://elsewhere.example.com/"}),
        "InvalidRequest",
        "deepseek",
        None,
        "base_url",
    ),
    "failure with a status of success": (
        Fault(body={"success": False, "errors": [{"code": 2005, "message": "no"}], "result": None}),
        "API",
        "gateway",
        2005,
        "Try again",
    ),
    "gateway error with a status of success": (
        Fault(body={"error": [{"code": 2009, "message": "Unauthorized"}], "httpCode": 401}),
        "Authentication",
        "gateway",
        2009,
        "CF_AIG_TOKEN",
    ),
    "HTML with a status of success": (
        Fault(body="<html>login</html>", content_type="text/html"),
        "API",
        "deepseek",
        None,
        "",
    ),
    "null": (Fault(body="null", content_type="application/json"), "API", "deepseek", None, ""),
    "no body": (Fault(body=""), "API", "deepseek", None, ""),
    "JSON of another kind": (Fault(body={"hello": 1}), "API", "deepseek", None, ""),
}


CASES = MORE | {name: (FAILURES[name].fault, *row) for name, row in EXPECTED.items()}


def test_failure_table_has_a_row_for_every_known_failure() -> None:
    assert list(EXPECTED) == list(FAILURES)


@pytest.mark.parametrize("case", CASES)
def test_failure_raises_its_error_class(gw: LocalGateway, ask: Ask, case: str) -> None:
    fault, kind, origin, code, hint = CASES[case]
    gw.fault(fault)
    with pytest.raises(errors.CFDeepSeekError) as caught:
        ask(gw.chat_model(max_retries=0), "Hello")
    error = caught.value
    sdk, langchain = FAMILIES[kind]
    assert type(error).__name__ == f"CFDeepSeek{kind}Error"
    assert isinstance(error, sdk)
    assert isinstance(error, langchain)
    assert error.is_retryable is (kind in RETRYABLE)
    assert (error.origin, error.code, error.status_code) == (origin, code, fault.status)
    assert hint in error.hint
    assert error.hint in str(error)
    assert ("log_id" in error.gateway) is ("cf-aig-log-id" not in fault.headers)
    assert error.gateway.get("log_id", "") in str(error)
    for secret in (gw.api_key, gw.gateway_token):
        assert secret not in str(error) + repr(error.__dict__)
        assert secret not in repr(list(error.request.headers.raw))


def test_origin_on_unified_routing_is_cloudflares_api(gw: LocalGateway, ask: Ask) -> None:
    with pytest.raises(errors.CFDeepSeekAuthenticationError) as caught:
        ask(gw.chat_model(routing="unified", cloudflare_api_token="wrong"), "Hello")
    assert str(caught.value) == (
        "Cloudflare's API (status 401, code 10000): Authentication error. Set "
        "`cloudflare_api_token` (CLOUDFLARE_API_TOKEN) to a token with the permission Workers AI "
        "Read."
    )
    assert caught.value.origin == "cloudflare-api"


@pytest.mark.parametrize(
    ("credentials", "variable"),
    [
        ({"gateway_token": "wrong"}, "CF_AIG_TOKEN"),
        ({"api_key": "wrong"}, "DEEPSEEK_API_KEY"),
        ({"api_key": None}, "DEEPSEEK_API_KEY"),
    ],
)
def test_status_401_names_the_credential_that_failed(
    gw: LocalGateway, ask: Ask, credentials: dict[str, Any], variable: str
) -> None:
    with pytest.raises(errors.CFDeepSeekAuthenticationError) as caught:
        ask(gw.chat_model(**credentials), "Hello")
    assert variable in caught.value.hint


def test_stored_key_that_is_rejected_is_distinguished_on_unified(
    gw: LocalGateway, ask: Ask
) -> None:
    gw.fault(gateway_error(2009, 401, "Provider rejected the credentials"))
    with pytest.raises(errors.CFDeepSeekAuthenticationError, match="stored in the gateway"):
        ask(gw.chat_model(routing="unified"), "Hello")


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (
            {"error": {"message": "Insufficient Balance", "type": "unknown_error"}},
            "InsufficientFunds",
        ),
        ({"error": {"message": "busy", "type": "service_unavailable_error"}}, "API"),
        ({"error": {"message": "slow down", "type": "rate_limit_error"}}, "RateLimit"),
        ({"error": {"message": "who?", "type": "authentication_error"}}, "Authentication"),
        ({"error": {"message": "Content Exists Risk"}}, "ContentBlocked"),
        ({"success": False, "error": [{"code": 2017, "message": "blocked"}]}, "ContentBlocked"),
        ({"error": "text only"}, "API"),
    ],
)
@pytest.mark.parametrize("path", ["stream", "astream"])
def test_error_inside_a_stream_raises_its_class_and_keeps_the_text(
    gw: LocalGateway, path: str, event: dict[str, Any], kind: str
) -> None:
    gw.reply(content="one two three four", reasoning="r")
    gw.fault(then="error_event", after_chunks=6, body=event)
    with pytest.raises(errors.CFDeepSeekError) as caught:
        PATHS[path](gw.chat_model(), "Hello")
    assert type(caught.value).__name__ == f"CFDeepSeek{kind}Error"
    assert "one two three four".startswith(caught.value.partial)
    assert caught.value.partial
    assert "log_id" in caught.value.gateway


def test_credential_echoed_by_a_service_is_masked(gw: LocalGateway, ask: Ask) -> None:
    gw.fault(deepseek_error(401, f"Your api key: {gw.api_key} is invalid"))
    with pytest.raises(errors.CFDeepSeekAuthenticationError) as caught:
        ask(gw.chat_model(), "Hello")
    error = caught.value
    assert "Your api key: ********** is invalid" in str(error)
    assert gw.api_key not in repr(error.body) + error.response.text


def test_retry_after_is_an_attribute_of_the_error(gw: LocalGateway, ask: Ask) -> None:
    for value, seconds in (("7", 7.0), ("0.5", 0.5), ("soon", None)):
        gw.fault(status=429, headers={"retry-after": value}, body={"error": {"message": "m"}})
        with pytest.raises(errors.CFDeepSeekRateLimitError) as caught:
            ask(gw.chat_model(max_retries=0), "Hello")
        assert caught.value.retry_after == seconds


def test_retry_after_can_be_a_date(gw: LocalGateway) -> None:
    date = "Fri, 31 Dec 2100 23:59:59 GMT"
    gw.fault(status=503, headers={"retry-after": date})
    with pytest.raises(errors.CFDeepSeekAPIError) as caught:
        gw.chat_model(max_retries=0).invoke("Hello")
    assert (caught.value.retry_after or 0) > 1e9


@pytest.mark.parametrize(
    "fault",
    [
        gateway_error(2005, 400, "Failed to get response from provider"),
        gateway_error(2003, 429, "Rate limited"),
        deepseek_error(503, "Service is too busy."),
    ],
)
def test_transient_failures_are_retried(gw: LocalGateway, ask: Ask, fault: Fault) -> None:
    gw.fault(fault)
    assert ask(gw.chat_model(), "Hello").content
    assert len(gw.requests) == 2


@pytest.mark.parametrize("path", ["invoke", "ainvoke"])
def test_response_body_that_breaks_off_is_requested_again(gw: LocalGateway, path: str) -> None:
    gw.fault(then="reset")
    assert PATHS[path](gw.chat_model(), "Hello").content
    assert len(gw.requests) == 2


@pytest.mark.parametrize(
    "fault",
    [
        gateway_error(2045, 429, "Spend limit exceeded"),
        policy_error(429, "Spending limit exceeded"),
        rest_error(2021, 402, "Insufficient credits"),
        gateway_error(2016, 424, "Prompt blocked"),
        gateway_error(2009, 401, "Unauthorized"),
        deepseek_error(400, "Invalid temperature value"),
    ],
)
def test_permanent_failures_are_not_retried(gw: LocalGateway, ask: Ask, fault: Fault) -> None:
    gw.fault(fault)
    with pytest.raises(errors.CFDeepSeekError):
        ask(gw.chat_model(), "Hello")
    assert len(gw.requests) == 1


def test_retries_left_to_the_gateway_are_not_multiplied(gw: LocalGateway, ask: Ask) -> None:
    gw.fault(status=503, times=3)
    with pytest.raises(errors.CFDeepSeekAPIError):
        ask(gw.chat_model(gateway={"max_attempts": 3}), "Hello")
    assert (len(gw.requests), gw.upstream_calls) == (1, 3)
    assert gw.requests[0].headers["cf-aig-max-attempts"] == "3"


def test_unreachable_host_is_a_connection_error(ask: Ask) -> None:
    with LocalGateway() as gone:
        llm = gone.chat_model(max_retries=0)
    with pytest.raises(errors.CFDeepSeekConnectionError) as caught:
        ask(llm, "Hello")
    error = caught.value
    assert error.is_retryable
    assert isinstance(error, openai.APIConnectionError)
    assert isinstance(error, core.ModelConnectionError)
    assert (error.origin, error.status_code, error.response) == ("connection", None, None)
    assert str(error).startswith("The connection: 127.0.0.1 could not be reached:")


def test_response_that_does_not_start_in_time_is_a_timeout(gw: LocalGateway, ask: Ask) -> None:
    gw.fault(delay=5)
    with pytest.raises(errors.CFDeepSeekTimeoutError) as caught:
        ask(gw.chat_model(max_retries=0, timeout=(2, 0.2)), "Hello")
    assert caught.value.is_retryable
    assert caught.value.origin == "connection"


def test_errors_survive_pickling_and_copying(gw: LocalGateway) -> None:
    gw.fault(gateway_error(2009, 401, "Unauthorized"))
    with pytest.raises(errors.CFDeepSeekAuthenticationError) as caught:
        gw.chat_model().invoke("Hello")
    error = caught.value
    for other in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(other) is type(error)
        assert str(other) == str(error)
        assert (other.code, other.gateway, other.hint) == (2009, error.gateway, error.hint)
        assert other.response.status_code == 401


def test_fallbacks_and_retries_of_langchain_recognise_the_errors(gw: LocalGateway) -> None:
    gw.fault(gateway_error(2009, 401, "Unauthorized"))
    other = gw.chat_model(routing="unified")
    answer = gw.chat_model().with_fallbacks(
        [other], exceptions_to_handle=(errors.CFDeepSeekAuthenticationError,)
    )
    assert answer.invoke("Hello").content
    gw.reset()
    gw.fault(status=503)
    patient = gw.chat_model(max_retries=0).with_retry(
        retry_if_exception_type=(core.ModelAPIError,), wait_exponential_jitter=False
    )
    assert patient.invoke("Hello").content
    assert len(gw.requests) == 2
