"""The HTTP clients of one model: made on first use, small, closed with their owner.

They are those of the HTTP library of the `openai` SDK, with its own transports; with the extra
`fast`, async ones stand on aiohttp, unless the environment names a proxy.
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

from langchain_cf_deepseek._http.library import http
from langchain_cf_deepseek.data.routings import LOOPBACK_MOUNTS
from langchain_cf_deepseek.errors import CFDeepSeekConnectionError

_IDLE_SECONDS = 5.0
"""How long an unused client is kept; as long as the HTTP library keeps an unused connection."""

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
"""Notice within two minutes that the other side has vanished; the values are ChatOpenAI's."""

_LoopFinalizer: TypeAlias = AsyncGenerator[None, None]
"""Keeps an async client open as long as its event loop."""


@dataclass(eq=False)
class _Pool:
    """A client with its connections."""

    client: Any

    keeper: _LoopFinalizer | None = None

    is_shared: bool = False
    """Whether many calls use the client at the same time.

    Only aiohttp's. The pool of the SDK's HTTP library looks at every connection for every call.
    Measured with 200 calls at once, CPU per call in microseconds, where a client has all calls, 16
    calls, or one:

        openai 3, sync 890, 650, 450; async 1,300, 630, 600
        openai 2, sync 2,200, 940, 460; async 3,100, 1,470, 690

    To create a client takes 22 us and 3 kB. Besides, the garbage collector may close an abandoned
    stream in a thread that holds the lock of another call's pool. That must be another lock, since
    with `openai` 2 it is not re-entrant.
    """

    idle_since: float = 0.0


@dataclass(eq=False)
class _Pools:
    """The clients of a process or an event loop.

    Every change is a single step: threads share them, and the garbage collector may end a call at
    any moment.
    """

    idle: deque[_Pool] = field(default_factory=deque)
    """Those that wait for a call, those used last at the end."""

    used: set[_Pool] = field(default_factory=set)
    """Held here, so that the garbage collector does not close those of an abandoned stream."""

    def release(self, pool: _Pool) -> None:
        pool.idle_since = time.monotonic()
        self.idle.append(pool)
        self.used.discard(pool)

    def take_expired(self) -> _Pool | None:
        """Take a client that nobody has used for long; its server may have hung up."""
        try:
            # Another thread may take the first one in between; the next is then closed early.
            if time.monotonic() - self.idle[0].idle_since > _IDLE_SECONDS:
                return self.idle.popleft()
        except IndexError:  # other threads took them all
            pass
        return None


class HttpClients:
    """The clients of one model, and of the copies made of it.

    Sync ones belong to a process, since a forked child must not use its parent's sockets; async
    ones to an event loop, which they live as long as. None of them is pickled or copied deeply:
    such a copy makes its own.
    """

    def __init__(self) -> None:
        self._processes: dict[int, _Pools] = {}
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Pools] = (
            weakref.WeakKeyDictionary()
        )

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()

    @contextmanager
    def lend(self, own: Any) -> Iterator[Any]:
        """Lend a client for one call: the user's `own`, or one of ours."""
        if own is not None:
            yield own
            return
        pools = self._processes.setdefault(os.getpid(), _Pools())
        try:
            pool = pools.idle.pop()
        except IndexError:
            pool = _Pool(_create_client(openai.DefaultHttpxClient, transport=_transport()))
            # Not before the last call is done with it.
            weakref.finalize(pool, _close_in_process, os.getpid(), pool.client)
        pools.used.add(pool)
        try:
            yield pool.client
        finally:
            pools.release(pool)
            while pools.take_expired():
                pass

    @asynccontextmanager
    async def aacquire(self, own: Any) -> AsyncIterator[Any]:
        """`lend` for an event loop."""
        if own is not None:
            yield own
            return
        if not _is_prepared():
            await asyncio.to_thread(_prepare)
        loop = asyncio.get_running_loop()
        if loop not in self._loops:
            for reference in self._loops.keyrefs():
                if (other := reference()) and other.is_closed():
                    self._loops.pop(other, None)
        pools = self._loops.setdefault(loop, _Pools())
        pool = pools.idle.pop() if pools.idle else await _async_pool()
        if pool.is_shared:
            pools.idle.append(pool)
        else:
            pools.used.add(pool)
        try:
            yield pool.client
        finally:
            if not pool.is_shared:
                await self._release(loop, pools, pool)

    async def _release(self, loop: asyncio.AbstractEventLoop, pools: _Pools, pool: _Pool) -> None:
        if self._loops.get(loop) is not pools:  # closed meanwhile
            await _close(pool)
            return
        pools.release(pool)
        while expired := pools.take_expired():
            await _close(expired)

    def close(self) -> None:
        """Close the sync clients, those in use when they are done. The next call makes new ones."""
        self._processes.clear()

    async def aclose(self) -> None:
        """Close the clients of this event loop; calls under way may fail."""
        for pool in self._loops.pop(asyncio.get_running_loop(), _Pools()).idle:
            await _close(pool)


async def _async_pool() -> _Pool:
    transport = _async_transport()
    client = _create_client(openai.DefaultAsyncHttpxClient, transport=transport)
    keeper = _close_with_loop(client)
    await anext(keeper)
    return _Pool(client, keeper, is_shared=_is_shared(transport))


def _is_shared(transport: Any) -> bool:
    return not (transport is None or isinstance(transport, http.AsyncHTTPTransport))


async def _close(pool: _Pool) -> None:
    if pool.keeper:
        await pool.keeper.aclose()


def _close_in_process(process: int, client: Any) -> None:
    """Close a sync client, unless in a forked child: it may have inherited a locked lock."""
    if os.getpid() == process:
        client.close()


async def _close_with_loop(client: Any) -> _LoopFinalizer:
    """Close `client` in its own loop: when the loop ends, or when nobody holds this any more.

    Event loops finish the async generators begun in them; no other hook tells of a loop's end.
    """
    loop = weakref.ref(asyncio.get_running_loop())
    try:
        yield
    finally:
        # Where nothing ends the generators of a loop (one closed by hand, or run by nest_asyncio),
        # Python ends this one by itself, outside its loop, where it must not wait.
        if _runs(loop()):
            await client.aclose()


def _runs(loop: asyncio.AbstractEventLoop | None) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def _create_client(kind: Any, **settings: Any) -> Any:
    try:
        return kind(**http_settings(), **settings)
    except (ImportError, ValueError) as error:
        # Of all arguments, only those of the environment can be wrong.
        msg = f"the proxy of this machine cannot be used: {error}"
        hint = "Correct HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, or set NO_PROXY."
        raise CFDeepSeekConnectionError(msg, origin="connection", hint=hint) from error


def http_settings() -> dict[str, Any]:
    """Return the arguments of a client."""
    direct: dict[str, None] = {}
    if _has_proxy():
        # It is for other machines; asked for this one, it would ask itself.
        direct = dict.fromkeys(LOOPBACK_MOUNTS)
    # One that is not ASCII would break every later request, and none is needed.
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    return {"verify": _ssl_context(), "mounts": direct, "cookies": no_cookies}


def _transport() -> Any:
    """Return a transport, or None where the library must look for a proxy."""
    return None if _has_proxy() else http.HTTPTransport(**_transport_settings())


def _async_transport() -> Any:
    """`_transport` for an event loop."""
    if _has_proxy():
        return None
    try:
        # Comes with the extra `fast`; its import takes some time.
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
    """Return the options that every connection gets: those that this system takes.

    A kernel may know less than Python, and a connection would fail for that.
    """
    try:
        probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    except (OSError, RuntimeError):  # the latter of pytest-socket, where cassettes may be played
        return list(_SOCKET_OPTIONS)
    options = []
    with probe:
        for option in _SOCKET_OPTIONS:
            with suppress(OSError):
                probe.setsockopt(*option)
                options.append(option)
    return options


def _is_prepared() -> bool:
    return _ssl_context.cache_info().currsize > 0


def _prepare() -> None:
    """Read from disk what the first call needs: an event loop must not wait for that."""
    _async_transport()


def _has_proxy() -> bool:
    """Return whether the environment names a proxy."""
    return bool(urllib.request.getproxies().keys() & {"http", "https", "all"})


@cache
def _ssl_context() -> SSLContext:
    """The TLS settings of all clients; parsing the certificates takes some 40 ms, so only once."""
    try:
        context: SSLContext = http.create_ssl_context()
    except OSError as error:
        msg = f"the certificates of this machine cannot be read: {error}"
        hint = "Correct SSL_CERT_FILE and SSL_CERT_DIR, or unset them."
        raise CFDeepSeekConnectionError(msg, origin="connection", hint=hint) from error
    return context
