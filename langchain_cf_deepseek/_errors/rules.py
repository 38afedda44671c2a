"""Which failed response becomes which error: the table of rules.

One status or code can mean several things, so a rule looks at code, status and text together, and
the first that applies wins. Codes: https://developers.cloudflare.com/ai-gateway/ and
https://api-docs.deepseek.com/quick_start/error_codes
"""

import re
from dataclasses import dataclass
from typing import Literal

from langchain_cf_deepseek import errors
from langchain_cf_deepseek._errors.cloudflare_access import CHECK_SERVICE_TOKEN, SEND_SERVICE_TOKEN
from langchain_cf_deepseek.errors import CFDeepSeekError, Origin

MACHINE_PAYMENT = "a machine payment is required"
"""The text of a response that asks for one, whose terms are in a header."""

Api = Literal["chat", "search", "fetch", "files", "file", "logs"]
"""The API that a request goes to: DeepSeek's chat, Search, Fetch or Files (`file` if the request
names a file), or Cloudflare's logs."""

AccessRefusal = Literal["no token", "token rejected"]
"""Whether a request that Cloudflare Access refused had a service token."""


@dataclass(frozen=True)
class Failure:
    """A failed response as the rules see it."""

    status: int
    origin: Origin
    code: int | str | None
    search_text: str
    access: AccessRefusal | None
    api: Api


@dataclass(frozen=True)
class Rule:
    """One row: an error, its hint, and the conditions, all of which must hold."""

    error: type[CFDeepSeekError]
    hint: str = ""
    code: int | tuple[int, ...] | None = None
    status: int | tuple[int, ...] | range | None = None
    text: str | None = None
    """A regular expression, case-insensitive."""
    origin: Origin | None = None
    access: AccessRefusal | None = None
    apis: tuple[Api, ...] | None = None

    def applies_to(self, failure: Failure) -> bool:
        """Return whether all conditions hold for `failure`."""
        return (
            _is_one_of(self.code, failure.code)
            and _is_one_of(self.status, failure.status)
            and (self.origin is None or self.origin == failure.origin)
            and (self.access is None or self.access == failure.access)
            and (self.apis is None or failure.api in self.apis)
            and (
                self.text is None
                or re.search(self.text, failure.search_text, re.IGNORECASE) is not None
            )
        )


def _is_one_of(allowed: int | tuple[int, ...] | range | None, value: object) -> bool:
    if allowed is None:
        return True
    return value == allowed if isinstance(allowed, int) else value in allowed


def find_rule(failure: Failure) -> Rule:
    """Return the first rule that applies to `failure`; the last one applies to all."""
    return next(rule for rule in _RULES if rule.applies_to(failure))


# Hints that several rules share.
TRY_AGAIN = "Try again in a moment."
_CHECK_BASE_URL = (
    "Cloudflare's edge responded instead of the server behind it: check `base_url` "
    "(CLOUDFLARE_AI_GATEWAY_BASE_URL), or ask the owner of the domain."
)
_CHECK_TOOLS_URL = (
    "Check `base_url` (CLOUDFLARE_AI_GATEWAY_BASE_URL). Cloudflare does not document that the "
    "gateway passes DeepSeek's `/v1/tools/` on; it does for a custom provider "
    "(`.../custom-<slug>`)."
)
_SHORTEN_PROMPT = "Shorten the messages, or lower `max_tokens`."
SET_DEEPSEEK_KEY = (
    "No DeepSeek key reached DeepSeek: set `api_key` (DEEPSEEK_API_KEY), or store a key in the "
    "gateway and set `gateway_token` (CF_AIG_TOKEN)."
)
"""For a request without a key; the hint for a rejected key is another."""
_USE_OWN_KEY = (
    "Use your own DeepSeek key: set `api_key` (DEEPSEEK_API_KEY) with "
    '`routing="provider-native"`, or store one in the gateway.'
)
_TOP_UP_DEEPSEEK = "Top up the balance of the DeepSeek account."
_TOP_UP_GATEWAY = f"Top up the gateway's credits in the Cloudflare dashboard. {_USE_OWN_KEY}"
_AUTHENTICATE_TO_GATEWAY = (
    "Set `gateway_token` (CF_AIG_TOKEN) to a Cloudflare token with the permission AI Gateway Run"
)
"""Without its full stop: a hint can go on to say where."""
_AUTHENTICATE_TO_CLOUDFLARE = (
    "Set `cloudflare_api_token` (CLOUDFLARE_API_TOKEN) to a token with the permission Workers AI "
    "Read."
)
_GRANT_LOGS_PERMISSION = (
    "Give the token in `api_token` (CLOUDFLARE_API_TOKEN) the permission AI Gateway Read, and AI "
    "Gateway Edit to write feedback: AI Gateway Run and Workers AI Read are not enough."
)

# How DeepSeek, Workers AI, OpenAI, Anthropic, Google, vLLM, SGLang, llama.cpp, Ollama and others
# describe a prompt that is too long.
_CONTEXT_OVERFLOW_PATTERN = (
    r"maximum context length|context[_ ]length[_ ]exceeded|exceed_context_size|context window"
    r"|(exceeds?|exceeded|longer than|larger than|overflows?)\b.{0,40}\bcontext (length|size|limit)"
    r"|\b(prompt|input)\b.{0,40}\bis (too long|longer than)\b|\bprompt (is )?too long\b"
    r"|\binput tokens? exceed|\bmaximum (model|prompt) length\b|prompt exceeds max(imum)? length"
    r"|input token count\b.{0,60}\bexceeds|total number of tokens in the prompt exceeds"
    r"|exceeded model token limit|range of input length should be"
)
# With other statuses, such a text is about a quota or a credential.
_REQUEST_ERROR_STATUSES = (200, 400, 413, 422, 500)

_UNKNOWN_MODEL_PATTERN = (
    r"supported api model names|model[_ ]not[_ ](exist|found)|\bno such model\b|\bunknown model\b"
    r"|\bmodel\b.{0,120}\bdoes not exist\b"
)

# DeepSeek publishes no text for a lost file; these are the words that its own client looks for.
_LOST_FILE_PATTERN = (
    r"\bfile(-api-\w+|[ _]?ids?)?\b.{0,80}"
    r"\b(expired|not[ _]found|deleted|does not exist|not created under)"
)
_UPLOAD_AGAIN = (
    "The file expired, was deleted or belongs to another account: upload it again "
    "(`GatewayFiles.upload`, or `GatewayFiles.attach` for whole messages)."
)

_RULES = (
    # Cloudflare Access, in front of the gateway.
    Rule(errors.CFDeepSeekPermissionDeniedError, SEND_SERVICE_TOKEN, status=403, access="no token"),
    Rule(
        errors.CFDeepSeekPermissionDeniedError,
        CHECK_SERVICE_TOKEN,
        status=403,
        access="token rejected",
    ),
    Rule(errors.CFDeepSeekAuthenticationError, SEND_SERVICE_TOKEN, access="no token"),
    Rule(errors.CFDeepSeekAuthenticationError, CHECK_SERVICE_TOKEN, access="token rejected"),
    # DeepSeek's Search and Fetch. They have no model, so no model can be missing.
    Rule(
        errors.CFDeepSeekFetchError,
        "Try another URL: this page does not exist, or its site rejects DeepSeek. If no page can "
        f"be fetched, the gateway might not pass the path on. {_CHECK_TOOLS_URL}",
        status=404,
        origin="deepseek",
        apis=("fetch",),
    ),
    Rule(
        errors.CFDeepSeekInvalidRequestError,
        f"There is no Search or Fetch at this address. {_CHECK_TOOLS_URL}",
        status=(404, 405, 410),
        apis=("search", "fetch"),
    ),
    Rule(
        errors.CFDeepSeekInvalidRequestError,
        "There is no Files API at this address: check `base_url` (CLOUDFLARE_AI_GATEWAY_BASE_URL). "
        "Cloudflare does not document that the gateway passes DeepSeek's `/files` on.",
        status=(404, 405),
        apis=("files",),
    ),
    # Cloudflare's edge: its own codes, then statuses.
    Rule(
        errors.CFDeepSeekRateLimitError,
        "The domain limits the request rate per client: send fewer requests, or ask its owner to "
        "raise the limit.",
        status=429,
        origin="cloudflare-edge",
    ),
    Rule(
        errors.CFDeepSeekPermissionDeniedError,
        "The domain blocks clients of this kind: set another `User-Agent` in `default_headers`, or "
        "ask its owner to allow this client.",
        code=1010,
        origin="cloudflare-edge",
    ),
    Rule(
        errors.CFDeepSeekPermissionDeniedError,
        "A rule of the domain blocks this request by address, country or content: ask its owner "
        "to allow it.",
        status=403,
        origin="cloudflare-edge",
    ),
    Rule(
        errors.CFDeepSeekAuthenticationError, _CHECK_BASE_URL, status=401, origin="cloudflare-edge"
    ),
    Rule(
        errors.CFDeepSeekInsufficientFundsError,
        _CHECK_BASE_URL,
        status=402,
        origin="cloudflare-edge",
    ),
    Rule(
        errors.CFDeepSeekModelNotFoundError,
        "Check `base_url` (CLOUDFLARE_AI_GATEWAY_BASE_URL).",
        status=(404, 405, 410),
        origin="cloudflare-edge",
    ),
    Rule(errors.CFDeepSeekTimeoutError, TRY_AGAIN, status=408, origin="cloudflare-edge"),
    Rule(
        errors.CFDeepSeekInvalidRequestError,
        _CHECK_BASE_URL,
        status=range(400, 500),
        origin="cloudflare-edge",
    ),
    Rule(errors.CFDeepSeekAPIError, f"{_CHECK_BASE_URL} {TRY_AGAIN}", origin="cloudflare-edge"),
    # A prompt that is too long, reported by any service and beside any code.
    Rule(errors.CFDeepSeekContextOverflowError, _SHORTEN_PROMPT, code=(3010, 5021)),
    Rule(
        errors.CFDeepSeekContextOverflowError,
        _SHORTEN_PROMPT,
        status=_REQUEST_ERROR_STATUSES,
        text=_CONTEXT_OVERFLOW_PATTERN,
        apis=("chat",),
    ),
    # The logs API, whose token needs other permissions.
    Rule(
        errors.CFDeepSeekAuthenticationError,
        _GRANT_LOGS_PERMISSION,
        code=(10000, 9106),
        apis=("logs",),
    ),
    Rule(errors.CFDeepSeekAuthenticationError, _GRANT_LOGS_PERMISSION, status=401, apis=("logs",)),
    Rule(
        errors.CFDeepSeekPermissionDeniedError, _GRANT_LOGS_PERMISSION, status=403, apis=("logs",)
    ),
    # Codes with several meanings, distinguished by text or status.
    Rule(errors.CFDeepSeekRateLimitError, TRY_AGAIN, code=(2021, 2018, 7003), text="rate.?limit"),
    Rule(
        errors.CFDeepSeekInsufficientFundsError,
        f"This model is not sold through Cloudflare. {_USE_OWN_KEY}",
        code=2021,
        text="not available via unified billing",
    ),
    Rule(errors.CFDeepSeekInsufficientFundsError, _TOP_UP_GATEWAY, code=(2021, 2018)),
    Rule(
        errors.CFDeepSeekModelNotFoundError,
        "Check `model`: Cloudflare's catalogue has no model of this name.",
        code=7003,
        text="model not found",
    ),
    Rule(
        errors.CFDeepSeekInvalidRequestError,
        "Check `account_id` (CLOUDFLARE_ACCOUNT_ID) and `base_url`: Cloudflare's API has no such "
        "address.",
        code=(7000, 7003),
        text="could not route|no route",
    ),
    Rule(errors.CFDeepSeekInvalidRequestError, code=(7000, 7001, 7003)),
    Rule(
        errors.CFDeepSeekInvalidRequestError,
        "Check `allowed_models` and `allowed_providers` in `gateway`: they leave the Auto Router "
        "no model to choose.",
        code=2008,
        text="no candidate",
    ),
    # The gateway's codes.
    Rule(
        errors.CFDeepSeekAuthenticationError,
        "DeepSeek rejected the key stored in the gateway: store a valid one.",
        code=2009,
        origin="cloudflare-api",
    ),
    Rule(
        errors.CFDeepSeekAuthenticationError,
        f"{_AUTHENTICATE_TO_GATEWAY} on the account in `account_id` (CLOUDFLARE_ACCOUNT_ID).",
        code=2009,
    ),
    Rule(errors.CFDeepSeekAuthenticationError, _AUTHENTICATE_TO_CLOUDFLARE, code=(10000, 9106)),
    Rule(
        errors.CFDeepSeekInvalidRequestError,
        "Check `gateway_id` (CLOUDFLARE_GATEWAY_ID): the account has no such gateway, or the "
        "gateway has no key to use.",
        code=2001,
    ),
    Rule(
        errors.CFDeepSeekAPIError,
        f"The gateway received no response from DeepSeek. {TRY_AGAIN}",
        code=2005,
    ),
    Rule(
        errors.CFDeepSeekInvalidRequestError,
        "Check `model`: the gateway cannot determine the provider from it.",
        code=(2008, 2019),
    ),
    Rule(
        errors.CFDeepSeekInvalidRequestError,
        "Check `byok_alias` in `gateway`: no key is stored under that name.",
        code=2040,
    ),
    Rule(
        errors.CFDeepSeekContentBlockedError, "A gateway guardrail blocked the prompt.", code=2016
    ),
    Rule(
        errors.CFDeepSeekContentBlockedError,
        "A gateway guardrail blocked the prompt or the response.",
        code=2017,
        status=422,
    ),
    Rule(
        errors.CFDeepSeekContentBlockedError, "A gateway guardrail blocked the response.", code=2017
    ),
    Rule(
        errors.CFDeepSeekContentBlockedError,
        "A DLP policy of the gateway blocked the prompt.",
        code=2029,
    ),
    Rule(
        errors.CFDeepSeekContentBlockedError,
        "A DLP policy of the gateway blocked the response.",
        code=2030,
    ),
    Rule(errors.CFDeepSeekRateLimitError, "The gateway's rate limit is reached.", code=2003),
    Rule(
        errors.CFDeepSeekSpendLimitError,
        "Raise the spend limit of the gateway, or wait until its window ends.",
        code=(2041, 2045),
    ),
    Rule(
        errors.CFDeepSeekAPIError, f"The guardrail scanner is unavailable. {TRY_AGAIN}", code=7013
    ),
    # Workers AI (`@cf/...` models): https://developers.cloudflare.com/workers-ai/platform/errors/
    Rule(errors.CFDeepSeekRateLimitError, TRY_AGAIN, code=3040),
    Rule(
        errors.CFDeepSeekSpendLimitError,
        "The account's daily allocation of Workers AI is used up.",
        code=(3036, 4006),
    ),
    Rule(errors.CFDeepSeekTimeoutError, TRY_AGAIN, code=(3007, 3008, 3046)),
    Rule(errors.CFDeepSeekAPIError, f"Workers AI is unavailable. {TRY_AGAIN}", code=7009),
    Rule(errors.CFDeepSeekPermissionDeniedError, code=(3023, 3041, 5016, 5018, 5035)),
    Rule(errors.CFDeepSeekModelNotFoundError, "Check `model`.", code=(3042, 5007)),
    Rule(
        errors.CFDeepSeekInvalidRequestError, code=(3003, 3006, 3039, 5004, 5005, 5006, 5019, 8006)
    ),
    # Errors of DeepSeek and of gateway policies that have no code of their own.
    Rule(
        errors.CFDeepSeekContentBlockedError,
        "DeepSeek's moderation blocked the prompt.",
        text="content exists risk",
    ),
    Rule(
        errors.CFDeepSeekInsufficientFundsError,
        _TOP_UP_DEEPSEEK,
        text="insufficient balance",
        origin="deepseek",
    ),
    Rule(
        errors.CFDeepSeekInsufficientFundsError,
        "The quota of the provider's account is used up: raise it, or top up the account.",
        text="insufficient_quota|exceeded your current quota",
    ),
    Rule(
        errors.CFDeepSeekSpendLimitError,
        "A gateway policy limits spending: raise its limit, or wait until its window ends.",
        status=429,
        text="spend(ing)? limit",
    ),
    Rule(
        errors.CFDeepSeekInvalidRequestError,
        "DeepSeek keeps 10,000 files and 25 GiB for a key: delete some (`GatewayFiles.delete`).",
        text=r"file[_ ]quota",
    ),
    Rule(
        errors.CFDeepSeekFileNotFoundError,
        _UPLOAD_AGAIN,
        status=(400, 403, 404, 410, 422),
        text=_LOST_FILE_PATTERN,
    ),
    Rule(
        errors.CFDeepSeekPermissionDeniedError,
        "A gateway policy rejected the request.",
        text="denied by policy",
    ),
    Rule(
        errors.CFDeepSeekModelNotFoundError,
        "Check `model`: no model of this name is served here.",
        status=(200, 400, 422),
        text=_UNKNOWN_MODEL_PATTERN,
        apis=("chat",),
    ),
    Rule(errors.CFDeepSeekAuthenticationError, SET_DEEPSEEK_KEY, status=401, text="governor"),
    Rule(
        errors.CFDeepSeekInsufficientFundsError,
        "This package makes no machine payments: use a model paid for by the gateway's credits or "
        "by your own key.",
        status=402,
        text=MACHINE_PAYMENT,
    ),
    # Statuses.
    Rule(
        errors.CFDeepSeekAuthenticationError,
        "DeepSeek rejected the key: check `api_key` (DEEPSEEK_API_KEY), or the key stored in the "
        "gateway.",
        status=401,
        origin="deepseek",
    ),
    Rule(
        errors.CFDeepSeekAuthenticationError,
        f"{_AUTHENTICATE_TO_GATEWAY}.",
        status=401,
        origin="gateway",
    ),
    Rule(errors.CFDeepSeekAuthenticationError, _AUTHENTICATE_TO_CLOUDFLARE, status=401),
    Rule(errors.CFDeepSeekInsufficientFundsError, _TOP_UP_DEEPSEEK, status=402, origin="deepseek"),
    Rule(errors.CFDeepSeekInsufficientFundsError, _TOP_UP_GATEWAY, status=402),
    Rule(errors.CFDeepSeekPermissionDeniedError, status=403),
    Rule(
        errors.CFDeepSeekLogNotFoundError,
        "Check `gateway_id` (CLOUDFLARE_GATEWAY_ID). Logging might be off, in the gateway or by "
        "`collect_log`; a log can arrive late (raise `wait`) and can lack bodies "
        "(`collect_log_payload`).",
        status=404,
        apis=("logs",),
    ),
    Rule(errors.CFDeepSeekFileNotFoundError, _UPLOAD_AGAIN, status=(404, 410), apis=("file",)),
    Rule(
        errors.CFDeepSeekModelNotFoundError,
        "Check `model`, `routing` and `base_url`.",
        status=(404, 405),
    ),
    Rule(errors.CFDeepSeekTimeoutError, TRY_AGAIN, status=408),
    Rule(errors.CFDeepSeekAPIError, TRY_AGAIN, status=(409, 425)),
    Rule(
        errors.CFDeepSeekRateLimitError,
        "Send fewer requests per second: DeepSeek allows an account 100 searches and 25 fetches, "
        "and fewer fetches from one site.",
        status=429,
        origin="deepseek",
        apis=("search", "fetch"),
    ),
    Rule(
        errors.CFDeepSeekRateLimitError,
        "Send fewer requests at once: DeepSeek limits how many run at the same time.",
        status=429,
        origin="deepseek",
    ),
    Rule(errors.CFDeepSeekRateLimitError, TRY_AGAIN, status=429),
    Rule(errors.CFDeepSeekContentBlockedError, status=424),
    Rule(
        errors.CFDeepSeekInvalidRequestError,
        "The address responds with a redirect, which is not followed, so that no credential is "
        "sent to another host: set `base_url` to the final address.",
        status=range(300, 400),
    ),
    Rule(errors.CFDeepSeekInvalidRequestError, status=range(400, 500)),
    Rule(errors.CFDeepSeekAPIError, TRY_AGAIN),
)
