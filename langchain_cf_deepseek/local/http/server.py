"""An HTTP server on 127.0.0.1 that runs in a thread of its own."""

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
"""Long, so that no idle connection of a client's pool is closed under its hands."""

FLUSH_ROUNDS = 1000
"""How often, at one millisecond each, a reset waits for the client to take what was sent."""

START_SECONDS = 10
STOP_SECONDS = 10


class _Connection(H11Protocol):
    """Lets the application reach its TCP connection, in order to break it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base
        super().connection_made(transport)
        # asyncio leaves this to the caller when the listening socket comes from outside.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.app_state = {**self.app_state, "transport": transport}


class _Uvicorn(uvicorn.Server):
    """Uvicorn that starts and stops at once: open connections are cut, not waited for."""

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
            on_stop: Awaited in the server's event loop when it has stopped.
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
        """Start the thread; returns when the server answers."""
        self._thread.start()
        if not self._ready.wait(START_SECONDS):
            self.stop()
            msg = "The local gateway did not start."
            raise RuntimeError(msg)

    def stop(self) -> None:
        """Cut every connection and join the thread."""
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
            self._answer,
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

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            # Uvicorn would log it. Nobody waits for this answer: the connection was cut before.
            if not self._stopping.is_set():
                raise


async def reset_connection(transport: asyncio.Transport) -> None:
    """Break the TCP connection with a reset, once what was sent has left this process.

    A reset throws away what a slow reader has left in the buffers of the kernel.
    """
    for _ in range(FLUSH_ROUNDS):
        if not transport.get_write_buffer_size():
            break
        await asyncio.sleep(0.001)
    # No lingering: closing the socket sends RST, not FIN.
    transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    transport.abort()
    await asyncio.sleep(0)
