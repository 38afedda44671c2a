"""The known failures of Cloudflare's AI Gateway and of DeepSeek by name, for `fail_next`.

Each has its documented or observed status, body and headers, whichever endpoint the request is sent
to; where a code or a text is not published, it has the most likely one.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace

from langchain_cf_deepseek.local.faults.error_bodies import (
    GATEWAY_ERRORS,
    NO_ROUTE,
    deepseek_body,
    rest_body,
)
from langchain_cf_deepseek.local.faults.specification import (
    GATEWAY_HEADERS,
    Fault,
    access_refusal,
    compat_error,
    deepseek_error,
    edge_error,
    edge_problem,
    gateway_error,
    policy_error,
    rest_error,
    workers_ai_error,
)


@dataclass(frozen=True)
class Failure:
    """One known failure."""

    meaning: str
    """When it happens."""
    fault: Fault
    """Its response."""


def _gateway(code: int, status: int | None = None, *, old: bool = False, **details: str) -> Fault:
    default_status, text = GATEWAY_ERRORS[code]
    return gateway_error(code, status or default_status, text.format(**details), old=old)


def _before_gateway(fault: Fault) -> Fault:
    """Remove the gateway's headers: the failure happens before the gateway is reached."""
    return replace(fault, headers=dict.fromkeys(GATEWAY_HEADERS))


def _workers_overflow(code: int) -> Fault:
    text = "The estimated number of tokens (2000000) exceeded this model context window limit"
    return workers_ai_error(code, 413, f"{text} (131072).")


_RULE = "rule 'local' (cost limit 1 per 60s, fixed) for all requests"
_HTML = "<!DOCTYPE html><html><head><title>Worker threw exception</title></head></html>"

_LOGIN = "https://team.cloudflareaccess.com/cdn-cgi/access/login/ai.example.com"
_SIGN_IN = (
    "<!DOCTYPE html><html><head><title>Sign in \u30fb Cloudflare Access</title></head></html>"
)
_METADATA = 'resource_metadata="https://ai.example.com/.well-known/oauth-protected-resource"'
_PAYMENT = base64.b64encode(b'{"x402Version":2,"error":"PAYMENT-SIGNATURE is missing"}').decode()

FAILURES: Mapping[str, Failure] = {
    # Addresses and models.
    "gateway-unknown": Failure("the account has no such gateway", _before_gateway(_gateway(2001))),
    "provider-unknown": Failure("no provider has that name", _gateway(2008)),
    "compat-model": Failure("the model on compat has no provider prefix", _gateway(2019)),
    "no-route": Failure(
        "the REST host has no such path, or the account id is invalid",
        _before_gateway(
            Fault(
                status=404,
                body=rest_body((7003, "Could not route to /client/v4/accounts/x/ai/v1"), NO_ROUTE),
                origin="gateway",
            )
        ),
    ),
    "model-unknown": Failure(
        "the catalogue has no such model", rest_error(7003, 404, "Model not found: deepseek/x")
    ),
    "model-schema": Failure(
        "a field violates the catalogue's schema of the model",
        rest_error(7003, 400, "Model execution failed (User Input Error): field 'temperature'"),
    ),
    "route-unknown": Failure(
        "the gateway has no such dynamic route", _gateway(7003, model="dynamic/x")
    ),
    "no-candidate": Failure(
        "none of the Auto Router's models is allowed",
        gateway_error(2008, 400, "No candidate model is allowed"),
    ),
    # Credentials.
    "gateway-token": Failure(
        "the gateway token is missing, wrong or of another account", _before_gateway(_gateway(2009))
    ),
    "cloudflare-token": Failure(
        "the API token is invalid, or lacks the permission Workers AI Read",
        _before_gateway(rest_error(10000, 401, "Authentication error")),
    ),
    "cloudflare-token-unread": Failure(
        "the API token is malformed",
        _before_gateway(rest_error(9106, 400, "Missing Authorization headers")),
    ),
    "byok-alias-unknown": Failure(
        "no key is stored under that alias", _gateway(2040, alias="x", known="default")
    ),
    "own-key-required": Failure(
        "Cloudflare would have to pay the provider, which is forbidden",
        gateway_error(2001, 400, "A provider key of your own is required"),
    ),
    "stored-key-rejected": Failure(
        "the provider rejected the stored key", rest_error(2009, 401, "Unauthorized")
    ),
    "cloudflares-key-rejected": Failure(
        "the provider rejected Cloudflare's own key",
        rest_error(2005, 503, "Failed to get response from provider"),
    ),
    "deepseek-key": Failure(
        "DeepSeek rejected the key",
        deepseek_error(
            401, "Authentication Fails, Your api key: ****0000 is invalid", "authentication_error"
        ),
    ),
    "deepseek-key-missing": Failure(
        "no key reached DeepSeek", Fault(status=401, body="Authentication Fails (governor)")
    ),
    # Money.
    "no-credits": Failure(
        "the prepaid credits are used up", rest_error(2021, 402, "Insufficient credits")
    ),
    "no-credits-native": Failure("the same, from the gateway host", _gateway(2021)),
    "no-credits-compat": Failure(
        "the same, from the compat endpoint", compat_error(402, GATEWAY_ERRORS[2021][1])
    ),
    "not-sold": Failure(
        "Cloudflare does not sell the model",
        rest_error(2021, 402, "This model is not available via unified billing. Please use BYOK."),
    ),
    "payment-required": Failure(
        "automated clients have to pay for the request",
        Fault(status=402, headers={"PAYMENT-REQUIRED": _PAYMENT}, origin="gateway"),
    ),
    "deepseek-balance": Failure(
        "the DeepSeek account is empty",
        deepseek_error(402, "Insufficient Balance", "unknown_error"),
    ),
    "spend-limit": Failure("a spend limit is used up", _gateway(2045, rule=_RULE)),
    "spend-limit-2041": Failure("the same, as of September 2026", _gateway(2041, rule=_RULE)),
    "policy-budget": Failure(
        "a policy's budget is used up",
        policy_error(429, "Spending limit exceeded", bucket="local", spent=1000.42, limit=1000),
    ),
    "workers-ai-allocation": Failure(
        "the day's free allocation of Workers AI is used up",
        workers_ai_error(4006, 429, "you have used up your daily free allocation"),
    ),
    "workers-ai-limit": Failure(
        "the account's limit on Workers AI is reached",
        workers_ai_error(3036, 429, "Account limited"),
    ),
    # Temporary limits.
    "rate-limit": Failure("the gateway's rate limit is reached", _gateway(2003)),
    "wholesale-rate": Failure(
        "200 billed requests within a minute",
        gateway_error(2021, 402, "Wholesale rate limit exceeded for this gateway"),
    ),
    "wholesale-rate-2018": Failure(
        "the same, with another code", gateway_error(2018, 429, "Wholesale Rate limited")
    ),
    "wholesale-rate-7003": Failure(
        "the same on the REST host", rest_error(7003, 429, "Wholesale Rate limited")
    ),
    "workers-ai-capacity": Failure(
        "Workers AI is busy", workers_ai_error(3040, 429, "Capacity temporarily exceeded")
    ),
    "deepseek-rate": Failure(
        "too many concurrent requests to DeepSeek",
        deepseek_error(429, "Too many requests. Your concurrency is 26", "rate_limit_error"),
    ),
    # Content.
    "policy": Failure(
        "a policy blocks the request, or no policy allows it",
        policy_error(403, "Access denied by policy"),
    ),
    "guardrail-prompt": Failure("a guardrail blocked the prompt", _gateway(2016)),
    "guardrail-response": Failure("a guardrail blocked the response", _gateway(2017)),
    "guardrail-rest": Failure(
        "a guardrail blocked the prompt or the response, on the REST host",
        rest_error(2017, 422, "Blocked due to security configurations"),
    ),
    "guardrail-no-credits": Failure(
        "the guardrail scanner needs credits",
        gateway_error(2021, 402, "Insufficient credits to run guardrails"),
    ),
    "guardrail-down": Failure("the guardrail scanner is unavailable", _gateway(7013)),
    "dlp-request": Failure("DLP blocked the request", _gateway(2029)),
    "dlp-request-424": Failure("the same, with the other status", _gateway(2029, 424)),
    "dlp-response": Failure("DLP blocked the response", _gateway(2030)),
    "dlp-response-424": Failure("the same, with the other status", _gateway(2030, 424)),
    # Provider failures.
    "provider-failed": Failure("the provider did not respond", _gateway(2005)),
    "provider-failed-502": Failure("the same, with the other status", _gateway(2005, 502)),
    "provider-failed-old": Failure(
        "the same, in the shape up to the middle of 2026", _gateway(2005, old=True)
    ),
    "route-timeout": Failure(
        "a step of a dynamic route timed out", Fault(status=504, origin="unreachable")
    ),
    "deepseek-busy": Failure(
        "DeepSeek is overloaded",
        deepseek_error(503, "Service is too busy.", "service_unavailable_error"),
    ),
    "workers-ai-timeout": Failure("Workers AI timed out", workers_ai_error(3007, 408, "timed out")),
    "workers-ai-model": Failure(
        "Workers AI has no such model", workers_ai_error(5007, 400, "No such model @cf/x")
    ),
    "too-large": Failure("the request is too large", Fault(status=413, origin="gateway")),
    # Context overflows.
    "context-overflow-deepseek": Failure(
        "the prompt is longer than the context",
        deepseek_error(
            400, "This model's maximum context length is 1048576 tokens. However, you requested 2M"
        ),
    ),
    "context-overflow-openai": Failure(
        "the same, identified only by the code",
        Fault(status=400, body=deepseek_body("Too much", code="context_length_exceeded")),
    ),
    "context-overflow-anthropic": Failure(
        "the same, in the words of other providers",
        Fault(status=400, body=deepseek_body("prompt is too long: 200001 tokens > 200000 maximum")),
    ),
    "context-overflow-workers-ai": Failure("the same, from Workers AI", _workers_overflow(5021)),
    "context-overflow-workers-ai-3010": Failure(
        "the same, with the other code", _workers_overflow(3010)
    ),
    "context-overflow-llama-cpp": Failure(
        "the same, from llama.cpp",
        Fault(
            status=400,
            body={
                "error": {
                    "code": 400,
                    "message": "the request is larger than the server allows",
                    "type": "exceed_context_size_error",
                }
            },
        ),
    ),
    # Failures before the gateway is reached.
    "edge-block": Failure("the firewall blocked the client", edge_error()),
    "edge-page": Failure("a Worker failed", edge_error(500, _HTML, "text/html")),
    "edge-problem": Failure(
        "the edge limits the client's request rate",
        edge_problem(
            429,
            1015,
            "You are being rate limited",
            "The owner of the domain limits the request rate.",
            retryable=True,
            retry_after=30,
        ),
    ),
    "edge-problem-1010": Failure(
        "the edge blocks this kind of client",
        edge_problem(403, 1010, "Access denied", "The owner of the domain blocks this client."),
    ),
    "edge-problem-1020": Failure(
        "a rule of the firewall blocks the request",
        edge_problem(403, 1020, "Access denied", "A firewall rule blocked this request."),
    ),
    "edge-problem-404": Failure(
        "the edge has nothing at this address",
        edge_problem(404, 404, "Not found", "Nothing is at this address."),
    ),
    "edge-problem-502": Failure(
        "the origin sent the edge an invalid response",
        edge_problem(502, 502, "Bad gateway", "The origin sent no response.", retryable=True),
    ),
    "edge-problem-524": Failure(
        "the origin did not respond to the edge in time",
        edge_problem(
            524, 524, "A timeout occurred", "The origin took too long to respond.", retryable=True
        ),
    ),
    "edge-problem-530": Failure(
        "the edge cannot reach the origin",
        edge_problem(530, 1033, "Tunnel error", "The tunnel is not connected.", retryable=True),
    ),
    "access-login": Failure(
        "Cloudflare Access redirects to its login page", access_refusal(302, location=_LOGIN)
    ),
    "access-token": Failure(
        "Cloudflare Access requires a login, with a challenge",
        access_refusal(401, www_authenticate=f"Cloudflare-Access {_METADATA}"),
    ),
    "access-invalid-token": Failure(
        "Cloudflare Access rejected the token",
        access_refusal(
            401, {"error": "invalid_token"}, www_authenticate=f"Bearer realm=OAuth, {_METADATA}"
        ),
    ),
    "access-service-token": Failure(
        "Cloudflare Access requires a service token",
        access_refusal(403, cf_access_error="missing_service_token"),
    ),
    "access-page": Failure(
        "Cloudflare Access responds with its login page", access_refusal(200, _SIGN_IN)
    ),
}
"""Name -> failure, grouped by what a caller can do about it."""


def failure(name: str) -> Fault:
    """Return the fault of a known failure.

    Raises:
        ValueError: No failure has that name; the message lists them.
    """
    if name not in FAILURES:
        msg = f"{name!r} is not one of the known failures: {', '.join(FAILURES)}."
        raise ValueError(msg)
    return FAILURES[name].fault
