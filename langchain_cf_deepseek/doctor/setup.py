"""A set-up to be checked: its settings, its model, and the response to the first request."""

import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cached_property
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from pydantic import SecretStr

from langchain_cf_deepseek._routing import sent_credentials
from langchain_cf_deepseek.chat_models import ChatCloudflareDeepSeek
from langchain_cf_deepseek.data.routings import (
    CREDENTIAL_VARIABLES,
    DEFAULT_ROUTING,
    ROUTINGS,
    VARIABLES,
    Routing,
)
from langchain_cf_deepseek.errors import (
    CFDeepSeekAPIError,
    CFDeepSeekAuthenticationError,
    CFDeepSeekError,
    CFDeepSeekInsufficientFundsError,
    CFDeepSeekInvalidRequestError,
    CFDeepSeekModelNotFoundError,
    CFDeepSeekPermissionDeniedError,
)

_CONNECT_TIMEOUT = 5.0
_READ_TIMEOUT = 20.0
_MAX_TOKENS = 16
_WRONG_TOKEN = "wrong-on-purpose"  # noqa: S105  # no credential


class Setup:
    """A set-up. The model is built, and the first request sent, on first use."""

    def __init__(
        self,
        environment: Mapping[str, str],
        model: str,
        routing: Routing | None,
        opened: ExitStack,
    ) -> None:
        """Read the settings; `opened` closes what is opened."""
        self.model = model
        self.values = {
            field: environment.get(variable) or None for field, variable in VARIABLES.items()
        }
        self.routing: Any = routing or self.values["routing"] or DEFAULT_ROUTING
        self._opened = opened
        # Unique, so that no run is answered from what an earlier one left in the cache.
        self._question = f"Count from 1 to 9. ({secrets.token_hex(8)})"

    @property
    def sent(self) -> frozenset[str]:
        """The fields of the credentials that are sent; all of them for an unknown routing."""
        known = sent_credentials(self.routing) if self.is_routing_known else CREDENTIAL_VARIABLES
        return frozenset(known)

    @property
    def is_routing_known(self) -> bool:
        """Whether the routing is one of the three."""
        return self.routing in ROUTINGS

    @cached_property
    def llm(self) -> ChatCloudflareDeepSeek:
        """The model.

        Raises:
            pydantic.ValidationError: A setting is missing or malformed.
        """
        fields: dict[str, Any] = {
            **self.values,
            "model": self.model,
            "routing": self.routing,
            "max_tokens": _MAX_TOKENS,
            "max_retries": 0,
            "timeout": (_CONNECT_TIMEOUT, _READ_TIMEOUT),
            "stream_chunk_timeout": _READ_TIMEOUT,
            "output_version": "v0",
        }
        if self._is_from_deepseek:
            # A parameter of DeepSeek, which other models can reject.
            fields["thinking"] = "disabled"
        return self._opened.enter_context(ChatCloudflareDeepSeek(**fields))

    @cached_property
    def first_response(self) -> AIMessage | CFDeepSeekError:
        """The response to the first request, or its error."""
        return self._send(self.llm)

    def repeat(self) -> AIMessage | CFDeepSeekError:
        """Send the first request again."""
        return self._send(self.llm)

    def send_with_wrong_token(self) -> AIMessage | CFDeepSeekError:
        """Send the first request with a gateway token that is wrong on purpose."""
        wrong = {"gateway_token": SecretStr(_WRONG_TOKEN)}
        return self._send(self.llm.model_copy(update=wrong))

    def _send(self, llm: ChatCloudflareDeepSeek) -> AIMessage | CFDeepSeekError:
        try:
            return llm.invoke(self._question, gateway={"cache_ttl": 60})
        except CFDeepSeekError as error:
            return error

    def stream(self) -> list[AIMessageChunk] | CFDeepSeekError:
        """Send a streaming request."""
        try:
            return list(self.llm.stream(self._question, gateway={"skip_cache": True}))
        except CFDeepSeekError as error:
            return error

    def failure(self, check: str) -> CFDeepSeekError | None:
        """Return the error of the first request, if it belongs to `check`."""
        first = self.first_response
        return first if isinstance(first, CFDeepSeekError) and check_of(first) == check else None

    @property
    def reached_deepseek(self) -> bool:
        """Whether DeepSeek received the first request."""
        first = self.first_response
        is_stopped = isinstance(first, CFDeepSeekError) and first.origin != "deepseek"
        return self._is_from_deepseek and not is_stopped

    @property
    def _is_from_deepseek(self) -> bool:
        return "/" not in self.model.removeprefix("deepseek/")


def gateway_metadata(response: AIMessage | CFDeepSeekError) -> dict[str, Any]:
    """Return the gateway metadata of a response or error."""
    if isinstance(response, CFDeepSeekError):
        return response.gateway
    metadata: dict[str, Any] = response.response_metadata["cloudflare_gateway"]
    return metadata


def check_of(error: CFDeepSeekError) -> str:
    """Return the name of the check that the error of a request belongs to."""
    return next(name for name, matches in _CHECKS if matches(error))


def _is_network_error(error: CFDeepSeekError) -> bool:
    return error.origin == "connection" and error.response is None


def is_credential_error(error: CFDeepSeekError) -> bool:
    """Return whether an error is about a credential of this package's settings."""
    # Rejections by the edge, Cloudflare Access included, are solved differently.
    return isinstance(error, CFDeepSeekAuthenticationError) and error.origin != _EDGE


_EDGE = "cloudflare-edge"

# On the REST host: the provider rejected the key that is stored in the gateway.
_STORED_KEY_REJECTED = ("cloudflare-api", 2009)


def _is_provider_key_error(error: CFDeepSeekError) -> bool:
    return isinstance(error, CFDeepSeekAuthenticationError) and (
        error.origin == "deepseek" or (error.origin, error.code) == _STORED_KEY_REJECTED
    )


# The model's prefix names no provider.
_PREFIX_CODES = {2008, 2019}


def _is_model_error(error: CFDeepSeekError) -> bool:
    if isinstance(error, CFDeepSeekModelNotFoundError) and error.origin != _EDGE:
        # A 404 without a code, and not from DeepSeek, means a wrong URL.
        return error.code is not None or error.origin == "deepseek"
    return error.code in _PREFIX_CODES


def _is_balance_error(error: CFDeepSeekError) -> bool:
    return isinstance(error, CFDeepSeekInsufficientFundsError) and error.origin != _EDGE


def _is_gateway_error(error: CFDeepSeekError) -> bool:
    if error.origin in {"deepseek", _EDGE}:
        # A request that the edge rejects does not reach the gateway.
        return error.origin == _EDGE
    if isinstance(error, CFDeepSeekAPIError):
        # Without a log id, the error is from a server in front of the gateway.
        return "log_id" not in error.gateway
    return isinstance(
        error,
        CFDeepSeekAuthenticationError
        | CFDeepSeekInvalidRequestError
        | CFDeepSeekModelNotFoundError
        | CFDeepSeekPermissionDeniedError,
    )


_CHECKS: tuple[tuple[str, Callable[[CFDeepSeekError], bool]], ...] = (
    ("host", _is_network_error),
    ("DeepSeek key", _is_provider_key_error),
    ("model", _is_model_error),
    ("balance", _is_balance_error),
    ("gateway", _is_gateway_error),
    ("answer", lambda _: True),
)
