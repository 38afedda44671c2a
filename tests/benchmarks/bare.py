"""What stands below any chat model: a socket, and the HTTP library that the `openai` SDK stands on.

A socket says what bytes cost, and understands none. The HTTP library is asked as one would by hand.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from functools import cached_property
from importlib import import_module
from importlib.metadata import requires
from typing import Any
from urllib.parse import urlsplit

from tests.benchmarks.server import END_OF_STREAM

HTTP_LIBRARY = (
    "httpx2" if any(r.startswith("httpx2") for r in requires("openai") or ()) else "httpx"
)

END_OF_ANSWER = b"}"
READ_SIZE = 65536

http: Any = import_module(HTTP_LIBRARY)


def body(prompt: str, *, stream: bool) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    return {"model": "deepseek-flash", "messages": messages, "stream": stream}


class RawSocket:
    """Reads the answer's bytes to their end; a stream gives the pieces as they come."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port)
        self._path = f"{parts.path}/chat/completions"
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    def _request(self, prompt: str, *, stream: bool) -> bytes:
        content = json.dumps(body(prompt, stream=stream)).encode()
        return b"POST %b HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (
            self._path.encode(),
            len(content),
            content,
        )

    @cached_property
    def _socket(self) -> socket.socket:
        connection = socket.create_connection(self._address)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _pieces(self, prompt: str, end: bytes, *, stream: bool) -> Iterator[bytes]:
        self._socket.sendall(self._request(prompt, stream=stream))
        piece = b""
        while not piece.endswith(end):
            piece = self._socket.recv(READ_SIZE)
            yield piece

    async def _apieces(self, prompt: str, end: bytes, *, stream: bool) -> AsyncIterator[bytes]:
        reader, writer = (
            self._idle.pop() if self._idle else await asyncio.open_connection(*self._address)
        )
        writer.write(self._request(prompt, stream=stream))
        piece = b""
        while not piece.endswith(end):
            piece = await reader.read(READ_SIZE)
            yield piece
        self._idle.append((reader, writer))

    def invoke(self, prompt: str, /) -> bytes:
        return b"".join(self._pieces(prompt, END_OF_ANSWER, stream=False))

    async def ainvoke(self, prompt: str, /) -> bytes:
        return b"".join(
            [piece async for piece in self._apieces(prompt, END_OF_ANSWER, stream=False)]
        )

    def stream(self, prompt: str, /) -> Iterator[bytes]:
        return self._pieces(prompt, END_OF_STREAM, stream=True)

    def astream(self, prompt: str, /) -> AsyncIterator[bytes]:
        return self._apieces(prompt, END_OF_STREAM, stream=True)


def client() -> Any:
    return http.Client(timeout=60)


def async_client() -> Any:
    """A client without a limit of connections: with one, long answers would wait for each other."""
    return http.AsyncClient(timeout=60, limits=http.Limits(max_connections=None))


def data_of(line: str) -> Any:
    """Return the JSON of a line of an event stream; `None` when it holds none."""
    return json.loads(line[6:]) if line.startswith("data: {") else None


class HttpLibrary:
    """Gives the JSON of the answer, or of each event."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/chat/completions"
        self._client = client()

    @cached_property
    def _async_client(self) -> Any:
        return async_client()

    def invoke(self, prompt: str, /) -> Any:
        return self._client.post(self._url, json=body(prompt, stream=False)).json()

    async def ainvoke(self, prompt: str, /) -> Any:
        response = await self._async_client.post(self._url, json=body(prompt, stream=False))
        return response.json()

    def stream(self, prompt: str, /) -> Iterator[Any]:
        asked = body(prompt, stream=True)
        with self._client.stream("POST", self._url, json=asked) as response:
            for line in response.iter_lines():
                if data := data_of(line):
                    yield data

    async def astream(self, prompt: str, /) -> AsyncIterator[Any]:
        asked = body(prompt, stream=True)
        async with self._async_client.stream("POST", self._url, json=asked) as response:
            async for line in response.aiter_lines():
                if data := data_of(line):
                    yield data
