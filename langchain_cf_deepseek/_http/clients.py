"""The HTTP clients of one model: created on first use, closed with their owner.

They are clients of the `openai` SDK's HTTP library, with its own transports; with the extra `fast`,
async ones use aiohttp, unless the environment names a proxy.
"""

import asyncio
import os
import socket
import time
import urllib.request
import weakref
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ssl import SSLContext
from typing import Any, Self, TypeAlias

import openai

from langchain_cf_deepseek._http.http_library import http
from langchain_cf_deepseek.data.routings import LOOPBACK_MOUNTS
from langchain_cf_deepseek.errors import CFDeepSeekConnectionError

_MAX_IDLE_SECONDS = 5.0
"""How long an unused client is kept: the HTTP library's limit for an unused connection."""

_SOCKET_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (
            ("TCP_KEEPIDLE", 60),
            ("TCP_KEEPALIVE", 60),  # its name on macOS
            ("TCP_KEEPINTVL", 10),
            ("TCP_KEEPCNT", 3),
            ("TCP_USER_TIMEOUT", 120_000),  # milliseconds
        )
        if hasattr(socket, name)
    ),
)
"""Detect a vanished server within two minutes; the values are those of ChatOpenAI."""

_LoopFinalizer: TypeAlias = AsyncGenerator[None, None]
"""Closes an async client when its event loop ends."""


@dataclass(eq=False)
class _Pool:
    """A client with its connection pool."""

    client: Any

    finalizer: _LoopFinalizer | None = None

    is_shared: bool = False
    """Whether several calls use the client at the same time.

    Only with aiohttp. The pool of the SDK's HTTP library inspects every connection for every call.
    Measured with 200 concurrent calls, CPU per call in microseconds, where a client serves all
    calls, 16 calls, or one:

        openai 3, sync 890, 650, 450; async 1,300, 630, 600
        openai 2, sync 2,200, 940, 460; async 3,100, 1,470, 690

    Creating a client takes 22 us and 3 kB. Besides, the garbage collector can close an abandoned
    stream in a thread that holds the lock of another call's pool. The two locks must differ, since
    with `openai` 2 they are not re-entrant.
    """

    idle_since: float = 0.0


@dataclass(eq=False)
class _Pools:
    """The clients of a process or an event loop.

    Every change is a single atomic operation: threads share them, and the garbage collector can end
    a call at any moment.
    """

    idle: deque[_Pool] = field(default_factory=deque)
    """Those not in use, the most recently used last."""

    in_use: set[_Pool] = field(default_factory=set)
    """Referenced here, so that garbage collection does not close those of an abandoned stream."""

    def release(self, pool: _Pool) -> None:
        pool.idle_since = time.monotonic()
        self.idle.append(pool)
        self.in_use.discard(pool)

    def pop_expired(self) -> _Pool | None:
        """Remove and return a client idle for too long: its server might have hung up."""
        try:
            # Another thread can pop the first one in between; the next is then closed early.
            if time.monotonic() - self.idle[0].idle_since > _MAX_IDLE_SECONDS:
                return self.idle.popleft()
        except IndexError:  # empty, or emptied by another thread
            pass
        return None


class HttpClients:
    """The clients of one model and of its copies.

    Sync clients belong to a process, since a forked child must not use its parent's sockets; async
    clients belong to an event loop and close with it. Clients are not pickled or deep-copied; the
    copy creates its own.
    """

    def __init__(self) -> None:
        self._processes: dict[int, _Pools] = {}
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Pools] = (
            weakref.WeakKeyDictionary()
        )

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()

    @contextmanager
    def acquire(self, supplied: Any) -> Iterator[Any]:
        """Yield a client for one call: the one `supplied` by the caller, or one of this object."""
        if supplied is not None:
            yield supplied
            return
        pools = self._processes.setdefault(os.getpid(), _Pools())
        try:
            pool = pools.idle.pop()
        except IndexError:
            pool = _Pool(_create_client(openai.DefaultHttpxClient, transport=_create_transport()))
            # Runs once the last call has released the pool.
            weakref.finalize(pool, _close_in_process, os.getpid(), pool.client)
        pools.in_use.add(pool)
        try:
            yield pool.client
        finally:
            pools.release(pool)
            while pools.pop_expired():
                pass

    @asynccontextmanager
    async def aacquire(self, supplied: Any) -> AsyncIterator[Any]:
        """`acquire` for an event loop."""
        if supplied is not None:
            yield supplied
            return
        if not _is_tls_loaded():
            await asyncio.to_thread(_load_tls)
        loop = asyncio.get_running_loop()
        if loop not in self._loops:
            for reference in self._loops.keyrefs():
                if (other := reference()) and other.is_closed():
                    self._loops.pop(other, None)
        pools = self._loops.setdefault(loop, _Pools())
        pool = pools.idle.pop() if pools.idle else await _create_async_pool()
        if pool.is_shared:
            pools.idle.append(pool)
        else:
            pools.in_use.add(pool)
        try:
            yield pool.client
        finally:
            if not pool.is_shared:
                await self._release(loop, pools, pool)

    async def _release(self, loop: asyncio.AbstractEventLoop, pools: _Pools, pool: _Pool) -> None:
        if self._loops.get(loop) is not pools:  # closed in the meantime
            await _close(pool)
            return
        pools.release(pool)
        while expired := pools.pop_expired():
            await _close(expired)

    def close(self) -> None:
        """Close the sync clients, those in use when released. The next call creates new ones."""
        self._processes.clear()

    async def aclose(self) -> None:
        """Close the clients of this event loop; calls in progress might fail."""
        for pool in self._loops.pop(asyncio.get_running_loop(), _Pools()).idle:
            await _close(pool)


async def _create_async_pool() -> _Pool:
    transport = _create_async_transport()
    client = _create_client(openai.DefaultAsyncHttpxClient, transport=transport)
    finalizer = _close_with_loop(client)
    await anext(finalizer)
    return _Pool(client, finalizer, is_shared=_is_shared(transport))


def _is_shared(transport: Any) -> bool:
    return not (transport is None or isinstance(transport, http.AsyncHTTPTransport))


async def _close(pool: _Pool) -> None:
    if pool.finalizer:
        await pool.finalizer.aclose()


def _close_in_process(process: int, client: Any) -> None:
    """Close a sync client, but not in a forked child, which can have inherited a held lock."""
    if os.getpid() == process:
        client.close()


async def _close_with_loop(client: Any) -> _LoopFinalizer:
    """Close `client` in its own loop when the loop ends or this generator is closed.

    Event loops close the async generators started in them; there is no other hook for a loop's end.
    """
    loop = weakref.ref(asyncio.get_running_loop())
    try:
        yield
    finally:
        # If a loop does not close its generators (closed manually, or run by nest_asyncio), Python
        # finalizes this one outside its loop, where it must not wait.
        if _is_running(loop()):
            await client.aclose()


def _is_running(loop: asyncio.AbstractEventLoop | None) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def _create_client(client_class: Any, **settings: Any) -> Any:
    try:
        return client_class(**http_settings(), **settings)
    except (ImportError, ValueError) as error:
        # Only the proxy, which the environment sets, can be invalid.
        msg = f"the proxy of this machine cannot be used: {error}"
        hint = "Correct HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, or set NO_PROXY."
        raise CFDeepSeekConnectionError(msg, origin="connection", hint=hint) from error


def http_settings() -> dict[str, Any]:
    """Return the arguments that every client is created with."""
    direct: dict[str, None] = {}
    if _has_proxy():
        # A proxy cannot reach this machine: its own loopback address is another one.
        direct = dict.fromkeys(LOOPBACK_MOUNTS)
    # No cookies are needed, and one that is not ASCII would break every later request.
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    return {"verify": _ssl_context(), "mounts": direct, "cookies": no_cookies}


def _create_transport() -> Any:
    """Return a transport, or `None` if the library has to find a proxy."""
    return None if _has_proxy() else http.HTTPTransport(**_transport_settings())


def _create_async_transport() -> Any:
    """`_create_transport` for an event loop."""
    if _has_proxy():
        return None
    try:
        # Only with the extra `fast`; importing it is slow.
        from langchain_cf_deepseek._http.aiohttp_transport import AiohttpTransport  # noqa: PLC0415
    except ImportError:
        return http.AsyncHTTPTransport(**_transport_settings())
    return AiohttpTransport(_ssl_context(), socket_options())


def _transport_settings() -> dict[str, Any]:
    return {
        "verify": _ssl_context(),
        "limits": openai.DEFAULT_CONNECTION_LIMITS,
        "socket_options": socket_options(),
    }


@cache
def socket_options() -> list[tuple[int, int, int]]:
    """Return the options for every connection: those that this system accepts.

    A kernel can support fewer than Python names, and setting another would fail the connection.
    """
    try:
        probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    except (OSError, RuntimeError):  # the latter from pytest-socket
        return list(_SOCKET_OPTIONS)
    options = []
    with probe:
        for option in _SOCKET_OPTIONS:
            with suppress(OSError):
                probe.setsockopt(*option)
                options.append(option)
    return options


def _is_tls_loaded() -> bool:
    return _ssl_context.cache_info().currsize > 0


def _load_tls() -> None:
    """Load the certificates and aiohttp: reading from disk must not block an event loop."""
    _create_async_transport()


def _has_proxy() -> bool:
    """Return whether the environment names a proxy."""
    return bool(urllib.request.getproxies().keys() & {"http", "https", "all"})


@cache
def _ssl_context() -> SSLContext:
    """Return the TLS settings of all clients, cached: parsing certificates takes about 40 ms."""
    try:
        context: SSLContext = http.create_ssl_context()
    except OSError as error:
        msg = f"the certificates of this machine cannot be read: {error}"
        hint = "Correct SSL_CERT_FILE and SSL_CERT_DIR, or unset them."
        raise CFDeepSeekConnectionError(msg, origin="connection", hint=hint) from error
    return context
