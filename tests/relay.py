"""A TCP relay between models and the local gateway, which counts open connections."""

import select
import socket
import socketserver
import threading
from contextlib import suppress
from typing import Any

from langchain_cf_deepseek import (
    ChatCloudflareDeepSeek,
)
from langchain_cf_deepseek.local import LocalGateway

SOON = 5.0
"""Seconds after which something that should happen at once has not happened."""


class _Pump(socketserver.BaseRequestHandler):
    server: "Relay"

    def handle(self) -> None:
        self.server.count(accepted=1, now_open=1)
        with (
            suppress(OSError),
            socket.create_connection(self.server.upstream) as upstream,
        ):
            other = {self.request: upstream, upstream: self.request}
            for side in other:
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while not self.server.stopping:
                for side in select.select(list(other), [], [], 0.05)[0]:
                    data = side.recv(65536)
                    if not data:
                        return
                    other[side].sendall(data)

    def finish(self) -> None:
        self.server.count(now_open=-1)


class Relay(socketserver.ThreadingTCPServer):
    """Stands between models and the gateway, and counts their TCP connections."""

    def __init__(self, gw: LocalGateway) -> None:
        super().__init__(("127.0.0.1", 0), _Pump)
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
        """How many connections are open, as soon as it is `expected` many."""
        with self._changed:
            self._changed.wait_for(lambda: self._open == expected, SOON)
            return self._open

    def chat_model(self, **kwargs: Any) -> ChatCloudflareDeepSeek:
        base_url = self.gw.base_url().replace(self.gw.url, f"http://127.0.0.1:{self.port}")
        return self.gw.chat_model(base_url=base_url, **kwargs)

    @property
    def port(self) -> int:
        return int(self.server_address[1])
