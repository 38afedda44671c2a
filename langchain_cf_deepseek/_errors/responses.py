"""Builds the error for a response that reports a failure or is not a valid completion.

Error bodies are parsed in `bodies.py`; which error a failure becomes is decided in `rules.py`.
"""

import base64
import email.utils
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from langchain_cf_deepseek._errors.bodies import (
    FAILURE_STATUSES,
    ErrorReport,
    find_text,
    parse_error_body,
    read_report,
)
from langchain_cf_deepseek._errors.cloudflare_access import read_refusal, sends_service_token
from langchain_cf_deepseek._errors.rules import (
    MACHINE_PAYMENT,
    TRY_AGAIN,
    AccessRefusal,
    Api,
    Failure,
    find_rule,
)
from langchain_cf_deepseek._redaction import (
    extract_and_mask_secrets,
    redact,
    response_without_credentials,
)
from langchain_cf_deepseek.errors import CFDeepSeekError, Origin
from langchain_cf_deepseek.gateway import parse_gateway_headers

ROUTING_EXTENSION = "langchain_cf_deepseek._routing"
"""The extension of an HTTP request that holds its routing."""

API_EXTENSION = "langchain_cf_deepseek._api"
"""The extension of an HTTP request that holds its `Api`."""

_NOT_PARSED = object()


def error_from_response(
    response: Any, *, body: object = _NOT_PARSED, api: Api | None = None
) -> CFDeepSeekError:
    """Return the error that a response reports. Masks the credentials of its request.

    Args:
        response: The HTTP response, its body read unless `body` is given.
        body: The parsed error body: of the response, of an event of its stream, or
            `{"error": ...}` of a choice.
        api: The API of the request; `None`: as the extension of the request says.
    """
    if body is _NOT_PARSED:
        body = parse_error_body(response.content, response.headers)
    secrets = extract_and_mask_secrets(response.request)
    try:
        body = redact(body, secrets)
    except RecursionError:
        body = "JSON that is nested too deeply"
    masked = response_without_credentials(response, body, secrets)
    refusal = read_refusal(masked.status_code, masked.headers, body)
    access: AccessRefusal | None = None
    if refusal is not None:
        has_token = sends_service_token(response.request)
        access = "token rejected" if has_token else "no token"
    report = refusal or _read_payment_terms(masked.headers) or read_report(body)
    extensions = response.request.extensions
    api = api or extensions.get(API_EXTENSION, "chat")
    routing = "unified" if api == "logs" else extensions.get(ROUTING_EXTENSION)
    failure = Failure(
        status=_effective_status(report, masked.status_code),
        origin=_find_origin(report, masked, is_unified=routing == "unified"),
        code=report.code,
        search_text=report.search_text,
        access=access,
        api=api,
    )
    rule = find_rule(failure)
    retry_after = _parse_retry_after(masked.headers)
    error = rule.error(
        report.message or f"HTTP {masked.status_code} without a body",
        origin=failure.origin,
        request=masked.request,
        response=masked,
        body=body,
        code=report.code,
        gateway=parse_gateway_headers(masked.headers),
        retry_after=report.retry_after if retry_after is None else retry_after,
        hint=rule.hint,
    )
    if report.is_retryable is not None:
        error.is_retryable = report.is_retryable
    return error


def build_error(
    error: type[CFDeepSeekError],
    message: str,
    response: Any,
    *,
    origin: Origin = "deepseek",
    hint: str = TRY_AGAIN,
    partial: str = "",
) -> CFDeepSeekError:
    """Build the error for a response that arrived but is incomplete or not a valid completion.

    The error holds no text of the response but `partial`. Masks the credentials of the request.
    """
    secrets = extract_and_mask_secrets(response.request)
    masked = response_without_credentials(response, "", secrets)
    return error(
        # It can quote the response.
        redact(message, secrets),
        origin=origin,
        request=masked.request,
        response=masked,
        gateway=parse_gateway_headers(masked.headers),
        hint=hint,
        partial=partial,
    )


def _read_payment_terms(headers: Mapping[str, str]) -> ErrorReport | None:
    """Return the report of a required machine payment; its terms are base64 in a header.

    https://developers.cloudflare.com/ai-gateway/features/machine-payments/
    """
    if (header := headers.get("payment-required")) is None:
        return None
    try:
        terms = json.loads(base64.b64decode(header, validate=True))
    except (ValueError, RecursionError):
        terms = {}
    reason = find_text(terms)
    message = MACHINE_PAYMENT + (f": {reason}" if reason else "")
    return ErrorReport(message, author="cloudflare", search_text=message)


def _effective_status(report: ErrorReport, status: int) -> int:
    """Return the status that the rules look at: the response's own, unless it means success."""
    if report.http_status:
        return report.http_status
    return status if status in FAILURE_STATUSES else report.status or status


def _find_origin(report: ErrorReport, response: Any, *, is_unified: bool) -> Origin:
    cloudflare: Origin = "cloudflare-api" if is_unified else "gateway"
    if report.author is not None:
        known: dict[str, Origin] = {"edge": "cloudflare-edge", "cloudflare": cloudflare}
        return known.get(report.author, "deepseek")
    # A log id shows that the gateway forwarded the request, so the text is DeepSeek's.
    if "cf-aig-log-id" in response.headers:
        return "deepseek"
    is_from_edge = (
        report.is_page and "cf-ray" in response.headers and response.status_code in FAILURE_STATUSES
    )
    return "cloudflare-edge" if is_from_edge else cloudflare


def _parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of `Retry-After`, in either of its two forms."""
    value = headers.get("retry-after")
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", value):
        return float(value)
    date = email.utils.parsedate_tz(value)
    if date is None:
        return None
    try:
        return max(0.0, email.utils.mktime_tz(date) - time.time())
    except (ValueError, OverflowError):
        return None
