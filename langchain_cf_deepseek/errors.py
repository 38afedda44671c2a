"""What can go wrong, as exceptions.

    CFDeepSeekError                          openai.APIError + ModelError
    ├── CFDeepSeekAuthenticationError        401: `hint` says which credential
    ├── CFDeepSeekPermissionDeniedError      403: policy, Access, edge block
    ├── CFDeepSeekInvalidRequestError        400, 413, 415, 422, or refused before sending
    │   └── CFDeepSeekContextOverflowError   longer than the model's context
    ├── CFDeepSeekModelNotFoundError         404
    ├── CFDeepSeekLogNotFoundError           404: no such log, or not yet
    ├── CFDeepSeekInsufficientFundsError     402: balance, credits, model needs your key
    ├── CFDeepSeekRateLimitError             429, retryable
    ├── CFDeepSeekSpendLimitError            429 of a budget, not retryable
    ├── CFDeepSeekContentBlockedError        guardrails, DLP, content_filter, DeepSeek's risk block
    ├── CFDeepSeekAPIError                   5xx, 2005, an invalid completion; retryable
    │   ├── CFDeepSeekEmptyResponseError     a completion without a token
    │   ├── CFDeepSeekIncompleteStreamError  a stream that ended without its finish
    │   └── CFDeepSeekMaxTokensError         a call or JSON cut by the limit, not retryable
    └── CFDeepSeekConnectionError            could not reach; retryable
        └── CFDeepSeekTimeoutError           gave up waiting; retryable

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
"""Who failed: the gateway, Cloudflare's API, Cloudflare's edge in front of both, DeepSeek, the
connection, or this package before it sent anything."""

_ORIGIN_NAMES: dict[Origin, str] = {
    "gateway": "Cloudflare AI Gateway",
    "cloudflare-api": "Cloudflare's API",
    "cloudflare-edge": "Cloudflare's edge",
    "deepseek": "DeepSeek",
    "connection": "The connection",
    "client": "langchain-cf-deepseek",
}


class CFDeepSeekError(openai.APIError, ModelError):
    """The root of every error that a request can end in.

    `str()` says who failed, why, and what to do; it never holds a credential. `request` and
    `response` are copies without the headers that carry one.
    """

    origin: Origin
    """Who failed."""

    status_code: Any
    """HTTP status of the answer, an int; `None` when there was no answer."""

    code: Any
    """Cloudflare's number (`2009`), or DeepSeek's word (`"invalid_request_error"`)."""

    gateway: dict[str, Any]
    """What the gateway said in its headers: `log_id`, `cache_status`, `ray`, ..."""

    retry_after: float | None
    """Seconds that the service asked to wait, when it said so."""

    hint: str
    """What to do, naming the field and the environment variable; may be empty."""

    partial: str
    """The text received before the failure; empty where none came."""

    usage_metadata: UsageMetadata | None
    """The tokens billed for a response that is not a valid completion; `None` when unknown."""

    raw_message: AIMessage | None
    """The message as far as it came, with cut or broken calls in `invalid_tool_calls`.

    `None` when the failure is not about a response of the model.
    """

    response: Any
    """The answer, without the request's credentials; `None` when there was none."""

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
        self._is_usage_reported = False

    def __str__(self) -> str:
        facts = [
            f"status {self.status_code}" if self.status_code else "",
            f"code {self.code}" if self.code else "",
            f"log id {self.gateway['log_id']}" if "log_id" in self.gateway else "",
        ]
        details = ", ".join(filter(None, facts))
        who = _ORIGIN_NAMES[self.origin] + (f" ({details})" if details else "")
        reason = self.message.rstrip()
        if reason and reason[-1] not in ".!?":
            reason += "."
        return " ".join(filter(None, [f"{who}:", reason, self.hint]))

    def __reduce__(self) -> tuple[Any, ...]:
        # The openai classes take keyword arguments that `Exception.__reduce__` does not pass on:
        # without this an error could not come back from a worker process.
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
    """A credential is missing or wrong, or Cloudflare Access asks for one; `hint` says which."""


class CFDeepSeekPermissionDeniedError(
    CFDeepSeekError, openai.PermissionDeniedError, ModelPermissionDeniedError
):
    """A policy, Cloudflare Access or Cloudflare's edge refused the request."""


class CFDeepSeekInvalidRequestError(
    CFDeepSeekError, openai.BadRequestError, ModelInvalidRequestError, ValueError
):
    """The request is invalid and must change; `origin` "client": it was not sent."""


class CFDeepSeekContextOverflowError(CFDeepSeekInvalidRequestError, ContextOverflowError):
    """The messages are longer than the model's context."""


class CFDeepSeekModelNotFoundError(CFDeepSeekError, openai.NotFoundError, ModelNotFoundError):
    """No such model, route or address."""


class CFDeepSeekLogNotFoundError(CFDeepSeekError, openai.NotFoundError):
    """The gateway has no such log, or not yet, or no body in it."""


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
    """A stream ended before its finish; `partial` holds the text received."""


class CFDeepSeekMaxTokensError(CFDeepSeekAPIError):
    """A tool call or JSON was cut by `max_tokens`: the same request is cut at the same place."""

    is_retryable = False


class CFDeepSeekConnectionError(CFDeepSeekError, openai.APIConnectionError, ModelConnectionError):
    """The host could not be reached, or the connection broke before a whole answer had come.

    Not retryable where the host's TLS certificate is not trusted.
    """


class CFDeepSeekTimeoutError(CFDeepSeekConnectionError, openai.APITimeoutError, ModelTimeoutError):
    """No answer, or no further part of it, came in time."""
