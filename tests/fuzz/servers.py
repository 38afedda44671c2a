"""Two servers for fuzzing: a transport in memory, and one that sends raw bytes on a socket."""

import re
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import openai

from langchain_cf_deepseek import ChatCloudflareDeepSeek
from tests.conftest import ACCOUNT

API_KEY = "sk-0123456789"
GATEWAY_TOKEN = "gateway-token-0123456789"

# The HTTP library of the SDK: httpx or httpx2.
_http: Any = sys.modules[openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0]]

SETTINGS: dict[str, Any] = {
    "model": "deepseek-flash",
    "account_id": ACCOUNT,
    "gateway_id": "fuzz",
    "api_key": API_KEY,
    "gateway_token": GATEWAY_TOKEN,
    "cloudflare_api_token": "cloudflare-token-0123456789",
    "max_retries": 0,
}


class _Body(_http.SyncByteStream, _http.AsyncByteStream):  # type: ignore[misc]
    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


class MemoryTransport(_http.BaseTransport, _http.AsyncBaseTransport):  # type: ignore[misc]
    """Responds to every request of its models with the same pieces, and records the requests."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.sent_headers: list[Any] = []
        self.status = 200
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: Sequence[bytes] = ()

    def handle_request(self, request: Any) -> Any:
        self.sent.append(request.read())
        self.sent_headers.append(request.headers)
        return self._response()

    async def handle_async_request(self, request: Any) -> Any:
        self.sent.append(await request.aread())
        self.sent_headers.append(request.headers)
        return self._response()

    def _response(self) -> Any:
        return _http.Response(self.status, headers=self.headers, stream=_Body(self.pieces))

    def chat_model(self, **settings: Any) -> ChatCloudflareDeepSeek:
        return ChatCloudflareDeepSeek(
            http_client=openai.DefaultHttpxClient(transport=self),
            http_async_client=openai.DefaultAsyncHttpxClient(transport=self),
            **{**SETTINGS, **settings},
        )


class RawServer:
    """Responds to every request on 127.0.0.1 with `answer`, and closes the connection."""

    def __init__(self) -> None:
        self.answer = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def chat_model(self, **settings: Any) -> ChatCloudflareDeepSeek:
        port = self._listener.getsockname()[1]
        return ChatCloudflareDeepSeek(
            **{**SETTINGS, "base_url": f"http://127.0.0.1:{port}/deepseek", **settings}
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Wakes the thread, which a closed listener alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        try:
            head, _, body = self._received(connection, b"", b"\r\n\r\n").partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head.lower())
            while length and len(body) < int(length[1]):
                body += connection.recv(2**16)
            connection.sendall(self.answer)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(2**16):
                pass
        except OSError:
            return  # the client closed the connection

    @staticmethod
    def _received(connection: socket.socket, data: bytes, end: bytes) -> bytes:
        while end not in data and (piece := connection.recv(2**16)):
            data += piece
        return data
