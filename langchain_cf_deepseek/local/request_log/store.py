"""The log entries in memory: how many are kept, and when they become visible."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing

from langchain_cf_deepseek.local.deepseek.models import Model
from langchain_cf_deepseek.local.exchange import (
    Call,
    CallNext,
    GatewayResponse,
    RefusedError,
    Stream,
)
from langchain_cf_deepseek.local.request_log.entries import LogEntry, PendingLogEntry

MAX_LOGS = 10_000
MAX_STORED_BYTES = 100_000_000
"""The maximum size of all bodies together; the oldest entries are dropped first."""


class LogStore:
    """The log entries of all gateways; the oldest are dropped first."""

    def __init__(
        self,
        models: Mapping[str, Model],
        delay: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create an empty store.

        Args:
            models: The models served, for their prices.
            delay: Seconds until a completed call is visible.
            clock: Measures the delay.
        """
        self._models = models
        self._delay = delay
        self._clock = clock
        self._logs: OrderedDict[str, LogEntry] = OrderedDict()
        self._stored_bytes = 0
        self._lock = threading.Lock()

    def visible(self, gateway: str) -> list[LogEntry]:
        """List a gateway's visible entries, the oldest first."""
        now = self._clock()
        with self._lock:
            logs = list(self._logs.values())
        return [log for log in logs if log.gateway == gateway and log.visible_from <= now]

    def remove(self, logs: Iterable[LogEntry]) -> None:
        """Drop entries."""
        with self._lock:
            for log in logs:
                if self._logs.pop(log.row["id"], None):
                    self._stored_bytes -= log.stored_bytes

    async def step(self, call: Call, call_next: CallNext) -> GatewayResponse:
        """Log the response or refusal of a call; a stream when it has ended."""
        if call.request.headers.get("cf-aig-collect-log") == "false":
            return await call_next()
        pending = PendingLogEntry(call)
        try:
            return self._log(pending, await call_next())
        except RefusedError as refused:
            self._log(pending, refused.response)
            raise

    def _log(self, pending: PendingLogEntry, response: GatewayResponse) -> GatewayResponse:
        if isinstance(response.body, bytes):
            self._store(pending.finish(response, response.body, self._models))
        else:
            response.body = self._log_stream(pending, response, response.body)
        return response

    async def _log_stream(
        self, pending: PendingLogEntry, response: GatewayResponse, body: Stream
    ) -> Stream:
        pieces: list[bytes] = []
        try:
            async with aclosing(body):
                async for piece in body:
                    pieces.append(piece)
                    yield piece
        finally:
            self._store(pending.finish(response, b"".join(pieces), self._models))

    def _store(self, log: LogEntry) -> None:
        log.visible_from = self._clock() + self._delay
        with self._lock:
            self._logs[log.row["id"]] = log
            self._stored_bytes += log.stored_bytes
            while len(self._logs) > MAX_LOGS or self._stored_bytes > MAX_STORED_BYTES:
                _, oldest = self._logs.popitem(last=False)
                self._stored_bytes -= oldest.stored_bytes
