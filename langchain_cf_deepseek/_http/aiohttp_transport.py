"""Async HTTP by aiohttp, whose parser is written in C, as a transport of the HTTP library.

Used if the extra `fast` is installed. The SDK's own such transport reports a lost connection as a
timeout, and cannot lower the read timeout when the body begins.
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

from langchain_cf_deepseek._http.http_library import http

# aiohttp warns of longer bodies in one piece, since writing them blocks the event loop.
_MAX_PIECE_SIZE = 2**16

_MAX_HEADER_BYTES = 100 * 1024
"""The limit of the other HTTP library; aiohttp itself does not limit the total size of headers."""

# Older versions of aiohttp do not limit the number of headers.
_HEADER_LIMITS: dict[str, Any] = {
    name: value
    for name, value in (
        ("max_line_size", _MAX_HEADER_BYTES),
        ("max_field_size", _MAX_HEADER_BYTES),
        ("max_headers", 10_000),
    )
    if name in signature(aiohttp.ClientSession).parameters
}

# The first matching row applies, as in an except clause.
_ERROR_TYPES = (
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
                ssl=self._ssl_context, limit=0, socket_factory=self._create_socket
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                **_HEADER_LIMITS,
            )
            loop = asyncio.get_running_loop()
            self._finalizer = weakref.finalize(self, _close_abandoned, connector, loop)
        timeouts = request.extensions.get("timeout", {})
        content = request.stream
        if isinstance(content, http.ByteStream):
            content = await request.aread()
            content = content if len(content) <= _MAX_PIECE_SIZE else _split(content)
        with _convert_errors():
            response = await self._session.request(
                request.method,
                yarl.URL(str(request.url), encoded=True),
                headers=request.headers.multi_items(),
                data=content,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    sock_connect=timeouts.get("connect"), sock_read=timeouts.get("read")
                ),
            )
        # Not `raw_headers`, which a response replayed from a cassette lacks.
        headers = [
            (name.encode("utf-8", "surrogateescape"), value.encode("utf-8", "surrogateescape"))
            for name, value in response.headers.items()
        ]
        if sum(len(name) + len(value) for name, value in headers) > _MAX_HEADER_BYTES:
            response.close()
            msg = f"Got more than {_MAX_HEADER_BYTES} bytes of headers"
            raise http.RemoteProtocolError(msg)
        return http.Response(response.status, headers=headers, stream=_Body(response, timeouts))

    def _create_socket(self, address: Any) -> socket.socket:
        family, kind, protocol, *_ = address
        created = socket.socket(family, kind, protocol)
        for option in self._socket_options:
            created.setsockopt(*option)
        return created

    @override
    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            # The finalizer would keep the loop alive, and with it this transport.
            self._finalizer.detach()


def _close_abandoned(connector: aiohttp.BaseConnector, loop: asyncio.AbstractEventLoop) -> None:
    """Close a session whose loop was closed without it, which aiohttp would log."""
    if loop.is_closed():
        # On a closed loop there is nothing to wait for.
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
        with _convert_errors():
            try:
                while not content.at_eof():
                    piece = content.read_nowait()
                    if not piece:
                        async with asyncio.timeout(seconds):
                            piece = await content.readany()
                    yield piece
            except aiohttp.ClientError:
                # After a lost connection, aiohttp hides the data received before.
                content.set_exception(None)  # type: ignore[arg-type]  # clears the exception
                if piece := content.read_nowait():
                    yield piece
                raise

    @override
    async def aclose(self) -> None:
        # No effect if the body was read to its end, since the connection is already released.
        self._response.close()


async def _split(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), _MAX_PIECE_SIZE):
        yield content[start : start + _MAX_PIECE_SIZE]


@contextmanager
def _convert_errors() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, OSError) as error:
        error_type = next(row[1] for row in _ERROR_TYPES if isinstance(error, row[0]))
        raise error_type(str(error) or type(error).__name__) from error
