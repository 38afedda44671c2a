"""The HTTP of one model: requests in, plain dicts out."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import openai

from langchain_cf_deepseek._errors.invalid_requests import refused_before_sending
from langchain_cf_deepseek._errors.responses import (
    API_EXTENSION,
    ROUTING_EXTENSION,
    error_from_response,
)
from langchain_cf_deepseek._errors.rules import Api
from langchain_cf_deepseek._http.clients import HttpClients
from langchain_cf_deepseek._http.connection_errors import typed_connection_errors
from langchain_cf_deepseek._http.http_library import library_of
from langchain_cf_deepseek._http.response_body import (
    aiter_body,
    aread_body,
    aread_error_body,
    iter_body,
    read_body,
    read_error_body,
)
from langchain_cf_deepseek._http.retries import RetryState
from langchain_cf_deepseek._http.stream import StreamReader, read_completion
from langchain_cf_deepseek._json import encode
from langchain_cf_deepseek._version import __version__
from langchain_cf_deepseek.data.routings import Routing
from langchain_cf_deepseek.errors import CFDeepSeekError

_HEADERS = {
    "Accept": "application/json",
    "Content-Type": "application/json",
    "User-Agent": f"langchain-cf-deepseek/{__version__}",
}

_LIBRARY_TIMEOUT = 5.0
"""The HTTP library's default, in seconds."""


BodyReader: TypeAlias = Callable[[Any], dict[str, Any]]
"""Returns the JSON of a response, or raises the `CFDeepSeekError` that it reports."""


@dataclass(frozen=True)
class WireRequest:
    """One request, ready to be sent."""

    url: str
    headers: Mapping[str, str]
    body: dict[str, Any]

    routing: Routing = "provider-native"
    """Which Cloudflare endpoint it goes to; errors name the failing side by it."""

    api: Api = "chat"
    """Which API of DeepSeek it goes to; decides what a status means."""

    query: Mapping[str, Any] | None = None

    timeout: Any = None
    """Seconds, a (connect, read) pair or a `Timeout` of the HTTP library; `None`: the SDK's."""

    max_retries: int = openai.DEFAULT_MAX_RETRIES

    chunk_timeout: float | None = None
    """Seconds without an event after which a stream that has begun fails; `None`: `timeout`."""

    keep_alive_is_progress: bool = False
    """Whether keep-alive comments show that the server works: it searches or reviews in silence."""

    http_client: Any = None
    """The caller's own HTTP client, sync or async; `None`: one of this package."""

    resume: int = 0
    """How often a stream that breaks is resumed."""

    beta_url: str | None = None
    """The URL for DeepSeek's beta features; `None` where the routing has none."""

    delay: float = 0.0
    """Seconds to wait before it is sent."""

    forcing: Mapping[str, Any] | None = None
    """The parameters of a second request, which forces the requested tool call.

    Set where thinking prevents forcing it in the first.
    """


class Transport:
    """Sends the requests of one model and of its copies.

    No connection is opened before the first request.
    """

    def __init__(self) -> None:
        self._clients = HttpClients()

    def __eq__(self, other: object) -> bool:
        # Clients hold none of a model's settings, so they do not make two models unequal.
        return isinstance(other, Transport)

    def __hash__(self) -> int:
        return hash(Transport)

    def send(
        self, request: WireRequest, read: BodyReader = read_completion
    ) -> tuple[Any, dict[str, Any]]:
        """Return the response to a request, and its JSON.

        Args:
            request: The request.
            read: Returns the JSON; the default reads a completion, which holds `choices`.

        Raises:
            CFDeepSeekError: No response arrived, or it was not a valid one.
        """
        with self._clients.acquire(request.http_client) as client:
            response = _send(client, request, stream=False)
        return response, read(response)

    async def asend(
        self, request: WireRequest, read: BodyReader = read_completion
    ) -> tuple[Any, dict[str, Any]]:
        """`send` for an event loop."""
        async with self._clients.aacquire(request.http_client) as client:
            response = await _asend(client, request, stream=False)
        return response, read(response)

    @contextmanager
    def stream(self, request: WireRequest) -> Generator[tuple[Any, Iterator[dict[str, Any]]]]:
        """Open the response to a request: the response, and the events of its stream.

        Leaving the context releases the connection.

        Raises:
            CFDeepSeekError: No response arrived, it reports an error, or reading it failed.
        """
        with self._clients.acquire(request.http_client) as client:
            response = _send(client, request, stream=True)
            reader = StreamReader(
                response,
                request.chunk_timeout,
                keep_alive_is_progress=request.keep_alive_is_progress,
            )
            try:
                yield response, reader.events(iter_body(response))
            finally:
                response.close()

    @asynccontextmanager
    async def astream(
        self, request: WireRequest
    ) -> AsyncGenerator[tuple[Any, AsyncIterator[dict[str, Any]]]]:
        """`stream` for an event loop."""
        async with self._clients.aacquire(request.http_client) as client:
            response = await _asend(client, request, stream=True)
            reader = StreamReader(
                response,
                request.chunk_timeout,
                keep_alive_is_progress=request.keep_alive_is_progress,
            )
            try:
                yield response, reader.aevents(aiter_body(response))
            finally:
                await response.aclose()

    def close(self) -> None:
        """Close the connections of sync calls; those in use close when their calls end.

        The next call opens new ones. Clients supplied by the caller are never closed.
        """
        self._clients.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop; calls in progress might fail.

        The next call opens new ones. Clients supplied by the caller are never closed.
        """
        await self._clients.aclose()


def _send(client: Any, request: WireRequest, *, stream: bool) -> Any:
    """Send a request, retry transient failures, and return the response.

    Raises:
        CFDeepSeekError: No response arrived, or it reports an error.
    """
    retries = RetryState(request.max_retries)
    if request.delay:
        time.sleep(request.delay)
    while True:
        http_request = _build_request(client, request)
        try:
            with typed_connection_errors(http_request):
                # A redirect could carry the credentials to another host.
                response = client.send(http_request, stream=True, follow_redirects=False)
            if not response.is_success:
                raise error_from_response(response, body=read_error_body(response))
            if not stream:
                read_body(response)
        except CFDeepSeekError as error:
            if not retries.should_retry(error):
                raise
        else:
            return response
        time.sleep(retries.delay)


async def _asend(client: Any, request: WireRequest, *, stream: bool) -> Any:
    """`_send` for an event loop."""
    retries = RetryState(request.max_retries)
    if request.delay:
        await asyncio.sleep(request.delay)
    while True:
        http_request = _build_request(client, request)
        try:
            with typed_connection_errors(http_request):
                response = await client.send(http_request, stream=True, follow_redirects=False)
            if not response.is_success:
                raise error_from_response(response, body=await aread_error_body(response))
            if not stream:
                await aread_body(response)
        except CFDeepSeekError as error:
            if not retries.should_retry(error):
                raise
        else:
            return response
        await asyncio.sleep(retries.delay)


@refused_before_sending()
def _build_request(client: Any, request: WireRequest) -> Any:
    """Return `request` as a request of the client's HTTP library."""
    return client.build_request(
        "POST",
        _parse_url(library_of(type(client)), request.url),
        content=encode(request.body),
        headers={**_HEADERS, **request.headers},
        params=request.query or None,
        timeout=_convert_timeout(client, request.timeout),
        extensions={ROUTING_EXTENSION: request.routing, API_EXTENSION: request.api},
    )


@lru_cache
def _parse_url(library: Any, url: str) -> Any:
    return library.URL(url)


def _convert_timeout(client: Any, timeout: Any) -> Any:
    """Return a timeout as one of the client's HTTP library, which can differ from the SDK's."""
    library = library_of(type(client))
    if timeout is None:
        # A client's own timeout, unless it is the library's default: that is too short to think.
        is_default = client.timeout == library.Timeout(_LIBRARY_TIMEOUT)
        timeout = openai.DEFAULT_TIMEOUT if is_default else client.timeout
    if hasattr(timeout, "as_dict"):
        return library.Timeout(**timeout.as_dict())
    return library.Timeout(timeout)
