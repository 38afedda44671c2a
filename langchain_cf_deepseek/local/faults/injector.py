"""Committing the faults that were ordered: which request they strike, and what they do to it.

A fault strikes where the provider would answer: after authentication and the cache, so that a
refused request or a cache HIT never uses one up.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from langchain_cf_deepseek.local.exchange import Answer, Call, CallNext, Stream, dump
from langchain_cf_deepseek.local.faults.error_bodies import deepseek_body
from langchain_cf_deepseek.local.faults.specification import Fault
from langchain_cf_deepseek.local.http.events import EventSplitter

KEEP_ALIVE_INTERVAL = 0.05
"""Seconds between two keep-alives of a fault."""


@dataclass
class _QueuedFault:
    fault: Fault
    seen: int = 0
    struck: int = 0

    def applies_to(self) -> bool:
        self.seen += 1
        if self.fault.share is None:
            hit = True
        else:
            digest = hashlib.sha256(f"{self.fault.seed}:{self.seen}".encode()).digest()
            hit = int.from_bytes(digest[:8]) < self.fault.share * 2**64
        self.struck += hit
        return hit

    @property
    def spent(self) -> bool:
        fault = self.fault
        return fault.share is None and fault.times is not None and self.struck >= fault.times


class FaultQueue:
    """The faults ordered; the first one that strikes is the one committed."""

    def __init__(self) -> None:
        self._ordered: list[_QueuedFault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Order a fault."""
        with self._lock:
            self._ordered.append(_QueuedFault(fault))

    def _next(self) -> Fault | None:
        with self._lock:
            fault = next((entry.fault for entry in self._ordered if entry.applies_to()), None)
            self._ordered = [entry for entry in self._ordered if not entry.spent]
        return fault

    async def step(self, call: Call, call_next: CallNext) -> Answer:
        """Commit the next fault, or let the call proceed."""
        fault = self._next()
        if fault is None:
            return await call_next()
        answer = fault.answer() if fault.replaces else await call_next()
        # The answer is made before: whoever waits no longer must not take a later scripted reply.
        await asyncio.sleep(fault.delay)
        for name, value in fault.headers.items():
            call.facts.pop(name.lower(), None)
            if value is not None:
                call.facts[name.lower()] = value
        if fault.content_type is not None:
            answer.content_type = fault.content_type
        return _apply_fault(answer, fault, call)


def _apply_fault(answer: Answer, fault: Fault, call: Call) -> Answer:
    body = answer.body
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
        body = _break_stream(_events(body), fault, call)
    answer.body = body if fault.split is None else _split(body, fault.split)
    return answer


async def _break_stream(events: Stream, fault: Fault, call: Call) -> Stream:
    sent = 0
    async with aclosing(events):
        async for event in events:
            broken = event
            if fault.finish_reason is not None:
                broken = _with_finish_reason(event, fault.finish_reason)
            if not event.startswith(b":"):
                if fault.then is not None and sent == fault.after_chunks:
                    if fault.then == "bad_json":
                        broken = event[: len(event) // 2] + b"\n\n"
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


async def _events(body: Stream) -> Stream:
    """Cut a stream into whole events, however its bytes arrive."""
    splitter = EventSplitter()
    async with aclosing(body):
        async for piece in body:
            for event in splitter.feed(piece):
                yield event
    if splitter.rest:
        yield splitter.rest


async def _split(body: bytes | Stream, size: int) -> Stream:
    pieces = _whole(body) if isinstance(body, bytes) else body
    async with aclosing(pieces):
        async for piece in pieces:
            for start in range(0, len(piece), size):
                yield piece[start : start + size]
                await asyncio.sleep(0)


async def _whole(body: bytes) -> Stream:
    yield body


def _error_event(fault: Fault) -> Any:
    if fault.body is not None:
        return fault.body
    return deepseek_body("Internal server error", "server_error", "internal_error")


def _with_finish_reason(data: bytes, reason: str) -> bytes:
    """Exchange the finish reason in a JSON body, or in one event of a stream."""
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
