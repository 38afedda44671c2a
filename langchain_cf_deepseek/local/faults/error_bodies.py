"""The error bodies of Cloudflare and DeepSeek, their known texts, and refusals made of them."""

from __future__ import annotations

from typing import Any

from langchain_cf_deepseek.local.exchange import (
    DEEPSEEK_ERROR_TYPE,
    Call,
    Origin,
    RefusedError,
    json_response,
)

GATEWAY_ERRORS: dict[int, tuple[int, str]] = {
    2001: (400, "Please configure AI Gateway in the Cloudflare dashboard"),
    2003: (429, "Rate limited"),
    2005: (400, "Failed to get response from provider"),
    2008: (400, "Invalid provider"),
    2009: (401, "Unauthorized"),
    2016: (424, "Prompt blocked due to security configurations"),
    2017: (424, "Response blocked due to security configurations"),
    2019: (400, "Chat completion bad format"),
    2021: (402, "Insufficient balance; add money to your gateway or use BYOK"),
    2029: (400, "Request content blocked due to DLP policy violations"),
    2030: (400, "Response content blocked due to DLP policy violations"),
    2040: (400, "Provider 'deepseek' has no BYOK credential named '{alias}' (configured: {known})"),
    2041: (429, "Spend limit exceeded: {rule}"),
    2045: (429, "Spend limit exceeded: {rule}"),
    7003: (404, "Model not found: {model}"),
    7013: (503, "Guardrails are unavailable"),
}
"""Code -> HTTP status and text, for the errors that this gateway itself raises."""

UPSTREAM_FAILED = 2005
BAD_TOKEN = (10000, "Authentication error")
NO_ROUTE = (7000, "No route for that URI")


def gateway_body(code: int, status: int, message: str, *, old: bool = False) -> dict[str, Any]:
    """Build an error of the gateway host: `error` is an array.

    Args:
        code: Cloudflare's number, 2009 for instance.
        status: The HTTP status, repeated in the body.
        message: The text.
        old: Leave out the keys that were added in the second half of 2026.
    """
    body: dict[str, Any] = {
        "success": False,
        "result": [],
        "messages": [],
        "error": [{"code": code, "message": message}],
    }
    if old:
        return body
    return {
        **body,
        "name": "AiGatewayError",
        "httpCode": status,
        "internalCode": code,
        "message": message,
        "description": message,
    }


def rest_body(*errors: tuple[int, str]) -> dict[str, Any]:
    """Build an error of the REST host: `errors` is an array."""
    return {
        "result": None,
        "success": False,
        "errors": [{"code": code, "message": message} for code, message in errors],
        "messages": [],
    }


def compat_body(message: str) -> dict[str, Any]:
    """Build an error of the compat endpoint, in OpenAI's shape."""
    return {"error": {"message": message, "type": "gateway_error", "code": None}}


def policy_body(message: str, **details: Any) -> dict[str, Any]:
    """Build a rejection by a gateway policy: `error` is an object without a code."""
    return {"success": False, "error": {"message": message, **details}}


def workers_ai_body(code: int, status: int, message: str) -> dict[str, Any]:
    """Build an error of Workers AI, which has no `error` key."""
    return {
        "name": "AiError",
        "internalCode": code,
        "httpCode": status,
        "message": f"AiError: {message}",
        "description": message,
        "requestId": "00000000-0000-4000-8000-000000000000",
    }


def deepseek_body(
    message: str,
    type_: str = "invalid_request_error",
    code: str = "invalid_request_error",
) -> dict[str, Any]:
    """Build an error of DeepSeek. Its `code` is `invalid_request_error` for nearly everything."""
    return {"error": {"message": message, "type": type_, "param": None, "code": code}}


def origin_of(code: int) -> Origin:
    """Return the origin of a gateway error: one code means that the provider did not respond."""
    return "unreachable" if code == UPSTREAM_FAILED else "gateway"


def refusal(
    call: Call,
    code: int,
    message: str | None = None,
    *,
    status: int | None = None,
    **details: object,
) -> RefusedError:
    """Build a refusal with one of the gateway's codes, in the shape of the host of the request.

    Args:
        call: The call to refuse.
        code: One of `GATEWAY_ERRORS`.
        message: Replaces the text of the code.
        status: Replaces the status of the code.
        **details: Fill the placeholders of the text.
    """
    default_status, text = GATEWAY_ERRORS[code]
    status = status or default_status
    message = message or text.format(**details)
    body = rest_body((code, message)) if call.on_rest_host else gateway_body(code, status, message)
    response = json_response(status, body)
    response.origin = origin_of(code)
    return RefusedError(response)


def rest_refusal(status: int, *errors: tuple[int, str]) -> RefusedError:
    """Build a refusal of the REST host."""
    response = json_response(status, rest_body(*errors))
    response.origin = "gateway"
    return RefusedError(response)


def deepseek_refusal(
    status: int,
    message: str,
    type_: str = "invalid_request_error",
    code: str = "invalid_request_error",
) -> RefusedError:
    """Build a refusal of DeepSeek."""
    body = deepseek_body(message, type_, code)
    return RefusedError(json_response(status, body, DEEPSEEK_ERROR_TYPE))
