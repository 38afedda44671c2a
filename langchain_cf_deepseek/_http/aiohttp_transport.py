"""Async HTTP by aiohttp, whose parser is written in C, as a transport of httpx.

Used where the extra `fast` is installed. The SDK's own such transport calls a lost connection a
timeout, and knows no read timeout that is lowered when the body begins.
"""

import asyncio
import socket
import weakref
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from inspect import signature
from ssl import SSLContext
from typing import Any

import aiohttp
import yarl
from typing_extensions import override

from langchain_cf_deepseek._http.library import http

# aiohttp warns of longer bodies in one piece, since writing them blocks the event loop.
_PIECE = 2**16

_HEADER_BYTES = 100 * 1024
"""As many as the other HTTP library takes; aiohttp itself has no limit for all headers together."""

# Older versions of aiohttp do not count headers.
_LIMITS: dict[str, Any] = {
    name: value
    for name, value in (
        ("max_line_size", _HEADER_BYTES),
        ("max_field_size", _HEADER_BYTES),
        ("max_headers", 10_000),
    )
    if name in signature(aiohttp.ClientSession).parameters
}

# The first that fits, as in an except clause.
_ERRORS = (
    (aiohttp.ConnectionTimeoutError, http.ConnectTimeout),
    (TimeoutError, http.ReadTimeout),
    (aiohttp.InvalidURL, http.UnsupportedProtocol),
    (aiohttp.ClientConnectorError, http.ConnectError),
    (aiohttp.ClientResponseError, http.RemoteProtocolError),
    (aiohttp.ServerDisconnectedError, http.RemoteProtocolError),
    (aiohttp.ClientError, http.ReadError),
    (OSError, http.ReadError),
)


class AiohttpTransport(http.AsyncBaseTransport):  # type: ignore[misc]
    """Sends requests from one event loop."""

    def __init__(
        self, ssl_context: SSLContext, socket_options: Sequence[tuple[int, int, int]] = ()
    ) -> None:
        self._ssl_context = ssl_context
        self._socket_options = socket_options
        self._session: aiohttp.ClientSession | None = None

    @override
    async def handle_async_request(self, request: Any) -> Any:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                ssl=self._ssl_context, limit=0, socket_factory=self._socket
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                **_LIMITS,
            )
            loop = asyncio.get_running_loop()
            self._abandonment = weakref.finalize(self, _abandon, connector, loop)
        timeouts = request.extensions.get("timeout", {})
        content = await request.aread()
        with _errors_of_httpx():
            response = await self._session.request(
                request.method,
                yarl.URL(str(request.url), encoded=True),
                headers=request.headers.multi_items(),
                data=content if len(content) <= _PIECE else _pieces(content),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    sock_connect=timeouts.get("connect"), sock_read=timeouts.get("read")
                ),
            )
        # Not `raw_headers`, which a response out of a recorded cassette has not.
        headers = [
            (name.encode("utf-8", "surrogateescape"), value.encode("utf-8", "surrogateescape"))
            for name, value in response.headers.items()
        ]
        if sum(len(name) + len(value) for name, value in headers) > _HEADER_BYTES:
            response.close()
            msg = f"Got more than {_HEADER_BYTES} bytes of headers"
            raise http.RemoteProtocolError(msg)
        return http.Response(response.status, headers=headers, stream=_Body(response, timeouts))

    def _socket(self, address: Any) -> socket.socket:
        family, kind, protocol, *_ = address
        made = socket.socket(family, kind, protocol)
        for option in self._socket_options:
            made.setsockopt(*option)
        return made

    @override
    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            # It would keep the loop, and with it this transport.
            self._abandonment.detach()


def _abandon(connector: aiohttp.BaseConnector, loop: asyncio.AbstractEventLoop) -> None:
    """Close what is left of a session whose loop was closed by hand: aiohttp would log it."""
    if loop.is_closed():
        # Of a closed loop there is nothing to wait for.
        steps = connector.close().__await__()
        with suppress(StopIteration):
            next(steps)
            next(steps)


class _Body(http.AsyncByteStream):  # type: ignore[misc]
    def __init__(self, response: aiohttp.ClientResponse, timeouts: dict[str, Any]) -> None:
        self._response = response
        self._timeouts = timeouts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._response.content
        seconds = self._timeouts.get("read")
        with _errors_of_httpx():
            try:
                while not content.at_eof():
                    piece = content.read_nowait()
                    if not piece:
                        async with asyncio.timeout(seconds):
                            piece = await content.readany()
                    yield piece
            except aiohttp.ClientError:
                # A connection that broke hides what came before it did.
                content.set_exception(None)  # type: ignore[arg-type]  # as if it had not yet
                if piece := content.read_nowait():
                    yield piece
                raise

    @override
    async def aclose(self) -> None:
        # A connection whose body was read to its end is in use no more.
        self._response.close()


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), _PIECE):
        yield content[start : start + _PIECE]


@contextmanager
def _errors_of_httpx() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, OSError) as error:
        fitting = next(theirs for ours, theirs in _ERRORS if isinstance(error, ours))
        raise fitting(str(error) or type(error).__name__) from error
