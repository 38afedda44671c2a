"""Which failed response becomes which error: one table of rules, and the functions that apply it.

Every shape of error body is read in `bodies.py`. One status or code can mean several things,
so a rule looks at code, status and text together, and the first that fits wins. Codes:
https://developers.cloudflare.com/ai-gateway/ and
https://api-docs.deepseek.com/quick_start/error_codes
"""

import base64
import email.utils
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from langchain_cf_deepseek import errors
from langchain_cf_deepseek._errors.bodies import (
    FAILURE_STATUSES,
    ErrorReport,
    decoded,
    read_report,
    readable,
    text_in,
)
from langchain_cf_deepseek._errors.cloudflare_access import (
    SERVICE_TOKEN_HEADERS,
    read_refusal,
    sends_service_token,
)
from langchain_cf_deepseek._http.library import library_of
from langchain_cf_deepseek._http.sse import EventDecoder
from langchain_cf_deepseek._redaction import (
    extract_and_mask_secrets,
    redact,
    response_without_credentials,
)
from langchain_cf_deepseek.errors import CFDeepSeekError, Origin
from langchain_cf_deepseek.gateway import parse_gateway_headers

_GATEWAY_CREDENTIAL_HINT = (
    "Set `gateway_token` (CF_AIG_TOKEN) to a Cloudflare token with the permission "
)
_CLOUDFLARE_CREDENTIAL_HINT = (
    "Set `cloudflare_api_token` (CLOUDFLARE_API_TOKEN) to a token with the "
)
_LOGS_PERMISSION_HINT = (
    "Give the token in `api_token` (CLOUDFLARE_API_TOKEN) the permission AI Gateway Read, and AI "
    "Gateway Edit to write feedback: AI Gateway Run and Workers AI Read are not enough."
)
_OWN_KEY_HINT = (
    "Use a DeepSeek key of your own: set `api_key` (DEEPSEEK_API_KEY) with "
    '`routing="provider-native"`, or store one in the gateway.'
)
TRY_AGAIN = "Try again in a moment."

NO_KEY = (
    "No DeepSeek key reached DeepSeek: set `api_key` (DEEPSEEK_API_KEY), or store a key in the "
    "gateway and set `gateway_token` (CF_AIG_TOKEN)."
)
"""The hint of a request that had no key; one that had a wrong key has another."""

_SERVICE_TOKEN = " and ".join(f"`{name}`" for name in SERVICE_TOKEN_HEADERS)
_NO_SERVICE_TOKEN = (
    "The address is behind Cloudflare Access: give a service token of it, as the headers "
    f"{_SERVICE_TOKEN} in `default_headers`."
)
_SERVICE_TOKEN_REFUSED = (
    f"The address is behind Cloudflare Access: check that the service token in {_SERVICE_TOKEN} of "
    "`default_headers` is valid, and that a Service Auth policy of the Access application lets it "
    "in."
)
_EDGE_HINT = (
    "Cloudflare's edge answered in the place of what is behind it: check `base_url` "
    "(CLOUDFLARE_AI_GATEWAY_BASE_URL), or ask the owner of the domain."
)

_MACHINE_PAYMENT = "a machine payment is required"

ROUTING_EXTENSION = "langchain_cf_deepseek._routing"
"""The extension of an HTTP request that says which routing it takes."""


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
    access: Literal["no token", "token refused"] | None = None

    def fits(self, fault: "_Fault") -> bool:
        return (
            (self.codes is None or fault.code in self.codes)
            and (self.statuses is None or fault.status in self.statuses)
            and (self.origin is None or self.origin == fault.origin)
            and (fault.about_logs or not self.about_logs)
            and (self.access is None or self.access == fault.access)
            and (self.text is None or self.text.search(fault.words) is not None)
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
    access: Literal["no token", "token refused"] | None = None,
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
        access=access,
    )


# The words of DeepSeek, Workers AI, OpenAI, Anthropic, Google, vLLM, SGLang, llama.cpp, Ollama and
# others for a prompt that does not fit.
_CONTEXT_OVERFLOW_PATTERN = (
    r"maximum context length|context[_ ]length[_ ]exceeded|exceed_context_size|context window"
    r"|(exceeds?|exceeded|longer than|larger than|overflows?)\b.{0,40}\bcontext (length|size|limit)"
    r"|\b(prompt|input)\b.{0,40}\bis (too long|longer than)\b|\bprompt (is )?too long\b"
    r"|\binput tokens? exceed|\bmaximum (model|prompt) length\b|prompt exceeds max(imum)? length"
    r"|input token count\b.{0,60}\bexceeds|total number of tokens in the prompt exceeds"
    r"|exceeded model token limit|range of input length should be"
)
# Statuses that are not about what was sent: who says so there means a quota, or a credential.
_REQUEST_ERROR_STATUSES = (200, 400, 413, 422, 500)

_UNKNOWN_MODEL_PATTERN = (
    r"supported api model names|model[_ ]not[_ ](exist|found)|\bno such model\b|\bunknown model\b"
    r"|\bmodel\b.{0,120}\bdoes not exist\b"
)

_RULES = (
    # Cloudflare Access, which lets nothing through to the gateway.
    _rule(errors.CFDeepSeekPermissionDeniedError, _NO_SERVICE_TOKEN, status=403, access="no token"),
    _rule(
        errors.CFDeepSeekPermissionDeniedError,
        _SERVICE_TOKEN_REFUSED,
        status=403,
        access="token refused",
    ),
    _rule(errors.CFDeepSeekAuthenticationError, _NO_SERVICE_TOKEN, access="no token"),
    _rule(errors.CFDeepSeekAuthenticationError, _SERVICE_TOKEN_REFUSED, access="token refused"),
    # Cloudflare's edge, by its own codes and by the statuses of all others.
    _rule(
        errors.CFDeepSeekRateLimitError,
        "The domain limits how often one client may ask: send fewer requests, or have its owner "
        "raise the limit.",
        status=429,
        origin="cloudflare-edge",
    ),
    _rule(
        errors.CFDeepSeekPermissionDeniedError,
        "The domain blocks clients of this kind: set another `User-Agent` in `default_headers`, or "
        "have its owner let this client in.",
        code=1010,
        origin="cloudflare-edge",
    ),
    _rule(
        errors.CFDeepSeekPermissionDeniedError,
        "A rule of the domain blocks this request, by address, country or content: have its owner "
        "let it through.",
        status=403,
        origin="cloudflare-edge",
    ),
    _rule(errors.CFDeepSeekAuthenticationError, _EDGE_HINT, status=401, origin="cloudflare-edge"),
    _rule(
        errors.CFDeepSeekInsufficientFundsError, _EDGE_HINT, status=402, origin="cloudflare-edge"
    ),
    _rule(
        errors.CFDeepSeekModelNotFoundError,
        "Check `base_url` (CLOUDFLARE_AI_GATEWAY_BASE_URL).",
        status=(404, 405, 410),
        origin="cloudflare-edge",
    ),
    _rule(errors.CFDeepSeekTimeoutError, TRY_AGAIN, status=408, origin="cloudflare-edge"),
    _rule(
        errors.CFDeepSeekInvalidRequestError,
        _EDGE_HINT,
        status=range(400, 500),
        origin="cloudflare-edge",
    ),
    _rule(errors.CFDeepSeekAPIError, f"{_EDGE_HINT} {TRY_AGAIN}", origin="cloudflare-edge"),
    # Too long a prompt, in whose words ever, and whichever code stands beside them.
    _rule(
        errors.CFDeepSeekContextOverflowError,
        "Shorten the messages, or lower `max_tokens`.",
        code=(3010, 5021),
    ),
    _rule(
        errors.CFDeepSeekContextOverflowError,
        "Shorten the messages, or lower `max_tokens`.",
        status=_REQUEST_ERROR_STATUSES,
        text=_CONTEXT_OVERFLOW_PATTERN,
    ),
    # The logs API, whose token needs other permissions.
    _rule(
        errors.CFDeepSeekAuthenticationError,
        _LOGS_PERMISSION_HINT,
        code=(10000, 9106),
        about_logs=True,
    ),
    _rule(errors.CFDeepSeekAuthenticationError, _LOGS_PERMISSION_HINT, status=401, about_logs=True),
    _rule(
        errors.CFDeepSeekPermissionDeniedError, _LOGS_PERMISSION_HINT, status=403, about_logs=True
    ),
    # Codes with several meanings, told apart by text or status.
    _rule(errors.CFDeepSeekRateLimitError, TRY_AGAIN, code=(2021, 2018, 7003), text="rate.?limit"),
    _rule(
        errors.CFDeepSeekInsufficientFundsError,
        "This model is not sold through Cloudflare. " + _OWN_KEY_HINT,
        code=2021,
        text="not available via unified billing",
    ),
    _rule(
        errors.CFDeepSeekInsufficientFundsError,
        "Top up the gateway's credits in the Cloudflare dashboard. " + _OWN_KEY_HINT,
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
    _rule(
        errors.CFDeepSeekInvalidRequestError,
        "Check `allowed_models` and `allowed_providers` in `gateway`: they leave the Auto Router "
        "no model to choose.",
        code=2008,
        text="no candidate",
    ),
    # The gateway's codes.
    _rule(
        errors.CFDeepSeekAuthenticationError,
        "The DeepSeek key stored in the gateway was refused: store a valid one.",
        code=2009,
        origin="cloudflare-api",
    ),
    _rule(
        errors.CFDeepSeekAuthenticationError,
        _GATEWAY_CREDENTIAL_HINT
        + "AI Gateway Run on the account in `account_id` (CLOUDFLARE_ACCOUNT_ID).",
        code=2009,
    ),
    _rule(
        errors.CFDeepSeekAuthenticationError,
        _CLOUDFLARE_CREDENTIAL_HINT + "permission Workers AI Read.",
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
    _rule(errors.CFDeepSeekTimeoutError, TRY_AGAIN, code=(3007, 3008, 3046)),
    _rule(errors.CFDeepSeekAPIError, "Workers AI is unavailable. " + TRY_AGAIN, code=7009),
    _rule(errors.CFDeepSeekPermissionDeniedError, code=(3023, 3041, 5016, 5018, 5035)),
    _rule(errors.CFDeepSeekModelNotFoundError, "Check `model`.", code=(3042, 5007)),
    _rule(
        errors.CFDeepSeekInvalidRequestError, code=(3003, 3006, 3039, 5004, 5005, 5006, 5019, 8006)
    ),
    # Texts of DeepSeek and of the gateway's policies, which have no code of their own.
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
        errors.CFDeepSeekInsufficientFundsError,
        "The quota of the provider's account is used up: raise it, or top up the account.",
        text="insufficient_quota|exceeded your current quota",
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
        "Check `model`: no such name is served here.",
        status=(200, 400, 422),
        text=_UNKNOWN_MODEL_PATTERN,
    ),
    _rule(
        errors.CFDeepSeekAuthenticationError,
        NO_KEY,
        status=401,
        text="governor",
    ),
    _rule(
        errors.CFDeepSeekInsufficientFundsError,
        "This package makes no such payments: use a model that the gateway's credits or a key of "
        "your own pay for.",
        status=402,
        text=_MACHINE_PAYMENT,
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
        _GATEWAY_CREDENTIAL_HINT + "AI Gateway Run.",
        status=401,
        origin="gateway",
    ),
    _rule(
        errors.CFDeepSeekAuthenticationError,
        _CLOUDFLARE_CREDENTIAL_HINT + "permission Workers AI Read.",
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
        "Top up the gateway's credits in the Cloudflare dashboard. " + _OWN_KEY_HINT,
        status=402,
    ),
    _rule(errors.CFDeepSeekPermissionDeniedError, status=403),
    _rule(
        errors.CFDeepSeekLogNotFoundError,
        "Check `gateway_id` (CLOUDFLARE_GATEWAY_ID). Logs may be off, in the gateway or by "
        "`collect_log`; a log may come late (raise `wait`), and may hold no bodies "
        "(`collect_log_payload`).",
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
    """A failure as the rules see it: what the body says, and what is known of the response."""

    status: int
    origin: Origin
    code: int | str | None
    words: str
    about_logs: bool
    access: Literal["no token", "token refused"] | None


_UNREAD = object()


def error_from_response(
    response: Any, *, body: object = _UNREAD, content: bytes | None = None, about_logs: bool = False
) -> CFDeepSeekError:
    """Return the error that a response stands for. Masks the credentials of its request.

    Args:
        response: The HTTP response, its body read unless `body` or `content` is given.
        body: The error where it came inside a response: the JSON of an event, or
            `{"error": ...}` of a choice.
        content: The body as it came over the wire, as far as it came.
        about_logs: Whether the request was one to the logs API, which needs another token.
    """
    if body is _UNREAD:
        body = readable(_decompressed(response, content), response.headers)
        if response.status_code in FAILURE_STATUSES and isinstance(body, str):
            body = _first_event(body)
    has_service_token = sends_service_token(response.request)
    secrets = extract_and_mask_secrets(response.request)
    try:
        body = redact(body, secrets)
    except RecursionError:
        body = "JSON that is nested too deeply"
    bare = response_without_credentials(response, body, secrets)
    gateway = parse_gateway_headers(bare.headers)
    report = read_refusal(bare.status_code, bare.headers, body)
    access = None if report is None else _access(has_service_token)
    report = report or _payment_terms(bare.headers) or read_report(body)
    routing = "unified" if about_logs else response.request.extensions.get(ROUTING_EXTENSION)
    origin = _origin(report, bare, is_unified=routing == "unified")
    status = _status(report, bare.status_code)
    fault = _Fault(status, origin, report.code, report.words, about_logs, access)
    rule = next(rule for rule in _RULES if rule.fits(fault))
    retry_after = _retry_after(bare.headers)
    error = rule.error(
        report.message or f"HTTP {bare.status_code} without a body",
        origin=origin,
        request=bare.request,
        response=bare,
        body=body,
        code=report.code,
        gateway=gateway,
        retry_after=report.retry_after if retry_after is None else retry_after,
        hint=rule.hint,
    )
    if report.is_retryable is not None:
        error.is_retryable = report.is_retryable
    return error


def _first_event(text: str) -> Any:
    """Return the first event in the body of a failure that came as an event stream, or the text."""
    if not text.startswith(("data:", "event:")):
        return text
    decoder = EventDecoder()
    events = [*decoder.feed(text.encode(errors="replace")), *decoder.close()]
    return decoded(events[0]) if events else text


def _access(has_service_token: bool) -> Literal["no token", "token refused"]:
    return "token refused" if has_service_token else "no token"


def _payment_terms(headers: Mapping[str, str]) -> ErrorReport | None:
    """Return what a machine would have to pay, which comes in a header, in base64.

    https://developers.cloudflare.com/ai-gateway/features/machine-payments/
    """
    if (header := headers.get("payment-required")) is None:
        return None
    try:
        terms = json.loads(base64.b64decode(header, validate=True))
    except (ValueError, RecursionError):
        terms = {}
    reason = text_in(terms)
    message = _MACHINE_PAYMENT + (f": {reason}" if reason else "")
    return ErrorReport(message, author="cloudflare", words=message)


def _decompressed(response: Any, content: bytes | None) -> bytes:
    """Return a body without its content encoding; as it is, where that is not its encoding."""
    if content is None:
        raw: bytes = response.content
        return raw
    library = library_of(type(response))
    try:
        copy = type(response)(200, headers=response.headers, content=content)
    except library.DecodingError:
        # A proxy left the header on a plain body, or the body is cut.
        return content
    plain: bytes = copy.content
    return plain


def _status(report: ErrorReport, status: int) -> int:
    """Return the status to judge by: that of the response, unless it is one of success."""
    if report.http_status:
        return report.http_status
    return status if status in FAILURE_STATUSES else report.status or status


def _origin(report: ErrorReport, response: Any, *, is_unified: bool) -> Origin:
    cloudflare: Origin = "cloudflare-api" if is_unified else "gateway"
    if report.author is not None:
        known: dict[str, Origin] = {"edge": "cloudflare-edge", "cloudflare": cloudflare}
        return known.get(report.author, "deepseek")
    # A log id says that the gateway let the request through, so the text is DeepSeek's.
    if "cf-aig-log-id" in response.headers:
        return "deepseek"
    is_of_cloudflare = "cf-ray" in response.headers and response.status_code in FAILURE_STATUSES
    return "cloudflare-edge" if report.is_page and is_of_cloudflare else cloudflare


def error_for_response(
    error: type[CFDeepSeekError],
    message: str,
    response: Any,
    *,
    origin: Origin = "deepseek",
    hint: str = TRY_AGAIN,
    partial: str = "",
) -> CFDeepSeekError:
    """Return the error of an answer that came, but is none; without its text, but for `partial`."""
    secrets = extract_and_mask_secrets(response.request)
    bare = response_without_credentials(response, "", secrets)
    return error(
        # What the answer holds instead may be in it.
        redact(message, secrets),
        origin=origin,
        request=bare.request,
        response=bare,
        gateway=parse_gateway_headers(bare.headers),
        hint=hint,
        partial=partial,
    )


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
