"""Cloudflare's response cache: only for requests that ask for it, and only identical ones."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus

from langchain_cf_deepseek.local.event_streams import is_complete
from langchain_cf_deepseek.local.exchange import Call, CallNext, GatewayResponse, Stream, as_stream

MIN_TTL = 60
MAX_TTL = 30 * 24 * 3600
KEY_ONLY_TTL = 300
"""Seconds for which responses are cached with `cf-aig-cache-key` but without a TTL."""

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
    """Responses in memory; the oldest are dropped first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = threading.Lock()

    async def step(self, call: Call, call_next: CallNext) -> GatewayResponse:
        """Respond from the cache, or store the provider's response."""
        call.gateway_headers["cf-aig-cache-status"] = "MISS"
        headers = call.request.headers
        ttl = _ttl(headers)
        if ttl is None or headers.get("cf-aig-skip-cache") == "true":
            return await call_next()
        key = _key(call)
        with self._lock:
            entry = self._entries.get(key)
        if entry is not None and entry.expires > self._clock():
            call.gateway_headers["cf-aig-cache-status"] = "HIT"
            body = as_stream(entry.pieces) if entry.streamed else entry.pieces[0]
            return GatewayResponse(entry.status, body, entry.content_type, dict(entry.headers))
        return self._store(await call_next(), key, ttl)

    def _store(self, response: GatewayResponse, key: str, ttl: int) -> GatewayResponse:
        if response.status != HTTPStatus.OK:
            return response
        if isinstance(response.body, bytes):
            self._put(key, ttl, response, (response.body,))
        else:
            response.body = self._tee(response, response.body, key, ttl)
        return response

    async def _tee(self, response: GatewayResponse, body: Stream, key: str, ttl: int) -> Stream:
        pieces: list[bytes] = []
        async with aclosing(body):
            async for piece in body:
                pieces.append(piece)
                yield piece
        if is_complete(b"".join(pieces)):
            self._put(key, ttl, response, tuple(pieces))

    def _put(
        self, key: str, ttl: int, response: GatewayResponse, pieces: tuple[bytes, ...]
    ) -> None:
        entry = _Entry(
            expires=self._clock() + ttl,
            status=response.status,
            content_type=response.content_type,
            headers=dict(response.headers),
            pieces=pieces,
            streamed=not isinstance(response.body, bytes),
        )
        with self._lock:
            self._entries[key] = entry
            self._entries.move_to_end(key)
            if len(self._entries) > MAX_ENTRIES:
                self._entries.popitem(last=False)


def _ttl(headers: dict[str, str]) -> int | None:
    ttl = headers.get("cf-aig-cache-ttl", "")
    if ttl.isdecimal():
        return min(max(int(ttl), MIN_TTL), MAX_TTL) if int(ttl) else None
    return KEY_ONLY_TTL if "cf-aig-cache-key" in headers else None


def _key(call: Call) -> str:
    """Cloudflare's key covers provider, endpoint with query, model, provider key and body.

    A caller's own key replaces it within the gateway.
    """
    headers = call.request.headers
    own_key = headers.get("cf-aig-cache-key")
    parts = (
        (call.gateway or "default", own_key)
        if own_key
        else (
            call.gateway or "default",
            call.request.path,
            call.request.query,
            headers.get("authorization", ""),
            call.raw.decode("utf-8", "surrogateescape"),
        )
    )
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()
