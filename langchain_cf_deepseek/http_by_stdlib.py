"""Sync HTTP by the standard library, as a transport of httpx: a quarter less work for a chunk.

What httpx's own does in Python, here the buffered reader under `http.client` does in C.
"""

import re
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.errors import FirstHeaderLineIsContinuationDefect, MissingHeaderBodySeparatorDefect
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ssl import SSLContext, SSLSocket
from typing import Any, NamedTuple

from typing_extensions import override

from langchain_cf_deepseek.http_library import http

_PIECE = 2**16

_IDLE_SECONDS = 5.0
"""How long a connection waits for its next request, as in httpx: some routers forget it soon."""

_PORTS = {"http": 80, "https": 443}

_Origin = tuple[str, str, int]

# `http.client` reads headers like those of a mail; other defects would be of a mail's body.
_BROKEN_HEADERS = (FirstHeaderLineIsContinuationDefect, MissingHeaderBodySeparatorDefect)

# It has no bound to the number of an open file; Windows has none, and needs none.
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)


class _Idle(NamedTuple):
    """A connection whose last answer was read to its end."""

    origin: _Origin
    connection: HTTPConnection
    since: float


class _Answer(HTTPResponse):
    @override
    def begin(self) -> None:
        """Read the head of the answer, past what servers may say before it, such as 103."""
        super().begin()
        while self.status < HTTPStatus.OK and self.status != HTTPStatus.SWITCHING_PROTOCOLS:
            self.headers = None  # type: ignore[assignment]  # as if nothing had come
            super().begin()
        # What `http.client` does not understand it takes for a body that ends with the connection.
        lengths = set(self.headers.get_all("content-length", ()))
        if len(lengths) > 1 or not all(re.fullmatch(r"[0-9]+", length) for length in lengths):
            msg = "the length of the answer is unclear"
            raise HTTPException(msg)
        if "transfer-encoding" in self.headers and not self.chunked:
            msg = "the transfer encoding of the answer is unknown"
            raise HTTPException(msg)
        ends_with_connection = self.length is None and not self.chunked
        if ends_with_connection and self.status == HTTPStatus.OK and not self.fp.peek(1):
            # It takes a connection's end among the headers for the end of the headers, too.
            msg = "the connection was closed before the body began"
            raise HTTPException(msg)


class StdlibTransport(http.BaseTransport):  # type: ignore[misc]
    """Sends requests from any thread, each over a connection that no other uses."""

    def __init__(self, ssl_context: SSLContext) -> None:
        ssl_context.set_alpn_protocols(["http/1.1"])
        self._ssl_context = ssl_context
        self._idle: deque[_Idle] = deque()  # the one used last comes last
        # The garbage collector shall not find the socket of a forgotten stream before the stream.
        self._used: set[HTTPConnection] = set()
        # Of one thread: its garbage collector may close a forgotten answer at any moment.
        self._lock = threading.RLock()
        self._is_closed = False

    @override
    def handle_request(self, request: Any) -> Any:
        timeouts = request.extensions.get("timeout", {})
        url = request.url
        # `http.client` would look for a missing port in an IPv6 address.
        origin = (url.scheme, url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme])
        connection = self._connection(origin, timeouts.get("connect"))
        sock = connection.sock
        with self._lock:
            self._used.add(connection)
        let_go = partial(self._let_go, origin, connection)
        try:
            with _errors_of_httpx(http.WriteTimeout, http.WriteError):
                sock.settimeout(timeouts.get("write"))
                _send(connection, request)
            with _errors_of_httpx(http.ReadTimeout, http.ReadError):
                sock.settimeout(timeouts.get("read"))
                answer = connection.getresponse()
        except BaseException:
            let_go(reusable=False)
            raise
        body = _Body(answer, sock, timeouts, let_go)
        try:
            headers = _headers(answer)
        except BaseException:
            body.close()
            raise
        return http.Response(
            answer.status,
            headers=headers,
            stream=body,
            extensions={"network_stream": _NetworkStream(sock)},
        )

    @override
    def close(self) -> None:
        """Close the connections, those in use when they are done."""
        with self._lock:
            self._is_closed = True
            while self._idle:
                self._idle.pop().connection.close()

    def _let_go(self, origin: _Origin, connection: HTTPConnection, *, reusable: bool) -> None:
        with self._lock:
            self._used.discard(connection)
            if reusable and not self._is_closed:
                self._idle.append(_Idle(origin, connection, time.monotonic()))
            else:
                connection.close()

    def _take_idle(self, origin: _Origin) -> HTTPConnection | None:
        """Take the connection that was used last; close those that nobody has used for long."""
        with self._lock:
            while self._idle and time.monotonic() - self._idle[0].since > _IDLE_SECONDS:
                self._idle.popleft().connection.close()
            # By number: the garbage collector may add one meanwhile, which breaks an iteration.
            for number in range(len(self._idle) - 1, -1, -1):
                if self._idle[number].origin == origin:
                    connection = self._idle[number].connection
                    del self._idle[number]
                    return connection
            return None

    def _connection(self, origin: _Origin, timeout: float | None) -> HTTPConnection:
        """Return an open connection."""
        while idle := self._take_idle(origin):
            if _is_alive(idle):
                return idle
            idle.close()
        scheme, host, port = origin
        connection = (
            HTTPSConnection(host, port, timeout=timeout, context=self._ssl_context)
            if scheme == "https"
            else HTTPConnection(host, port, timeout=timeout)
        )
        connection.response_class = _Answer
        try:
            with _errors_of_httpx(http.ConnectTimeout, http.ConnectError):
                connection.connect()
        except BaseException:
            connection.close()
            raise
        return connection


class _Body(http.SyncByteStream):  # type: ignore[misc]
    def __init__(
        self,
        answer: HTTPResponse,
        sock: socket.socket,
        timeouts: dict[str, Any],
        let_go: Callable[..., None],
    ) -> None:
        self._answer = answer
        self._socket = sock
        self._timeouts = timeouts
        self._let_go = let_go
        self._is_read = False

    def __iter__(self) -> Iterator[bytes]:
        read = self._answer.read1
        with _errors_of_httpx(http.ReadTimeout, http.ReadError):
            # It may be lower now than when the request was sent.
            self._socket.settimeout(self._timeouts.get("read"))
            while piece := read(_PIECE):
                yield piece
        if self._answer.length:
            msg = f"the connection was closed {self._answer.length} bytes before the body's end"
            raise http.RemoteProtocolError(msg)
        self._is_read = True

    @override
    def close(self) -> None:
        # Not `isclosed`: the garbage collector may have closed an answer that is still to come.
        self._answer.close()
        self._let_go(reusable=self._is_read and not self._answer.will_close)


class _NetworkStream:
    """What httpx shows of a connection."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def get_extra_info(self, info: str) -> Any:
        return self._socket if info == "socket" else None


def _send(connection: HTTPConnection, request: Any) -> None:
    connection.putrequest(
        request.method,
        request.url.raw_path.decode("ascii"),
        skip_host=True,
        skip_accept_encoding=True,
    )
    for name, value in request.headers.raw:
        connection.putheader(name, value)
    try:
        connection.endheaders(request.read())
    except TimeoutError:
        raise
    except OSError:
        # A server may answer before it has read all, and close: 413. If not, reading will fail.
        return


def _headers(answer: HTTPResponse) -> list[tuple[bytes, bytes]]:
    if answer.status == HTTPStatus.SWITCHING_PROTOCOLS:
        msg = "the server changed the protocol"
        raise http.RemoteProtocolError(msg)
    if any(isinstance(defect, _BROKEN_HEADERS) for defect in answer.headers.defects):
        msg = "the headers of the answer are broken"
        raise http.RemoteProtocolError(msg)
    return [
        # A value may go on in the next line.
        (name.encode("latin-1"), re.sub(r"[\r\n]", "", value).strip(" \t").encode("latin-1"))
        for name, value in answer.getheaders()
    ]


def _is_alive(connection: HTTPConnection) -> bool:
    """Return whether a connection can be used again: a server that closed it made it readable."""
    if isinstance(connection.sock, SSLSocket) and connection.sock.pending():
        return False
    with _Selector() as selector:
        selector.register(connection.sock, selectors.EVENT_READ)
        return not selector.select(0)


@contextmanager
def _errors_of_httpx(too_slow: type[Exception], broken: type[Exception]) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise too_slow(str(error)) from error
    # Before the system's errors: a server that hangs up without an answer is one of both.
    except HTTPException as error:
        # It may hold what the server said in the place of HTTP, which is of any length and kind.
        msg = f"{type(error).__name__}: {str(error)[:100]!a}"
        raise http.RemoteProtocolError(msg) from error
    except (OSError, UnicodeError) as error:  # the latter: of a host's name
        raise broken(str(error) or type(error).__name__) from error
