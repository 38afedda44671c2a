"""The shapes in which Cloudflare and DeepSeek report an error, and the texts known for them."""

from __future__ import annotations

from typing import Any

from langchain_cf_deepseek.local.exchange import (
    DEEPSEEK_ERROR_TYPE,
    Call,
    Origin,
    RefusedError,
    json_answer,
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
"""Code -> HTTP status and text, for the errors that this gateway raises on its own account."""

UPSTREAM_FAILED = 2005
BAD_TOKEN = (10000, "Authentication error")
NO_ROUTE = (7000, "No route for that URI")


def gateway_body(code: int, status: int, message: str, *, old: bool = False) -> dict[str, Any]:
    """Make an error of the gateway host: the faults are an array in `error`.

    Args:
        code: Cloudflare's number, 2009 for instance.
        status: The HTTP status, repeated in the body.
        message: The text.
        old: Leave out the keys that came in the second half of 2026.
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
    """Make an error of the REST host: the faults are an array in `errors`."""
    return {
        "result": None,
        "success": False,
        "errors": [{"code": code, "message": message} for code, message in errors],
        "messages": [],
    }


def compat_body(message: str) -> dict[str, Any]:
    """Make an error of the compat endpoint, which looks like OpenAI's."""
    return {"error": {"message": message, "type": "gateway_error", "code": None}}


def policy_body(message: str, **facts: Any) -> dict[str, Any]:
    """Make a rejection by a gateway policy: `error` is an object without a code."""
    return {"success": False, "error": {"message": message, **facts}}


def workers_ai_body(code: int, status: int, message: str) -> dict[str, Any]:
    """Make an error of Workers AI, which has no `error` key at all."""
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
    """Make an error of DeepSeek. Its `code` is `invalid_request_error` for nearly everything."""
    return {"error": {"message": message, "type": type_, "param": None, "code": code}}


def origin_of(code: int) -> Origin:
    """Tell whether a code of the gateway means that the provider did not answer."""
    return "unreachable" if code == UPSTREAM_FAILED else "gateway"


def refusal(
    call: Call, code: int, message: str | None = None, *, status: int | None = None, **facts: object
) -> RefusedError:
    """Refuse with one of the gateway's codes, in the shape of the host that was called.

    Args:
        call: The call to refuse.
        code: One of `GATEWAY_ERRORS`.
        message: Instead of the text that belongs to the code.
        status: Instead of the status that belongs to the code.
        **facts: What the text leaves open.
    """
    usual_status, text = GATEWAY_ERRORS[code]
    status = status or usual_status
    message = message or text.format(**facts)
    body = rest_body((code, message)) if call.on_rest_host else gateway_body(code, status, message)
    answer = json_answer(status, body)
    answer.origin = origin_of(code)
    return RefusedError(answer)


def rest_refusal(status: int, *errors: tuple[int, str]) -> RefusedError:
    """Refuse as the REST host does."""
    answer = json_answer(status, rest_body(*errors))
    answer.origin = "gateway"
    return RefusedError(answer)


def deepseek_refusal(
    status: int, message: str, type_: str = "invalid_request_error"
) -> RefusedError:
    """Refuse as DeepSeek does."""
    return RefusedError(json_answer(status, deepseek_body(message, type_), DEEPSEEK_ERROR_TYPE))
