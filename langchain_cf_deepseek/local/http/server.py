"""An HTTP server on 127.0.0.1 that runs in its own thread."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Awaitable, Callable

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

HOST = "127.0.0.1"
BACKLOG = 2048
KEEP_ALIVE_SECONDS = 600
"""Long, so that the server closes no idle connection of a client's pool."""

FLUSH_ROUNDS = 1000
"""How many milliseconds a reset waits for the client to read what was sent."""

START_SECONDS = 10
STOP_SECONDS = 10


class _Connection(H11Protocol):
    """Gives the application its TCP connection, so that it can reset it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base
        super().connection_made(transport)
        # asyncio does not set it for connections of a listening socket that it was given.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.app_state = {**self.app_state, "transport": transport}


class _Uvicorn(uvicorn.Server):
    """Uvicorn without waiting at start and stop: open connections are closed."""

    def __init__(
        self, config: uvicorn.Config, ready: threading.Event, stopping: asyncio.Event
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._stopping = stopping

    async def main_loop(self) -> None:
        self._ready.set()
        await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Server:
    """Serves an ASGI application until it is stopped."""

    def __init__(self, app: ASGIApp, port: int, on_stop: Callable[[], Awaitable[None]]) -> None:
        """Prepare a server.

        Args:
            app: The application.
            port: The port, or 0 for any free one.
            on_stop: Awaited in the server's event loop after the server has stopped.
        """
        self._app = app
        self._on_stop = on_stop
        self._listener = socket.create_server((HOST, port), backlog=BACKLOG)
        self.port: int = self._listener.getsockname()[1]
        self._ready = threading.Event()
        self._stopping = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="local-gateway", daemon=True)

    def start(self) -> None:
        """Start the thread; returns when the server accepts requests."""
        self._thread.start()
        if not self._ready.wait(START_SECONDS):
            self.stop()
            msg = "The local gateway did not start."
            raise RuntimeError(msg)

    def stop(self) -> None:
        """Close every connection and join the thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            msg = "The local gateway did not stop."
            raise RuntimeError(msg)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        config = uvicorn.Config(
            self._handle,
            interface="asgi3",
            http=_Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        try:
            await _Uvicorn(config, self._ready, self._stopping).serve(sockets=[self._listener])
        finally:
            await self._on_stop()

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            # Uvicorn would log it, although the connection is already closed.
            if not self._stopping.is_set():
                raise


async def reset_connection(transport: asyncio.Transport) -> None:
    """Reset the TCP connection, after this process has written everything that was sent.

    A reset drops what a slow reader has not yet read from the kernel's buffers.
    """
    for _ in range(FLUSH_ROUNDS):
        if not transport.get_write_buffer_size():
            break
        await asyncio.sleep(0.001)
    # Without lingering, closing the socket sends RST, not FIN.
    transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    transport.abort()
    await asyncio.sleep(0)
