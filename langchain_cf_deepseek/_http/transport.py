"""The HTTP of one model: requests in, plain dicts out; how often it is tried, and how it fails."""

import asyncio
import random
import re
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Generator,
    Iterator,
    Mapping,
)
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import openai
from anyio import EndOfStream  # a dependency of every HTTP library that the SDK stands on

from langchain_cf_deepseek._errors.certificates import SET_CERTIFICATES, UNTRUSTED, is_untrusted
from langchain_cf_deepseek._errors.invalid_requests import refused_before_sending
from langchain_cf_deepseek._errors.rules import (
    ROUTING_EXTENSION,
    TRY_AGAIN,
    error_for_response,
    error_from_response,
)
from langchain_cf_deepseek._http.clients import HttpClients
from langchain_cf_deepseek._http.library import library_of
from langchain_cf_deepseek._http.stream import StreamReader, read_completion
from langchain_cf_deepseek._json import encode
from langchain_cf_deepseek._redaction import extract_and_mask_secrets, request_without_credentials
from langchain_cf_deepseek._version import __version__
from langchain_cf_deepseek.data.routings import Routing
from langchain_cf_deepseek.errors import (
    CFDeepSeekAPIError,
    CFDeepSeekConnectionError,
    CFDeepSeekError,
    CFDeepSeekTimeoutError,
)

_HEADERS = {
    "Accept": "application/json",
    "Content-Type": "application/json",
    "User-Agent": f"langchain-cf-deepseek/{__version__}",
}

# Seconds; those of the SDK.
_INITIAL_DELAY = 0.5
_MAX_DELAY = 8.0
_MAX_RETRY_AFTER = 120.0

_LIBRARY_TIMEOUT = 5.0

# What the HTTP libraries say of headers that are longer than they read: h11 and aiohttp.
_TOO_LARGE = re.compile(
    r"Receive buffer too long|Got more than \d+ bytes|too many headers", re.IGNORECASE
)


@dataclass(frozen=True)
class WireRequest:
    """One request, ready to be sent."""

    url: str
    headers: Mapping[str, str]
    body: dict[str, Any]

    routing: Routing = "provider-native"
    """Which Cloudflare endpoint it goes to; errors name the failing side by it."""

    query: Mapping[str, Any] | None = None

    timeout: Any = None
    """Seconds, a (connect, read) pair or a `Timeout` of the HTTP library; `None`: the SDK's."""

    max_retries: int = openai.DEFAULT_MAX_RETRIES

    chunk_timeout: float | None = None
    """Seconds of silence that end a stream once it has begun; `None`: as `timeout` says."""

    http_client: Any = None
    """The user's own HTTP client, sync or async as the call is; `None`: one of ours."""

    forcing: Mapping[str, Any] | None = None
    """The parameters that force the tool call that was asked for, where thinking prevented it."""


class Transport:
    """The way to the gateway for one model, and for the copies made of it.

    Nothing is opened before the first request.
    """

    def __init__(self) -> None:
        self._clients = HttpClients()

    def __eq__(self, other: object) -> bool:
        # Nothing of a model is in its clients, so they are no difference between two models.
        return isinstance(other, Transport)

    def __hash__(self) -> int:
        return hash(Transport)

    def send(self, request: WireRequest) -> tuple[Any, dict[str, Any]]:
        """Return the answer to a request, and its JSON, which holds `choices`.

        Raises:
            CFDeepSeekError: There is no answer, or it is none.
        """
        with self._clients.lend(request.http_client) as client:
            response = _answer(client, request, stream=False)
        return response, read_completion(response)

    async def asend(self, request: WireRequest) -> tuple[Any, dict[str, Any]]:
        """`send` for an event loop."""
        async with self._clients.aacquire(request.http_client) as client:
            response = await _aanswer(client, request, stream=False)
        return response, read_completion(response)

    @contextmanager
    def stream(self, request: WireRequest) -> Generator[tuple[Any, Iterator[dict[str, Any]]]]:
        """Open the answer to a request: the response, and the events of its stream.

        Leaving the context frees the connection.

        Raises:
            CFDeepSeekError: There is no answer, or reading it fails.
        """
        with self._clients.lend(request.http_client) as client:
            response = _answer(client, request, stream=True)
            reader = StreamReader(response, request.chunk_timeout)
            try:
                yield response, reader.events(iter(_body(response)))
            finally:
                response.close()

    @asynccontextmanager
    async def astream(
        self, request: WireRequest
    ) -> AsyncGenerator[tuple[Any, AsyncIterator[dict[str, Any]]]]:
        """`stream` for an event loop."""
        async with self._clients.aacquire(request.http_client) as client:
            response = await _aanswer(client, request, stream=True)
            reader = StreamReader(response, request.chunk_timeout)
            try:
                yield response, reader.aevents(aiter(_abody(response)))
            finally:
                await response.aclose()

    def close(self) -> None:
        """Close the connections of sync calls, those in use when they are done.

        The next call opens new ones. A client that the user made stays open: it is his.
        """
        self._clients.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop; calls under way may fail.

        The next call opens new ones.

        A client that the user made stays open: it is his.
        """
        await self._clients.aclose()


def _answer(client: Any, request: WireRequest, *, stream: bool) -> Any:
    """Send a request, again where that may help, and return the response.

    Raises:
        CFDeepSeekError: None came, or an error.
    """
    attempts = _RetryState(request.max_retries)
    while True:
        sent = _build_request(client, request)
        try:
            with _typed_connection_errors(sent):
                # A redirect could carry the credentials to another host.
                response = client.send(sent, stream=True, follow_redirects=False)
            if response.is_success:
                if not stream:
                    _read(response)
                return response
            content = _read_as_far_as_it_comes(response)
            raise error_from_response(response, content=content)
        except CFDeepSeekError as error:
            if not attempts.should_retry(error):
                raise
        time.sleep(attempts.delay)


async def _aanswer(client: Any, request: WireRequest, *, stream: bool) -> Any:
    """`_answer` for an event loop."""
    attempts = _RetryState(request.max_retries)
    while True:
        sent = _build_request(client, request)
        try:
            with _typed_connection_errors(sent):
                response = await client.send(sent, stream=True, follow_redirects=False)
            if response.is_success:
                if not stream:
                    await _aread(response)
                return response
            content = await _aread_as_far_as_it_comes(response)
            raise error_from_response(response, content=content)
        except CFDeepSeekError as error:
            if not attempts.should_retry(error):
                raise
        await asyncio.sleep(attempts.delay)


def _read(response: Any) -> None:
    """Read a body whole."""
    try:
        with (
            _typed_connection_errors(response.request, begun=True),
            _typed_decoding_errors(response),
        ):
            response.read()
    finally:
        response.close()


async def _aread(response: Any) -> None:
    try:
        with (
            _typed_connection_errors(response.request, begun=True),
            _typed_decoding_errors(response),
        ):
            await response.aread()
    finally:
        await response.aclose()


def _read_as_far_as_it_comes(response: Any) -> bytes:
    """Return the body of a failure as it came over the wire: the status says what failed."""
    content = bytearray()
    try:
        with suppress(*_network_errors(response)):
            for piece in response.iter_raw():
                content += piece
    finally:
        response.close()
    return bytes(content)


async def _aread_as_far_as_it_comes(response: Any) -> bytes:
    content = bytearray()
    try:
        with suppress(*_network_errors(response)):
            async for piece in response.aiter_raw():
                content += piece
    finally:
        await response.aclose()
    return bytes(content)


def _network_errors(sent: Any) -> tuple[type[Exception], ...]:
    """Return what a request or a response of an HTTP library may fail with."""
    # The last one of a name that no host can have.
    return library_of(type(sent)).RequestError, EndOfStream, OSError, UnicodeError


def _body(response: Any) -> Any:
    """Return the pieces of a body as they come."""
    return response.iter_bytes() if _is_encoded(response) else response.stream


def _abody(response: Any) -> Any:
    return response.aiter_bytes() if _is_encoded(response) else response.stream


def _is_encoded(response: Any) -> bool:
    return "content-encoding" in response.headers


class _RetryState:
    """Whether to try again, and when."""

    def __init__(self, max_retries: int) -> None:
        self._left = max_retries
        self._pause = _INITIAL_DELAY
        self.delay = 0.0

    def should_retry(self, error: CFDeepSeekError) -> bool:
        """Return whether to try again after `error`, `delay` seconds later."""
        requested_delay = error.retry_after or 0.0
        if self._left <= 0 or not error.is_retryable or requested_delay > _MAX_RETRY_AFTER:
            return False
        # Clients that failed together should not come back together.
        self.delay = requested_delay or self._pause * random.uniform(0.75, 1)  # noqa: S311
        self._pause = min(2 * self._pause, _MAX_DELAY)
        self._left -= 1
        return True


@refused_before_sending()
def _build_request(client: Any, request: WireRequest) -> Any:
    """Return `request` as one of the client's HTTP library."""
    return client.build_request(
        "POST",
        _url(library_of(type(client)), request.url),
        content=encode(request.body),
        headers={**_HEADERS, **request.headers},
        params=request.query or None,
        timeout=_timeout(client, request.timeout),
        extensions={ROUTING_EXTENSION: request.routing},
    )


@lru_cache
def _url(library: Any, url: str) -> Any:
    """Return an address as one of an HTTP library, parsed once."""
    return library.URL(url)


def _timeout(client: Any, timeout: Any) -> Any:
    """Return a timeout as one of the client's HTTP library, which may be another than the SDK's."""
    library = library_of(type(client))
    if timeout is None:
        # A client's own, unless nobody has set it: the library's is too short to think in.
        untouched = client.timeout == library.Timeout(_LIBRARY_TIMEOUT)
        timeout = openai.DEFAULT_TIMEOUT if untouched else client.timeout
    if hasattr(timeout, "as_dict"):
        return library.Timeout(**timeout.as_dict())
    return library.Timeout(timeout)


@contextmanager
def _typed_connection_errors(sent: Any, *, begun: bool = False) -> Iterator[None]:
    library = library_of(type(sent))
    try:
        yield
    except library.TimeoutException as error:
        raise timed_out(sent, begun=begun) from error
    except _network_errors(sent) as error:
        if _TOO_LARGE.search(str(error)):
            raise too_large(sent) from error
        raise (broken if begun else unreachable)(sent, error) from error


@contextmanager
def _typed_decoding_errors(response: Any) -> Iterator[None]:
    try:
        yield
    except library_of(type(response)).DecodingError as error:
        encoding = response.headers.get("content-encoding")
        raise error_for_response(
            CFDeepSeekAPIError,
            f"the body is not in its content encoding {encoding!a:.60} ({error})",
            response,
            origin="connection",
        ) from error


def timed_out(
    sent: Any,
    *,
    begun: bool = False,
    hint: str = "Raise `timeout`, or try again in a moment.",
) -> CFDeepSeekTimeoutError:
    """Return the error of a request that waited too long for its answer; masks its credentials.

    Args:
        sent: The request.
        begun: Whether the answer had begun.
        hint: What to do.
    """
    extract_and_mask_secrets(sent)
    when = "in the middle of the answer" if begun else "before the answer began"
    return CFDeepSeekTimeoutError(
        f"the request timed out {when}",
        origin="connection",
        request=request_without_credentials(sent),
        hint=hint,
    )


def unreachable(
    sent: Any, cause: BaseException | None, variable: str = "CLOUDFLARE_AI_GATEWAY_BASE_URL"
) -> CFDeepSeekConnectionError:
    """Return the error of a request that had no answer; masks its credentials.

    Args:
        sent: The request.
        cause: What the HTTP library says.
        variable: Where `base_url` is read from.
    """
    extract_and_mask_secrets(sent)
    untrusted = is_untrusted(cause)
    reason = UNTRUSTED.format(host=sent.url.host, cause=cause)
    error = CFDeepSeekConnectionError(
        reason if untrusted else f"{sent.url.host} could not be reached: {cause}",
        origin="connection",
        request=request_without_credentials(sent),
        hint=SET_CERTIFICATES
        if untrusted
        else f"Check `base_url` ({variable}), the network and its proxy.",
    )
    if untrusted:
        # The same certificate comes with every attempt.
        error.is_retryable = False
    return error


def too_large(sent: Any) -> CFDeepSeekConnectionError:
    """Return the error of a response whose headers are too long; masks its credentials."""
    extract_and_mask_secrets(sent)
    error = CFDeepSeekConnectionError(
        "the headers of the response are longer than the 100 KiB that are read",
        origin="connection",
        request=request_without_credentials(sent),
        hint="Find out which server adds them: the same request brings the same headers.",
    )
    error.is_retryable = False
    return error


def broken(sent: Any, cause: object) -> CFDeepSeekConnectionError:
    """Return the error of an answer that broke off; masks the credentials of its request."""
    extract_and_mask_secrets(sent)
    return CFDeepSeekConnectionError(
        f"the connection broke in the middle of the answer ({cause})",
        origin="connection",
        request=request_without_credentials(sent),
        hint=TRY_AGAIN,
    )
