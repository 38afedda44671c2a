"""What can go wrong, as exceptions.

    CFDeepSeekError                          openai.APIError + ModelError
    ├── CFDeepSeekAuthenticationError        401: `hint` says which credential
    ├── CFDeepSeekPermissionDeniedError      403: policy, Access, edge block
    ├── CFDeepSeekInvalidRequestError        400, 413, 415, 422: the request must change
    │   └── CFDeepSeekContextOverflowError   longer than the model's context
    ├── CFDeepSeekModelNotFoundError         404
    ├── CFDeepSeekLogNotFoundError           404: no such log, or not yet
    ├── CFDeepSeekInsufficientFundsError     402: balance, credits, model needs your key
    ├── CFDeepSeekRateLimitError             429, retryable
    ├── CFDeepSeekSpendLimitError            429 of a budget, not retryable
    ├── CFDeepSeekContentBlockedError        guardrails, DLP, content_filter, DeepSeek's risk block
    ├── CFDeepSeekAPIError                   5xx, 2005, an answer that is none; retryable
    │   ├── CFDeepSeekEmptyResponseError     an answer without a token
    │   └── CFDeepSeekIncompleteStreamError  a stream that ended without its finish
    └── CFDeepSeekConnectionError            could not reach; retryable
        └── CFDeepSeekTimeoutError           gave up waiting; retryable

Each class is at the same time the `openai` class and the `langchain_core` `ModelError` of its
condition, so code that catches any of the three works. Which answer becomes which class stands in
`error_rules.py`.
"""

from typing import Any, Literal

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
    "CFDeepSeekModelNotFoundError",
    "CFDeepSeekPermissionDeniedError",
    "CFDeepSeekRateLimitError",
    "CFDeepSeekSpendLimitError",
    "CFDeepSeekTimeoutError",
    "Origin",
]

Origin = Literal["gateway", "cloudflare-api", "deepseek", "connection"]
"""Who failed: the gateway, Cloudflare's API, DeepSeek, or the way there."""

_WHO: dict[Origin, str] = {
    "gateway": "Cloudflare AI Gateway",
    "cloudflare-api": "Cloudflare's API",
    "deepseek": "DeepSeek",
    "connection": "The connection",
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
    """The text of the answer received before the failure; empty outside streams."""

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

    def __str__(self) -> str:
        facts = [
            f"status {self.status_code}" if self.status_code else "",
            f"code {self.code}" if self.code else "",
            f"log id {self.gateway['log_id']}" if "log_id" in self.gateway else "",
        ]
        details = ", ".join(filter(None, facts))
        who = _WHO[self.origin] + (f" ({details})" if details else "")
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
    """A credential is missing or wrong; `origin` and `hint` say which of the three."""


class CFDeepSeekPermissionDeniedError(
    CFDeepSeekError, openai.PermissionDeniedError, ModelPermissionDeniedError
):
    """A policy, Cloudflare Access or Cloudflare's edge refused the request."""


class CFDeepSeekInvalidRequestError(
    CFDeepSeekError, openai.BadRequestError, ModelInvalidRequestError
):
    """The request is wrong and must change."""


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


class CFDeepSeekContentBlockedError(CFDeepSeekError, openai.APIStatusError):
    """The prompt or the answer was blocked; the message says which, and by whom."""


class CFDeepSeekAPIError(CFDeepSeekError, openai.InternalServerError, ModelAPIError):
    """A service failed, or answered with something that is no answer."""


class CFDeepSeekEmptyResponseError(CFDeepSeekAPIError):
    """The answer holds no token, or in JSON mode nothing but white space."""


class CFDeepSeekIncompleteStreamError(CFDeepSeekAPIError):
    """A stream ended before its finish; `partial` holds the text received."""


class CFDeepSeekConnectionError(CFDeepSeekError, openai.APIConnectionError, ModelConnectionError):
    """The host could not be reached, or the connection broke before a whole answer had come."""


class CFDeepSeekTimeoutError(CFDeepSeekConnectionError, openai.APITimeoutError, ModelTimeoutError):
    """No answer, or no further part of it, came in time."""
