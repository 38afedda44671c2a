"""The exceptions of this package.

    CFDeepSeekError                          openai.APIError + ModelError
    ├── CFDeepSeekAuthenticationError        401: `hint` says which credential
    ├── CFDeepSeekPermissionDeniedError      403: policy, Access, edge block
    ├── CFDeepSeekInvalidRequestError        400, 413, 415, 422, or rejected before sending
    │   └── CFDeepSeekContextOverflowError   longer than the model's context
    ├── CFDeepSeekModelNotFoundError         404
    ├── CFDeepSeekFileNotFoundError          a file expired, deleted or of another account
    ├── CFDeepSeekLogNotFoundError           404: no such log, or not yet
    ├── CFDeepSeekFetchError                 404 of Fetch: the page cannot be fetched
    ├── CFDeepSeekInsufficientFundsError     402: balance, credits, model needs your key
    ├── CFDeepSeekRateLimitError             429, retryable
    ├── CFDeepSeekSpendLimitError            429 of a budget, not retryable
    ├── CFDeepSeekContentBlockedError        guardrails, DLP, content_filter, DeepSeek's moderation
    ├── CFDeepSeekAPIError                   5xx, 2005, an invalid completion; retryable
    │   ├── CFDeepSeekEmptyResponseError     a completion without content
    │   ├── CFDeepSeekIncompleteStreamError  a stream that ended without a finish reason
    │   └── CFDeepSeekMaxTokensError         a tool call or JSON truncated, not retryable
    └── CFDeepSeekConnectionError            host unreachable, connection lost; retryable
        └── CFDeepSeekTimeoutError           no response in time; retryable

Each class is at the same time the `openai` class and the `langchain_core` `ModelError` of its
condition, so code that catches any of the three works. Which response becomes which class is
decided in `_errors/rules.py`.
"""

from typing import TYPE_CHECKING, Any, Literal

import langchain_core.exceptions
import openai
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata

if TYPE_CHECKING:
    ModelRefusalError = ModelError
else:
    # langchain-core has it since 1.7.5.
    ModelRefusalError = getattr(langchain_core.exceptions, "ModelRefusalError", ModelError)

__all__ = [
    "CFDeepSeekAPIError",
    "CFDeepSeekAuthenticationError",
    "CFDeepSeekConnectionError",
    "CFDeepSeekContentBlockedError",
    "CFDeepSeekContextOverflowError",
    "CFDeepSeekEmptyResponseError",
    "CFDeepSeekError",
    "CFDeepSeekFetchError",
    "CFDeepSeekFileNotFoundError",
    "CFDeepSeekIncompleteStreamError",
    "CFDeepSeekInsufficientFundsError",
    "CFDeepSeekInvalidRequestError",
    "CFDeepSeekLogNotFoundError",
    "CFDeepSeekMaxTokensError",
    "CFDeepSeekModelNotFoundError",
    "CFDeepSeekPermissionDeniedError",
    "CFDeepSeekRateLimitError",
    "CFDeepSeekSpendLimitError",
    "CFDeepSeekTimeoutError",
    "Origin",
]

Origin = Literal["gateway", "cloudflare-api", "cloudflare-edge", "deepseek", "connection", "client"]
"""What failed: the gateway, Cloudflare's API, Cloudflare's edge in front of both, DeepSeek, the
connection, or this package before sending."""

_ORIGIN_NAMES: dict[Origin, str] = {
    "gateway": "Cloudflare AI Gateway",
    "cloudflare-api": "Cloudflare's API",
    "cloudflare-edge": "Cloudflare's edge",
    "deepseek": "DeepSeek",
    "connection": "The connection",
    "client": "langchain-cf-deepseek",
}


class CFDeepSeekError(openai.APIError, ModelError):
    """The base of every error that a request can raise.

    `str()` says what failed, why, and what to do; it never holds a credential. `request` and
    `response` are copies without the headers that hold one.
    """

    origin: Origin
    """What failed."""

    status_code: Any
    """HTTP status of the response, an int; `None` without a response."""

    code: Any
    """Cloudflare's number (`2009`), or DeepSeek's word (`"invalid_request_error"`)."""

    gateway: dict[str, Any]
    """Gateway metadata from the response headers: `log_id`, `cache_status`, `ray`, ..."""

    retry_after: float | None
    """Seconds to wait as requested by the service; `None` if it requested none."""

    hint: str
    """What to do, naming the field and the environment variable; can be empty."""

    partial: str
    """The text received before the failure; can be empty."""

    usage_metadata: UsageMetadata | None
    """The tokens billed for a response that is not a valid completion; `None` when unknown."""

    raw_message: AIMessage | None
    """The message as far as it was received; truncated or malformed calls are `invalid_tool_calls`.

    `None` when the failure is not about a response of the model.
    """

    response: Any
    """The response, without the request's credentials; `None` without one."""

    def __init__(
        self,
        message: str,
        *,
        origin: Origin,
        request: Any = None,
        response: Any = None,
        body: object = None,
        code: int | str | None = None,
        gateway: dict[str, Any] | None = None,
        retry_after: float | None = None,
        hint: str = "",
        partial: str = "",
        raw_message: AIMessage | None = None,
    ) -> None:
        openai.APIError.__init__(self, message, request, body=body)
        self.origin = origin
        self.code = code
        self.response = response
        self.status_code = response.status_code if response is not None else None
        self.gateway = gateway or {}
        self.request_id = self.gateway.get("request_id")
        self.retry_after = retry_after
        self.hint = hint
        self.partial = partial
        self.raw_message = raw_message
        self.usage_metadata = raw_message.usage_metadata if raw_message else None

    def __str__(self) -> str:
        details = [
            f"status {self.status_code}" if self.status_code else "",
            f"code {self.code}" if self.code else "",
            f"log id {self.gateway['log_id']}" if "log_id" in self.gateway else "",
        ]
        shown = ", ".join(filter(None, details))
        who = _ORIGIN_NAMES[self.origin] + (f" ({shown})" if shown else "")
        reason = self.message.rstrip()
        if reason and reason[-1] not in ".!?":
            reason += "."
        return " ".join(filter(None, [f"{who}:", reason, self.hint]))

    def __reduce__(self) -> tuple[Any, ...]:
        # `Exception.__reduce__` omits the keyword arguments that the openai classes require, so a
        # worker process could not return an error.
        return _restore, (type(self), self.args, self.__dict__.copy())


def _restore(
    cls: type[CFDeepSeekError], args: tuple[Any, ...], state: dict[str, Any]
) -> CFDeepSeekError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


class CFDeepSeekAuthenticationError(
    CFDeepSeekError, openai.AuthenticationError, ModelAuthenticationError
):
    """A credential is missing or wrong, or Cloudflare Access requires one; `hint` says which."""


class CFDeepSeekPermissionDeniedError(
    CFDeepSeekError, openai.PermissionDeniedError, ModelPermissionDeniedError
):
    """A policy, Cloudflare Access or Cloudflare's edge rejected the request."""


class CFDeepSeekInvalidRequestError(
    CFDeepSeekError, openai.BadRequestError, ModelInvalidRequestError, ValueError
):
    """The request is invalid and must change; `origin` "client": it was not sent."""


class CFDeepSeekContextOverflowError(CFDeepSeekInvalidRequestError, ContextOverflowError):
    """The messages are longer than the model's context."""


class CFDeepSeekModelNotFoundError(CFDeepSeekError, openai.NotFoundError, ModelNotFoundError):
    """No such model, route or address."""


class CFDeepSeekFileNotFoundError(CFDeepSeekError, openai.NotFoundError):
    """DeepSeek has no such file: it expired, was deleted, or belongs to another account."""


class CFDeepSeekLogNotFoundError(CFDeepSeekError, openai.NotFoundError):
    """The gateway has no such log (yet), or the log has no body."""


class CFDeepSeekFetchError(CFDeepSeekError, openai.NotFoundError):
    """DeepSeek could not fetch the page; another URL might work."""


class CFDeepSeekInsufficientFundsError(CFDeepSeekError, openai.APIStatusError):
    """DeepSeek's balance or the gateway's credits are used up, or the model needs your own key."""


class CFDeepSeekRateLimitError(CFDeepSeekError, openai.RateLimitError, ModelRateLimitError):
    """Too many requests at once or per minute; waiting helps."""


class CFDeepSeekSpendLimitError(CFDeepSeekError, openai.RateLimitError, ModelRateLimitError):
    """A budget is used up; waiting a moment does not help."""

    is_retryable = False


class CFDeepSeekContentBlockedError(CFDeepSeekError, openai.APIStatusError, ModelRefusalError):
    """The prompt or the response was blocked; the message says which, and by whom.

    Also the `ModelRefusalError` of langchain-core 1.7.5 and newer.
    """


class CFDeepSeekAPIError(CFDeepSeekError, openai.InternalServerError, ModelAPIError):
    """A service failed, or its response is not a valid completion."""


class CFDeepSeekEmptyResponseError(CFDeepSeekAPIError):
    """The response is empty, or in JSON mode nothing but white space."""


class CFDeepSeekIncompleteStreamError(CFDeepSeekAPIError):
    """A stream ended before its finish reason; `partial` holds the text received."""


class CFDeepSeekMaxTokensError(CFDeepSeekAPIError):
    """A tool call or JSON was truncated by `max_tokens`, as it would be in a retry."""

    is_retryable = False


class CFDeepSeekConnectionError(CFDeepSeekError, openai.APIConnectionError, ModelConnectionError):
    """The host could not be reached, or the connection was lost before the response was complete.

    Not retryable if the host's TLS certificate is not trusted.
    """


class CFDeepSeekTimeoutError(CFDeepSeekConnectionError, openai.APITimeoutError, ModelTimeoutError):
    """The response did not begin, or did not continue, in time."""
