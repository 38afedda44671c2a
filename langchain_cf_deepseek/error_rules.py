"""Which answer becomes which error: one table, and the reading of every error body it judges.

Cloudflare and DeepSeek have seven shapes of error body between them, and one status or code can
mean several things, so a rule looks at code, status and text together, and the first that fits
wins. Shapes and codes: https://developers.cloudflare.com/ai-gateway/ and
https://api-docs.deepseek.com/quick_start/error_codes
"""

import email.utils
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_cf_deepseek import errors
from langchain_cf_deepseek.errors import CFDeepSeekError, Origin
from langchain_cf_deepseek.gateway import read_facts
from langchain_cf_deepseek.redaction import (
    bare_response,
    redact,
    take_secrets,
)

_AT_THE_GATEWAY = "Set `gateway_token` (CF_AIG_TOKEN) to a Cloudflare token with the permission "
_AT_CLOUDFLARE = "Set `cloudflare_api_token` (CLOUDFLARE_API_TOKEN) to a token with the "
_FOR_LOGS = (
    "Give the token in `api_token` (CLOUDFLARE_API_TOKEN) the permission AI Gateway Read, and AI "
    "Gateway Edit to write feedback: AI Gateway Run and Workers AI Read are not enough."
)
_OWN_KEY = (
    "Use a DeepSeek key of your own: set `api_key` (DEEPSEEK_API_KEY) with "
    '`routing="provider-native"`, or store one in the gateway.'
)
TRY_AGAIN = "Try again in a moment."

NO_KEY = (
    "No DeepSeek key reached DeepSeek: set `api_key` (DEEPSEEK_API_KEY), or store a key in the "
    "gateway and set `gateway_token` (CF_AIG_TOKEN)."
)
"""The hint of a request that had no key; one that had a wrong key has another."""

FIRST_ERROR_STATUS = 400
"""The lowest HTTP status that means failure."""


@dataclass(frozen=True)
class _Rule:
    """One row: what must hold, and what then follows."""

    error: type[CFDeepSeekError]
    hint: str = ""
    codes: frozenset[int] | None = None
    statuses: frozenset[int] | None = None
    text: re.Pattern[str] | None = None
    origin: Origin | None = None
    about_logs: bool = False

    def fits(self, fault: "_Fault", about_logs: bool) -> bool:
        return (
            (self.codes is None or fault.code in self.codes)
            and (self.statuses is None or fault.status in self.statuses)
            and (self.origin is None or self.origin == fault.origin)
            and (about_logs or not self.about_logs)
            and (self.text is None or self.text.search(fault.message) is not None)
        )


def _rule(
    error: type[CFDeepSeekError],
    hint: str = "",
    *,
    code: int | tuple[int, ...] | None = None,
    status: int | tuple[int, ...] | range | None = None,
    text: str | None = None,
    origin: Origin | None = None,
    about_logs: bool = False,
) -> _Rule:
    codes = (code,) if isinstance(code, int) else code
    statuses = (status,) if isinstance(status, int) else status
    return _Rule(
        error,
        hint,
        codes=None if codes is None else frozenset(codes),
        statuses=None if statuses is None else frozenset(statuses),
        text=None if text is None else re.compile(text, re.IGNORECASE),
        origin=origin,
        about_logs=about_logs,
    )


_RULES = (
    # The logs API, whose token needs other permissions.
    _rule(errors.CFDeepSeekAuthenticationError, _FOR_LOGS, code=(10000, 9106), about_logs=True),
    _rule(errors.CFDeepSeekAuthenticationError, _FOR_LOGS, status=401, about_logs=True),
    _rule(errors.CFDeepSeekPermissionDeniedError, _FOR_LOGS, status=403, about_logs=True),
    # Codes with several meanings, told apart by text or status.
    _rule(errors.CFDeepSeekRateLimitError, TRY_AGAIN, code=(2021, 2018, 7003), text="rate.?limit"),
    _rule(
        errors.CFDeepSeekInsufficientFundsError,
        "This model is not sold through Cloudflare. " + _OWN_KEY,
        code=2021,
        text="not available via unified billing",
    ),
    _rule(
        errors.CFDeepSeekInsufficientFundsError,
        "Top up the gateway's credits in the Cloudflare dashboard. " + _OWN_KEY,
        code=(2021, 2018),
    ),
    _rule(
        errors.CFDeepSeekModelNotFoundError,
        "Check `model`: Cloudflare's catalogue has no such name.",
        code=7003,
        text="model not found",
    ),
    _rule(
        errors.CFDeepSeekInvalidRequestError,
        "Check `account_id` (CLOUDFLARE_ACCOUNT_ID) and `base_url`: Cloudflare's API has no such "
        "address.",
        code=(7000, 7003),
        text="could not route|no route",
    ),
    _rule(errors.CFDeepSeekInvalidRequestError, code=(7000, 7001, 7003)),
    # The gateway's codes.
    _rule(
        errors.CFDeepSeekAuthenticationError,
        "The DeepSeek key stored in the gateway was refused: store a valid one.",
        code=2009,
        origin="cloudflare-api",
    ),
    _rule(
        errors.CFDeepSeekAuthenticationError,
        _AT_THE_GATEWAY + "AI Gateway Run on the account in `account_id` (CLOUDFLARE_ACCOUNT_ID).",
        code=2009,
    ),
    _rule(
        errors.CFDeepSeekAuthenticationError,
        _AT_CLOUDFLARE + "permission Workers AI Read.",
        code=(10000, 9106),
    ),
    _rule(
        errors.CFDeepSeekInvalidRequestError,
        "Check `gateway_id` (CLOUDFLARE_GATEWAY_ID): the account has no such gateway, or the "
        "gateway has no key to use.",
        code=2001,
    ),
    _rule(
        errors.CFDeepSeekAPIError,
        "The gateway got no answer from DeepSeek. " + TRY_AGAIN,
        code=2005,
    ),
    _rule(
        errors.CFDeepSeekInvalidRequestError,
        "Check `model`: the gateway cannot tell the provider from it.",
        code=(2008, 2019),
    ),
    _rule(
        errors.CFDeepSeekInvalidRequestError,
        "Check `byok_alias` in `gateway`: no key is stored under that name.",
        code=2040,
    ),
    _rule(
        errors.CFDeepSeekContentBlockedError,
        "A guardrail of the gateway blocked the prompt.",
        code=2016,
    ),
    _rule(
        errors.CFDeepSeekContentBlockedError,
        "A guardrail of the gateway blocked the prompt or the answer.",
        code=2017,
        status=422,
    ),
    _rule(
        errors.CFDeepSeekContentBlockedError,
        "A guardrail of the gateway blocked the answer.",
        code=2017,
    ),
    _rule(
        errors.CFDeepSeekContentBlockedError,
        "A DLP policy of the gateway blocked the prompt.",
        code=2029,
    ),
    _rule(
        errors.CFDeepSeekContentBlockedError,
        "A DLP policy of the gateway blocked the answer.",
        code=2030,
    ),
    _rule(errors.CFDeepSeekRateLimitError, "The gateway's rate limit is reached.", code=2003),
    _rule(
        errors.CFDeepSeekSpendLimitError,
        "Raise the spend limit of the gateway, or wait until its window ends.",
        code=(2041, 2045),
    ),
    _rule(
        errors.CFDeepSeekAPIError, "The guardrail scanner is unavailable. " + TRY_AGAIN, code=7013
    ),
    # Workers AI (`@cf/...` models): https://developers.cloudflare.com/workers-ai/platform/errors/
    _rule(errors.CFDeepSeekRateLimitError, TRY_AGAIN, code=3040),
    _rule(
        errors.CFDeepSeekSpendLimitError,
        "The account's daily allocation of Workers AI is used up.",
        code=(3036, 4006),
    ),
    _rule(errors.CFDeepSeekTimeoutError, TRY_AGAIN, code=(3007, 3008)),
    _rule(errors.CFDeepSeekPermissionDeniedError, code=(3023, 3041, 5016, 5018, 5035)),
    _rule(errors.CFDeepSeekModelNotFoundError, "Check `model`.", code=(3042, 5007)),
    _rule(errors.CFDeepSeekInvalidRequestError, code=(3003, 3006, 3039, 5004, 5005, 5019)),
    # Texts of DeepSeek and of the gateway's policies, which have no code of their own.
    _rule(
        errors.CFDeepSeekContextOverflowError,
        "Shorten the messages, or lower `max_tokens`.",
        text="maximum context length",
    ),
    _rule(
        errors.CFDeepSeekContentBlockedError,
        "DeepSeek's moderation blocked the prompt.",
        text="content exists risk",
    ),
    _rule(
        errors.CFDeepSeekInsufficientFundsError,
        "Top up the balance of the DeepSeek account.",
        text="insufficient balance",
        origin="deepseek",
    ),
    _rule(
        errors.CFDeepSeekSpendLimitError,
        "A policy of the gateway limits spending; its window must end, or its limit be raised.",
        status=429,
        text="spend(ing)? limit",
    ),
    _rule(
        errors.CFDeepSeekPermissionDeniedError,
        "A policy of the gateway refused the request.",
        text="denied by policy",
    ),
    _rule(
        errors.CFDeepSeekModelNotFoundError,
        "Check `model`.",
        status=400,
        text="supported api model names",
    ),
    _rule(
        errors.CFDeepSeekAuthenticationError,
        NO_KEY,
        status=401,
        text="governor",
    ),
    # Statuses.
    _rule(
        errors.CFDeepSeekAuthenticationError,
        "DeepSeek refused the key: check `api_key` (DEEPSEEK_API_KEY), or the key stored in the "
        "gateway.",
        status=401,
        origin="deepseek",
    ),
    _rule(
        errors.CFDeepSeekAuthenticationError,
        _AT_THE_GATEWAY + "AI Gateway Run.",
        status=401,
        origin="gateway",
    ),
    _rule(
        errors.CFDeepSeekAuthenticationError,
        _AT_CLOUDFLARE + "permission Workers AI Read.",
        status=401,
    ),
    _rule(
        errors.CFDeepSeekInsufficientFundsError,
        "Top up the balance of the DeepSeek account.",
        status=402,
        origin="deepseek",
    ),
    _rule(
        errors.CFDeepSeekInsufficientFundsError,
        "Top up the gateway's credits in the Cloudflare dashboard. " + _OWN_KEY,
        status=402,
    ),
    _rule(errors.CFDeepSeekPermissionDeniedError, status=403),
    _rule(
        errors.CFDeepSeekLogNotFoundError,
        "Check `gateway_id` (CLOUDFLARE_GATEWAY_ID). A log may come late (raise `wait`), and may "
        "hold no bodies (`collect_log_payload`).",
        status=404,
        about_logs=True,
    ),
    _rule(
        errors.CFDeepSeekModelNotFoundError,
        "Check `model`, `routing` and `base_url`.",
        status=(404, 405),
    ),
    _rule(errors.CFDeepSeekTimeoutError, TRY_AGAIN, status=408),
    _rule(errors.CFDeepSeekAPIError, TRY_AGAIN, status=(409, 425)),
    _rule(
        errors.CFDeepSeekRateLimitError,
        "Send fewer requests at once: DeepSeek limits how many run at the same time.",
        status=429,
        origin="deepseek",
    ),
    _rule(errors.CFDeepSeekRateLimitError, TRY_AGAIN, status=429),
    _rule(errors.CFDeepSeekContentBlockedError, status=424),
    _rule(
        errors.CFDeepSeekInvalidRequestError,
        "The address answers with a redirect, which is not followed so that no credential leaves "
        "for another host: set `base_url` to the final address.",
        status=range(300, 400),
    ),
    _rule(errors.CFDeepSeekInvalidRequestError, status=range(400, 500)),
    _rule(errors.CFDeepSeekAPIError, TRY_AGAIN),
)


@dataclass(frozen=True)
class _Fault:
    """What an error body says, whichever of the seven shapes it has."""

    status: int | None
    origin: Origin
    message: str
    code: int | str | None = None
    body: object = field(default=None, repr=False)


def error_from_response(response: Any, *, body: object = None) -> CFDeepSeekError:
    """Return the error that an answer stands for. Masks the credentials of its request.

    Args:
        response: The HTTP response, its body read unless `body` is given.
        body: The error where it came inside a stream: one event's JSON.
    """
    if body is None:
        body = decoded(response.content)
    secrets = take_secrets(response.request)
    try:
        body = redact(body, secrets)
    except RecursionError:
        body = "JSON that is nested too deeply"
    fault = _read_fault(response, body)
    about_logs = "/ai-gateway/" in response.request.url.path
    rule = next(rule for rule in _RULES if rule.fits(fault, about_logs))
    bare = bare_response(response, body, secrets)
    return rule.error(
        fault.message,
        origin=fault.origin,
        request=bare.request,
        response=bare,
        body=body,
        code=fault.code,
        gateway=read_facts(bare.headers),
        retry_after=_retry_after(bare.headers),
        hint=rule.hint,
    )


def error_of_answer(
    error: type[CFDeepSeekError],
    message: str,
    response: Any,
    *,
    origin: Origin = "deepseek",
    hint: str = TRY_AGAIN,
    partial: str = "",
) -> CFDeepSeekError:
    """Return the error of an answer that came, but is none; without its text, but for `partial`."""
    secrets = take_secrets(response.request)
    bare = bare_response(response, "", secrets)
    return error(
        # What the answer holds instead may be in it.
        redact(message, secrets),
        origin=origin,
        request=bare.request,
        response=bare,
        gateway=read_facts(bare.headers),
        hint=hint,
        partial=partial,
    )


def _read_fault(response: Any, body: object) -> _Fault:
    status = response.status_code
    if isinstance(body, Mapping):
        return _read_json_fault(response, body)
    text = str(body).strip()
    if _is_html(text):
        title = re.search(r"<title>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        text = " ".join(title.group(1).split()) if title else "an HTML page instead of JSON"
    message = text[:500] or f"HTTP {status} without a body"
    return _Fault(status, _origin_of_text(response, text), message, body=body)


# An error inside a stream comes under status 200: what would have been its own.
_STATUS_OF_TYPE = {
    "authentication_error": 401,
    "invalid_request_error": 400,
    "rate_limit_error": 429,
    "service_unavailable_error": 503,
}


def _read_json_fault(response: Any, body: Mapping[str, Any]) -> _Fault:
    status = response.status_code
    if body.get("httpCode") in range(FIRST_ERROR_STATUS, 600):
        status = body["httpCode"]
    cloudflare: Origin = "cloudflare-api" if _is_rest_host(response) else "gateway"
    fault = body.get("error") or body.get("errors")
    if isinstance(fault, list) and fault and all(isinstance(entry, Mapping) for entry in fault):
        message = "; ".join(str(entry.get("message") or "") for entry in fault)
        return _Fault(status, cloudflare, message, _code(fault[0].get("code")), body)
    if isinstance(fault, Mapping):
        message = str(fault.get("message") or fault)
        if body.get("success") is False or fault.get("type") == "gateway_error":
            return _Fault(status, cloudflare, message, _code(fault.get("code")), body)
        if status < FIRST_ERROR_STATUS:
            status = _STATUS_OF_TYPE.get(str(fault.get("type")), status)
        word = _code(fault.get("code")) or _code(fault.get("type"))
        return _Fault(status, "deepseek", message, word, body)
    if "internalCode" in body:
        message = str(body.get("message") or body.get("description") or body.get("name"))
        return _Fault(status, cloudflare, message, _code(body["internalCode"]), body)
    if body.get("success") is False:
        return _Fault(status, cloudflare, str(body.get("message") or "no reason given"), None, body)
    message = str(fault or body.get("message") or f"an answer without `choices`: {sorted(body)}")
    return _Fault(status, "deepseek", message, _code(body.get("code")), body)


def _code(value: object) -> int | str | None:
    return value if isinstance(value, int | str) else None


def _is_rest_host(response: Any) -> bool:
    return "/client/v4/" in response.request.url.path


def _is_html(text: str) -> bool:
    return text[:200].lstrip().lower().startswith(("<!doctype html", "<html"))


def _origin_of_text(response: Any, text: str) -> Origin:
    # A log id says that the gateway let the request through, so the text is DeepSeek's.
    if text.startswith("Authentication Fails") or "cf-aig-log-id" in response.headers:
        return "deepseek"
    return "cloudflare-api" if _is_rest_host(response) else "gateway"


def decoded(content: bytes) -> Any:
    """Return the JSON value of a body, or its text where it is no JSON."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content.decode(errors="replace")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `Retry-After` in either of its two forms."""
    value = headers.get("retry-after")
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", value):
        return float(value)
    moment = email.utils.parsedate_tz(value)
    if moment is None:
        return None
    try:
        return max(0.0, email.utils.mktime_tz(moment) - time.time())
    except (ValueError, OverflowError):
        return None
