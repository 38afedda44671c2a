"""A TCP relay between models and the local gateway, which counts open connections."""

import selectors
import socket
import socketserver
import threading
from contextlib import suppress
from typing import Any, cast

from langchain_cf_deepseek import ChatCloudflareDeepSeek
from langchain_cf_deepseek.local import LocalGateway

SOON = 5.0
"""Seconds after which something that should happen at once has not happened."""


class _Forwarder(socketserver.BaseRequestHandler):
    server: "Relay"

    def handle(self) -> None:
        self.server.count(accepted=1, now_open=1)
        with (
            suppress(OSError),
            socket.create_connection(self.server.upstream) as upstream,
            # `select.select` fails with the file descriptors above 1,023 of a long test run.
            selectors.DefaultSelector() as selector,
        ):
            other = {self.request: upstream, upstream: self.request}
            for side, opposite in other.items():
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(side, selectors.EVENT_READ, opposite)
            while not self.server.stopping:
                for key, _ in selector.select(0.05):
                    data = cast("socket.socket", key.fileobj).recv(65536)
                    if not data:
                        return
                    key.data.sendall(data)

    def finish(self) -> None:
        self.server.count(now_open=-1)


class Relay(socketserver.ThreadingTCPServer):
    """Forwards TCP connections of models to the gateway, and counts them."""

    def __init__(self, gw: LocalGateway) -> None:
        super().__init__(("127.0.0.1", 0), _Forwarder)
        self.gw = gw
        self.upstream = ("127.0.0.1", int(gw.url.rpartition(":")[2]))
        self.stopping = False
        self.accepted = 0
        self._open = 0
        self._changed = threading.Condition()

    def count(self, *, accepted: int = 0, now_open: int = 0) -> None:
        with self._changed:
            self.accepted += accepted
            self._open += now_open
            self._changed.notify_all()

    def open_soon(self, expected: int) -> int:
        """Wait until `expected` connections are open, and return how many are."""
        with self._changed:
            self._changed.wait_for(lambda: self._open == expected, SOON)
            return self._open

    def chat_model(self, **kwargs: Any) -> ChatCloudflareDeepSeek:
        base_url = self.gw.base_url().replace(self.gw.url, f"http://127.0.0.1:{self.port}")
        return self.gw.chat_model(base_url=base_url, **kwargs)

    @property
    def port(self) -> int:
        return int(self.server_address[1])
