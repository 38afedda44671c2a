"""The HTTP of one model: clients built on first use; requests in, plain dicts out.

The `openai` SDK's client does what it is good at (connections, retries, timeouts), through its
generic `post`; its response models are not used, nor its reading of `OPENAI_*` variables.
"""

import asyncio
import os
import sys
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ssl import SSLContext
from typing import Any, Self, TypeAlias

import openai
from langchain_openai.chat_models.base import global_ssl_context
from openai._base_client import AsyncAPIClient, SyncAPIClient
from typing_extensions import override

from langchain_cf_deepseek._version import __version__
from langchain_cf_deepseek.encoding import encode
from langchain_cf_deepseek.error_rules import error_from_response
from langchain_cf_deepseek.errors import (
    CFDeepSeekConnectionError,
    CFDeepSeekError,
    CFDeepSeekTimeoutError,
)
from langchain_cf_deepseek.redaction import bare_request, take_secrets
from langchain_cf_deepseek.routing import THIS_MACHINE
from langchain_cf_deepseek.stream_reader import StreamReader, read_completion

# The SDK stands on httpx up to its version 2 and on httpx2 from 3 on; both have the same names.
_httpx = sys.modules[openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0]]

_ERROR = "langchain_cf_deepseek.error"
"""Under this name a response keeps its error."""

_HEADERS = {
    "Accept": "application/json",
    "Content-Type": "application/json",
    "User-Agent": f"langchain-cf-deepseek/{__version__}",
}


_Keeper: TypeAlias = AsyncGenerator[None, None]
"""Keeps an async client open as long as its event loop."""


@dataclass(frozen=True)
class WireRequest:
    """One request, ready to be sent."""

    url: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    query: Mapping[str, object] | None = None

    timeout: Any = None
    """Seconds, a (connect, read) pair or a `Timeout` of the HTTP library; `None`: the SDK's."""

    max_retries: int = openai.DEFAULT_MAX_RETRIES

    chunk_timeout: float | None = None
    """Seconds of silence that end a stream once it has begun; `None`: as `timeout` says."""

    http_client: Any = None
    """The user's own HTTP client, sync or async as the call is; `None`: one of ours."""

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the SDK's `post`.

        Raises:
            ValueError: The body cannot be sent; the text says where and why.
        """
        options: dict[str, Any] = {
            "headers": self.headers,
            "max_retries": self.max_retries,
            # A redirect could carry the credentials to another host.
            "follow_redirects": False,
        }
        if self.timeout is not None:
            pair = isinstance(self.timeout, tuple)
            options["timeout"] = _httpx.Timeout(self.timeout) if pair else self.timeout
        if self.query:
            options["params"] = self.query
        return {
            "path": self.url,
            "cast_to": _httpx.Response,
            "content": encode(self.body),
            "options": options,
        }


class _SyncClient(SyncAPIClient):
    @property
    @override
    def default_headers(self) -> dict[str, Any]:
        return _HEADERS

    @override
    def _send_request(self, request: Any, **kwargs: Any) -> Any:
        response = super()._send_request(request, **kwargs)
        if not response.is_success:
            response.read()
            _decide_retry(response)
        return response

    @override
    def _make_status_error(self, err_msg: str, *, body: object, response: Any) -> Any:
        return _error_of(response)


class _AsyncClient(AsyncAPIClient):
    @property
    @override
    def default_headers(self) -> dict[str, Any]:
        return _HEADERS

    @override
    async def _send_request(self, request: Any, **kwargs: Any) -> Any:
        response = await super()._send_request(request, **kwargs)
        if not response.is_success:
            await response.aread()
            _decide_retry(response)
        return response

    @override
    def _make_status_error(self, err_msg: str, *, body: object, response: Any) -> Any:
        return _error_of(response)


def _decide_retry(response: Any) -> None:
    """Tell the SDK whether to try again, in the header that it obeys.

    By status alone it would be wrong: the gateway reports a failed upstream as 400 and a used-up
    budget as 429.
    """
    error = _error_of(response)
    response.headers["x-should-retry"] = "true" if error.is_retryable else "false"
    if error.retry_after is None:
        # Older versions of the SDK fall over a date that is none.
        response.headers.pop("retry-after", None)


def _error_of(response: Any) -> CFDeepSeekError:
    """Return the error of an answer, made once: the credentials can be masked only once."""
    if _ERROR not in response.extensions:
        response.extensions[_ERROR] = error_from_response(response)
    error: CFDeepSeekError = response.extensions[_ERROR]
    return error


class Transport:
    """The clients of one model, and of the copies made of it.

    Nothing is built before the first request. There is one sync client per process, since a forked
    child must not use its parent's sockets, and one async client per event loop, which it lives as
    long as. None of them is pickled or copied deeply: such a copy builds its own.
    """

    def __init__(self) -> None:
        # By process and by the user's own HTTP client.
        self._sync: dict[tuple[int, int], _SyncClient] = {}
        # By event loop and by the user's own HTTP client: the client and what lives with the loop.
        self._async: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, dict[int, tuple[_AsyncClient, _Keeper | None]]
        ] = weakref.WeakKeyDictionary()

    def __eq__(self, other: object) -> bool:
        # Nothing of a model is in its clients, so they are no difference between two models.
        return isinstance(other, Transport)

    def __hash__(self) -> int:
        return hash(Transport)

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()

    def send(self, request: WireRequest) -> tuple[Any, dict[str, Any]]:
        """Return the answer to a request, and its JSON, which holds `choices`.

        Raises:
            CFDeepSeekError: There is no answer, or it is none.
        """
        with _typed_connection_errors():
            response = self._client(request.http_client).post(**request.arguments())
        return response, read_completion(response)

    async def asend(self, request: WireRequest) -> tuple[Any, dict[str, Any]]:
        """`send` for an event loop."""
        client = await self._aclient(request.http_client)
        with _typed_connection_errors():
            response = await client.post(**request.arguments())
        return response, read_completion(response)

    @contextmanager
    def stream(self, request: WireRequest) -> Generator[tuple[Any, Iterator[dict[str, Any]]]]:
        """Open the answer to a request: the response, and the events of its stream.

        Leaving the context frees the connection.

        Raises:
            CFDeepSeekError: There is no answer, or reading it fails.
        """
        client = self._client(request.http_client)
        with _typed_connection_errors():
            response: Any = client.post(
                **request.arguments(), stream=True, stream_cls=openai.Stream[Any]
            )
        reader = StreamReader(response, request.chunk_timeout)
        try:
            yield response, reader.events(response.iter_bytes())
        finally:
            response.close()

    @asynccontextmanager
    async def astream(
        self, request: WireRequest
    ) -> AsyncGenerator[tuple[Any, AsyncIterator[dict[str, Any]]]]:
        """`stream` for an event loop."""
        client = await self._aclient(request.http_client)
        with _typed_connection_errors():
            response: Any = await client.post(
                **request.arguments(), stream=True, stream_cls=openai.AsyncStream[Any]
            )
        reader = StreamReader(response, request.chunk_timeout)
        try:
            yield response, reader.aevents(response.aiter_bytes())
        finally:
            await response.aclose()

    def close(self) -> None:
        """Close the connections of sync calls, those in use when they are done.

        The next call opens new ones. A client that the user made stays open: it is his.
        """
        self._sync.clear()

    async def aclose(self) -> None:
        """Close the connections of this event loop; calls under way fail, the next opens new ones.

        A client that the user made stays open: it is his.
        """
        clients = self._async.pop(asyncio.get_running_loop(), {})
        for _client, keeper in clients.values():
            if keeper:
                await keeper.aclose()

    # No lock guards the clients: a child forked while a thread holds it would wait for ever. Two
    # threads that come first at once get the same client; the other one is dropped.

    def _client(self, http_client: Any) -> _SyncClient:
        key = (os.getpid(), id(http_client))
        return self._sync.get(key) or self._sync.setdefault(key, _new_client(http_client))

    async def _aclient(self, http_client: Any) -> _AsyncClient:
        loop = asyncio.get_running_loop()
        if loop not in self._async:
            for reference in self._async.keyrefs():
                if (other := reference()) and other.is_closed():
                    self._async.pop(other, None)
        clients = self._async.setdefault(loop, {})
        if id(http_client) not in clients:
            used = http_client or openai.DefaultAsyncHttpxClient(**_http_settings())
            client = _AsyncClient(http_client=used, **_CLIENT_ARGUMENTS)
            keeper = None if http_client else _close_with_loop(client)
            # Other tasks of this loop come here only when the client is kept.
            clients[id(http_client)] = client, keeper
            if keeper:
                await anext(keeper)
        return clients[id(http_client)][0]


def _new_client(http_client: Any) -> _SyncClient:
    used = http_client or openai.DefaultHttpxClient(**_http_settings())
    client = _SyncClient(http_client=used, **_CLIENT_ARGUMENTS)
    if not http_client:
        # Not before the last call that holds the client is done with it.
        weakref.finalize(client, used.close)
    return client


# Every request says its own URL and limits, so that nothing of a model is baked into a client.
_CLIENT_ARGUMENTS: dict[str, Any] = {
    "version": __version__,
    "base_url": "https://gateway.ai.cloudflare.com",
    "_strict_response_validation": False,
}


async def _close_with_loop(client: _AsyncClient) -> _Keeper:
    """Close `client` in its own loop: when the loop ends, or when nobody holds this any more.

    Event loops finish the async generators begun in them; no other hook tells of a loop's end.
    """
    try:
        yield
    finally:
        await client.close()


def _http_settings() -> dict[str, Any]:
    """The arguments of an HTTP client of ours."""
    # A proxy of the environment is for other machines; asked for this one, it would ask itself.
    direct = dict.fromkeys(
        f"all://[{host}]" if ":" in host else f"all://{host}" for host in THIS_MACHINE
    )
    # One that is not ASCII would break every later request, and none is needed.
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    return {"verify": _ssl_context(), "mounts": direct, "cookies": no_cookies}


@cache
def _ssl_context() -> SSLContext:
    """The TLS settings of all clients; parsing the certificates takes some 40 ms, so only once."""
    if "SSL_CERT_FILE" in os.environ or "SSL_CERT_DIR" in os.environ:
        own: SSLContext = _httpx.create_ssl_context()
        return own
    return global_ssl_context


@contextmanager
def _typed_connection_errors() -> Iterator[None]:
    try:
        yield
    except CFDeepSeekError:
        raise
    except openai.APITimeoutError as error:
        take_secrets(error.request)
        msg = "the request timed out before the answer began"
        raise CFDeepSeekTimeoutError(
            msg,
            origin="connection",
            request=bare_request(error.request),
            hint="Raise `timeout`, or try again in a moment.",
        ) from error.__cause__
    except openai.APIConnectionError as error:
        take_secrets(error.request)
        msg = f"{error.request.url.host} could not be reached: {error.__cause__}"
        raise CFDeepSeekConnectionError(
            msg,
            origin="connection",
            request=bare_request(error.request),
            hint="Check `base_url` (CLOUDFLARE_AI_GATEWAY_BASE_URL), the network and its proxy.",
        ) from error.__cause__
