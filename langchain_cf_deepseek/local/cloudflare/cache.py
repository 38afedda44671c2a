"""Cloudflare's response cache: off unless a request asks for it, identical requests only."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus

from langchain_cf_deepseek.local.exchange import Answer, Call, CallNext, Stream, replay

MIN_TTL = 60
MAX_TTL = 30 * 24 * 3600
KEY_ONLY_TTL = 300
"""Seconds for which a request with `cf-aig-cache-key` and no TTL of its own is kept."""

MAX_ENTRIES = 1000


@dataclass(frozen=True)
class _Entry:
    expires: float
    status: int
    content_type: str | None
    headers: dict[str, str]
    pieces: tuple[bytes, ...]
    streamed: bool


class Cache:
    """Answers kept in memory, the oldest dropped first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = threading.Lock()

    async def step(self, call: Call, call_next: CallNext) -> Answer:
        """Answer from the cache, or keep what the provider answers."""
        call.facts["cf-aig-cache-status"] = "MISS"
        headers = call.request.headers
        ttl = _ttl(headers)
        if ttl is None or headers.get("cf-aig-skip-cache") == "true":
            return await call_next()
        key = _key(call)
        with self._lock:
            entry = self._entries.get(key)
        if entry is not None and entry.expires > self._clock():
            call.facts["cf-aig-cache-status"] = "HIT"
            body = replay(entry.pieces) if entry.streamed else entry.pieces[0]
            return Answer(entry.status, body, entry.content_type, dict(entry.headers))
        return self._keeping(await call_next(), key, ttl)

    def _keeping(self, answer: Answer, key: str, ttl: int) -> Answer:
        if answer.status != HTTPStatus.OK:
            return answer
        if isinstance(answer.body, bytes):
            self._put(key, ttl, answer, (answer.body,))
        else:
            answer.body = self._tee(answer, answer.body, key, ttl)
        return answer

    async def _tee(self, answer: Answer, body: Stream, key: str, ttl: int) -> Stream:
        pieces: list[bytes] = []
        async with aclosing(body):
            async for piece in body:
                pieces.append(piece)
                yield piece
        if b"data: [DONE]" in b"".join(pieces[-2:]):
            self._put(key, ttl, answer, tuple(pieces))

    def _put(self, key: str, ttl: int, answer: Answer, pieces: tuple[bytes, ...]) -> None:
        entry = _Entry(
            expires=self._clock() + ttl,
            status=answer.status,
            content_type=answer.content_type,
            headers=dict(answer.headers),
            pieces=pieces,
            streamed=not isinstance(answer.body, bytes),
        )
        with self._lock:
            self._entries[key] = entry
            self._entries.move_to_end(key)
            if len(self._entries) > MAX_ENTRIES:
                self._entries.popitem(last=False)


def _ttl(headers: dict[str, str]) -> int | None:
    wanted = headers.get("cf-aig-cache-ttl", "")
    if wanted.isdecimal():
        return min(max(int(wanted), MIN_TTL), MAX_TTL) if int(wanted) else None
    return KEY_ONLY_TTL if "cf-aig-cache-key" in headers else None


def _key(call: Call) -> str:
    """Cloudflare's key covers provider, endpoint, model, provider key and body.

    A caller's key takes its place, within the gateway.
    """
    headers = call.request.headers
    custom = headers.get("cf-aig-cache-key")
    parts = (
        (call.gateway or "default", custom)
        if custom
        else (
            call.gateway or "default",
            call.request.path,
            headers.get("authorization", ""),
            call.raw.decode("utf-8", "surrogateescape"),
        )
    )
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()
