"""A server for measuring clients: it writes prepared bytes, in a process of its own.

A path begins with the way to answer and the number of chunks of a streamed answer:

    /packed/2000    many events in a packet, as fast as the client reads
    /brisk/2000     event by event without a pause; what the client has not read comes together
    /paced/2000     one packet for each event: a pause follows it, in which the client reads
    /held/20        the first event; half a second later the others
    /slow/20        the whole answer after three seconds, the events of a stream spread over them

`GET /connections` says how many connections have asked a question so far.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, cast
from urllib.request import urlopen

from typing_extensions import override

PACE_SECONDS = 0.0005
HOLD_SECONDS = 0.5
SLOW_SECONDS = 3.0

END_OF_STREAM = b"0\r\n\r\n"

_HEAD = (
    b"HTTP/1.1 200 OK\r\ncf-aig-log-id: 01JADMCQQQBWH3NXZ5GCRN98DP\r\ncf-aig-cache-status: MISS\r\n"
    b"cf-aig-step: 0\r\ncf-aig-model: deepseek-flash\r\ncf-aig-provider: deepseek\r\n"
    b"cf-ray: 8f2d1c3b4a5e6f70-FRA\r\n"
)
_USAGE = {
    "prompt_tokens": 5,
    "completion_tokens": 5,
    "total_tokens": 10,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
_SAME = {"id": "930c60df-bf64-41c9-a88e-3ec75f81e00e", "created": 1, "model": "deepseek-flash"}


def event(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """Return one event of a stream as DeepSeek writes it."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = _SAME | {"object": "chat.completion.chunk", "system_fingerprint": "fp"}
    return b"data: %b\n\n" % json.dumps(chunk | {"choices": [choice]} | more).encode()


def events(chunks: int) -> list[bytes]:
    """Return the events of a stream of so many chunks: half reasoning, half text."""
    thought = event({"content": None, "reasoning_content": "thought "})
    word = event({"content": "word ", "reasoning_content": None})
    return [
        event({"role": "assistant", "content": None, "reasoning_content": ""}),
        *[thought] * (chunks // 2),
        *[word] * (chunks - chunks // 2),
        event({"content": "", "reasoning_content": None}, "stop", usage=_USAGE),
        b"data: [DONE]\n\n",
    ]


@cache
def _stream(chunks: int) -> list[bytes]:
    head = _HEAD + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    pieces = [b"%x\r\n%b\r\n" % (len(data), data) for data in events(chunks)]
    return [head + pieces[0], *pieces[1:], END_OF_STREAM]


@cache
def _whole() -> bytes:
    message = {"role": "assistant", "content": "hello there", "reasoning_content": "hm"}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _json(_SAME | {"object": "chat.completion", "choices": [choice], "usage": _USAGE})


def _json(value: Any) -> bytes:
    body = json.dumps(value).encode()
    head = _HEAD + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    return head + body


class _Protocol(asyncio.Protocol):
    """One connection; a client sends its next request after the last answer."""

    connections = 0

    def __init__(self) -> None:
        self._request = b""
        self._asked = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        self._request += data
        head, end, body = self._request.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self._request = b""
        method, path, _ = head.split(b" ", 2)
        if method == b"GET":
            self._transport.write(_json(_Protocol.connections))
            return
        if not self._asked:
            self._asked = True
            _Protocol.connections += 1
        _, how, chunks, _ = path.decode().split("/", 3)
        streamed = b'"stream":true' in body or b'"stream": true' in body
        self._answer(how, _stream(int(chunks)) if streamed else [_whole()])

    def _answer(self, how: str, pieces: list[bytes]) -> None:
        write, loop = self._transport.write, asyncio.get_running_loop()
        match how:
            case "packed":
                write(b"".join(pieces))
            case "brisk":
                self._write_next(iter(pieces))
            case "paced":
                for piece in pieces:
                    write(piece)
                    # One client is measured at a time, and a timer of the loop counts in ms.
                    time.sleep(PACE_SECONDS)
            case "held":
                write(pieces[0])
                loop.call_later(HOLD_SECONDS, write, b"".join(pieces[1:]))
            case "slow":
                for number, piece in enumerate(pieces, 1):
                    loop.call_later(SLOW_SECONDS * number / len(pieces), write, piece)

    def _write_next(self, pieces: Iterator[bytes]) -> None:
        if piece := next(pieces, None):
            self._transport.write(piece)
            asyncio.get_running_loop().call_soon(self._write_next, pieces)


def _length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0] or 0)


async def _serve(port_to: Connection) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Protocol, "127.0.0.1", 0, backlog=2048)
    port_to.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _run(port_to: Connection) -> None:
    asyncio.run(_serve(port_to))


@contextmanager
def running_server() -> Iterator[str]:
    """Run the server in a process of its own; gives its address."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def connections(server: str) -> int:
    """Return how many connections have asked a question so far."""
    with urlopen(f"{server}/connections") as response:  # noqa: S310  # our own server
        return int(json.load(response))
