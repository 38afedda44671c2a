"""A set-up under examination: its settings, its model, and what came of the first request."""

import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cached_property
from typing import Any, get_args

from langchain_core.messages import AIMessage, AIMessageChunk
from pydantic import SecretStr

from langchain_cf_deepseek._routing import CREDENTIAL_VARIABLES, Routing, sent_credentials
from langchain_cf_deepseek._settings import VARIABLES
from langchain_cf_deepseek.chat_models import ChatCloudflareDeepSeek
from langchain_cf_deepseek.errors import (
    CFDeepSeekAPIError,
    CFDeepSeekAuthenticationError,
    CFDeepSeekError,
    CFDeepSeekInsufficientFundsError,
    CFDeepSeekInvalidRequestError,
    CFDeepSeekModelNotFoundError,
    CFDeepSeekPermissionDeniedError,
)

_CONNECT_SECONDS = 5.0
_SILENCE_SECONDS = 20.0
_MAX_TOKENS = 16
_WRONG_TOKEN = "wrong-on-purpose"  # noqa: S105  # opens nothing


class Setup:
    """A set-up. Nothing is built or sent before it is asked for."""

    def __init__(
        self,
        environment: Mapping[str, str],
        model: str,
        routing: Routing | None,
        opened: ExitStack,
    ) -> None:
        """Read the settings; what will have to be closed goes into `opened`."""
        self.model = model
        self.values = {
            field: environment.get(variable) or None for field, variable in VARIABLES.items()
        }
        self.routing: Any = routing or self.values["routing"] or "provider-native"
        self._opened = opened
        # No two runs may find each other's answers in the gateway's cache.
        self._question = f"Count from 1 to 9. ({secrets.token_hex(8)})"

    @property
    def sent(self) -> frozenset[str]:
        """The credentials that leave, by field; all of them where the routing is unknown."""
        known = sent_credentials(self.routing) if self.has_routing else CREDENTIAL_VARIABLES
        return frozenset(known)

    @property
    def has_routing(self) -> bool:
        """Whether the routing is one of the three."""
        return self.routing in get_args(Routing)

    @cached_property
    def llm(self) -> ChatCloudflareDeepSeek:
        """The model.

        Raises:
            pydantic.ValidationError: The settings do not make one.
        """
        fields: dict[str, Any] = {
            **self.values,
            "model": self.model,
            "routing": self.routing,
            "max_tokens": _MAX_TOKENS,
            "max_retries": 0,
            "timeout": (_CONNECT_SECONDS, _SILENCE_SECONDS),
            "stream_chunk_timeout": _SILENCE_SECONDS,
            "output_version": "v0",
        }
        if self._is_from_deepseek:
            # DeepSeek's own switch, which models from elsewhere may refuse.
            fields["thinking"] = "disabled"
        return self._opened.enter_context(ChatCloudflareDeepSeek(**fields))

    @cached_property
    def first(self) -> AIMessage | CFDeepSeekError:
        """What came of the first request."""
        return self._ask(self.llm)

    def ask_again(self) -> AIMessage | CFDeepSeekError:
        """Send the first request once more."""
        return self._ask(self.llm)

    def ask_with_a_wrong_token(self) -> AIMessage | CFDeepSeekError:
        """Send the first request with a gateway token that is wrong on purpose."""
        wrong = {"gateway_token": SecretStr(_WRONG_TOKEN)}
        return self._ask(self.llm.model_copy(update=wrong))

    def _ask(self, llm: ChatCloudflareDeepSeek) -> AIMessage | CFDeepSeekError:
        try:
            return llm.invoke(self._question, gateway={"cache_ttl": 60})
        except CFDeepSeekError as error:
            return error

    def stream(self) -> list[AIMessageChunk] | CFDeepSeekError:
        """Ask for the answer as a stream."""
        try:
            return list(self.llm.stream(self._question, gateway={"skip_cache": True}))
        except CFDeepSeekError as error:
            return error

    def failure(self, check: str) -> CFDeepSeekError | None:
        """The error of the first request, if that is what `check` is about."""
        if isinstance(self.first, CFDeepSeekError) and check_of(self.first) == check:
            return self.first
        return None

    @property
    def reached_deepseek(self) -> bool:
        """Whether the first request came as far as DeepSeek, with an answer or without."""
        stopped = isinstance(self.first, CFDeepSeekError) and self.first.origin != "deepseek"
        return self._is_from_deepseek and not stopped

    @property
    def _is_from_deepseek(self) -> bool:
        return "/" not in self.model.removeprefix("deepseek/")


def facts(answer: AIMessage | CFDeepSeekError) -> dict[str, Any]:
    """Return what the gateway said with an answer."""
    if isinstance(answer, CFDeepSeekError):
        return answer.gateway
    said: dict[str, Any] = answer.response_metadata["cloudflare_gateway"]
    return said


def check_of(error: CFDeepSeekError) -> str:
    """Return the name of the check that the error of a request belongs to."""
    return next(name for name, fits in _CHECK_OF if fits(error))


def _is_network_error(error: CFDeepSeekError) -> bool:
    return error.origin == "connection" and error.response is None


def is_credential_error(error: CFDeepSeekError) -> bool:
    """Return whether an error is about a credential of this package's settings."""
    # What the edge refuses, Cloudflare Access included, has other ways out.
    return isinstance(error, CFDeepSeekAuthenticationError) and error.origin != _EDGE


_EDGE = "cloudflare-edge"

# On the REST host: the provider refused the key that is stored in the gateway.
_STORED_KEY_REFUSED = ("cloudflare-api", 2009)


def _is_provider_key_error(error: CFDeepSeekError) -> bool:
    return isinstance(error, CFDeepSeekAuthenticationError) and (
        error.origin == "deepseek" or (error.origin, error.code) == _STORED_KEY_REFUSED
    )


# The prefix of the model names no provider.
_PREFIX_CODES = {2008, 2019}


def _is_model_error(error: CFDeepSeekError) -> bool:
    if isinstance(error, CFDeepSeekModelNotFoundError) and error.origin != _EDGE:
        # Without a code, and not from DeepSeek, a 404 is of a wrong address.
        return error.code is not None or error.origin == "deepseek"
    return error.code in _PREFIX_CODES


def _is_balance_error(error: CFDeepSeekError) -> bool:
    return isinstance(error, CFDeepSeekInsufficientFundsError) and error.origin != _EDGE


def _is_gateway_error(error: CFDeepSeekError) -> bool:
    if error.origin in {"deepseek", _EDGE}:
        # The edge lets nothing through to the gateway.
        return error.origin == _EDGE
    if isinstance(error, CFDeepSeekAPIError):
        # Without a log id the gateway did not write this, but whatever stands in front of it.
        return "log_id" not in error.gateway
    return isinstance(
        error,
        CFDeepSeekAuthenticationError
        | CFDeepSeekInvalidRequestError
        | CFDeepSeekModelNotFoundError
        | CFDeepSeekPermissionDeniedError,
    )


_CHECK_OF: tuple[tuple[str, Callable[[CFDeepSeekError], bool]], ...] = (
    ("host", _is_network_error),
    ("DeepSeek key", _is_provider_key_error),
    ("model", _is_model_error),
    ("balance", _is_balance_error),
    ("gateway", _is_gateway_error),
    ("answer", lambda _: True),
)
