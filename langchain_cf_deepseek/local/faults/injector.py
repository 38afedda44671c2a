"""Injects the requested faults into responses.

A fault applies where the provider would respond: after authentication and the cache, so that a
refused request or a cache HIT uses none up.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from langchain_cf_deepseek.local.event_streams import EventSplitter
from langchain_cf_deepseek.local.exchange import (
    Call,
    CallNext,
    GatewayResponse,
    Stream,
    as_stream,
    dump,
)
from langchain_cf_deepseek.local.faults.error_bodies import deepseek_body
from langchain_cf_deepseek.local.faults.specification import Fault

KEEP_ALIVE_INTERVAL = 0.05
"""Seconds between two keep-alives of a fault."""


@dataclass
class _QueuedFault:
    fault: Fault
    requests: int = 0
    hits: int = 0

    def count_request(self) -> bool:
        """Count one request, and return whether the fault applies to it."""
        self.requests += 1
        if self.fault.share is None:
            is_hit = True
        else:
            digest = hashlib.sha256(f"{self.fault.seed}:{self.requests}".encode()).digest()
            is_hit = int.from_bytes(digest[:8]) < self.fault.share * 2**64
        self.hits += is_hit
        return is_hit

    @property
    def is_used_up(self) -> bool:
        fault = self.fault
        return fault.share is None and fault.times is not None and self.hits >= fault.times


class FaultQueue:
    """The requested faults; the first that applies to a request is injected."""

    def __init__(self) -> None:
        self._queued: list[_QueuedFault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Request a fault."""
        with self._lock:
            self._queued.append(_QueuedFault(fault))

    def _next(self) -> tuple[float, Fault | None]:
        """Return the delay of a request, and the fault that applies to it."""
        delay = 0.0
        applied: Fault | None = None
        with self._lock:
            for entry in self._queued:
                if entry.count_request():
                    delay += entry.fault.delay
                    if not entry.fault.is_endless_delay:
                        applied = entry.fault
                        break
            self._queued = [entry for entry in self._queued if not entry.is_used_up]
        return delay, applied

    async def step(self, call: Call, call_next: CallNext) -> GatewayResponse:
        """Inject the next fault, or let the call proceed."""
        delay, fault = self._next()
        response = fault.response() if fault and fault.replaces else await call_next()
        # After the response is built: a request that is abandoned meanwhile must not use up a
        # later scripted reply.
        if delay:
            await asyncio.sleep(delay)
        return response if fault is None else _inject(response, fault, call)


def _inject(response: GatewayResponse, fault: Fault, call: Call) -> GatewayResponse:
    for name, value in fault.headers.items():
        call.gateway_headers.pop(name.lower(), None)
        if value is not None:
            call.gateway_headers[name.lower()] = value
    if fault.content_type is not None:
        response.content_type = fault.content_type
    body = response.body
    if isinstance(body, bytes):
        if fault.finish_reason is not None:
            body = _with_finish_reason(body, fault.finish_reason)
        if fault.then == "error_event":
            body = dump(_error_event(fault))
        elif fault.then == "bad_json":
            body = body[: len(body) // 2]
        elif fault.then is not None:
            body = _break_body(body, fault, call)
    else:
        body = _break_stream(body, fault, call)
    response.body = body if fault.split is None else _split(body, fault.split)
    return response


async def _break_stream(body: Stream, fault: Fault, call: Call) -> Stream:
    sent = 0
    async with aclosing(_blocks(body)) as blocks:
        async for block, data in blocks:
            broken = block
            if fault.finish_reason is not None:
                broken = _with_finish_reason(block, fault.finish_reason)
            if data:
                if fault.then is not None and sent == fault.after_chunks:
                    if fault.then == "bad_json":
                        broken = block[: len(block) // 2] + b"\n\n"
                    elif fault.then == "error_event":
                        yield b"data: " + dump(_error_event(fault)) + b"\n\n"
                        return
                    else:
                        async for piece in _pause(fault, call, b": keep-alive\n\n"):
                            yield piece
                        if fault.then in {"cut", "reset"}:
                            return
                sent += 1
            yield broken


async def _blocks(body: Stream) -> AsyncGenerator[tuple[bytes, bytes], None]:
    """Yield the bytes and the data of each block of a stream, however its bytes are split."""
    splitter = EventSplitter()
    async with aclosing(body):
        async for piece in body:
            for block in splitter.split(piece):
                yield block
    if splitter.rest:
        yield splitter.rest, b""


async def _break_body(body: bytes, fault: Fault, call: Call) -> Stream:
    middle = 0 if fault.then == "keep_alive" else len(body) // 2
    yield body[:middle]
    async for piece in _pause(fault, call, b"\n"):
        yield piece
    if fault.then not in {"cut", "reset"}:
        yield body[middle:]


async def _pause(fault: Fault, call: Call, keep_alive: bytes) -> Stream:
    if fault.then == "reset":
        await call.reset()
    elif fault.then == "stall":
        await asyncio.sleep(fault.seconds)
    elif fault.then == "keep_alive":
        end = time.monotonic() + fault.seconds
        while time.monotonic() < end:
            yield keep_alive
            await asyncio.sleep(KEEP_ALIVE_INTERVAL)


async def _split(body: bytes | Stream, size: int) -> Stream:
    pieces = as_stream([body]) if isinstance(body, bytes) else body
    async with aclosing(pieces):
        async for piece in pieces:
            for start in range(0, len(piece), size):
                yield piece[start : start + size]
                await asyncio.sleep(0)


def _error_event(fault: Fault) -> Any:
    if fault.body is not None:
        return fault.body
    return deepseek_body("Internal server error", "server_error", "internal_error")


def _with_finish_reason(data: bytes, reason: str) -> bytes:
    """Replace the finish reason in a JSON body, or in one event of a stream."""
    lead, start, rest = data.partition(b"{")
    try:
        payload = json.loads(start + rest)
    except ValueError:
        return data
    for choice in payload.get("choices", ()):
        if choice.get("finish_reason") is not None:
            choice["finish_reason"] = reason
    tail = rest[len(rest.rstrip()) :]
    return lead + dump(payload) + tail
