"""The logs of the gateway: how many are kept, and from when on they can be seen."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing

from langchain_cf_deepseek.local.deepseek.models import Model
from langchain_cf_deepseek.local.exchange import Answer, Call, CallNext, RefusedError, Stream
from langchain_cf_deepseek.local.request_log.entries import Log, PendingLogEntry

MAX_LOGS = 10_000
MAX_STORED_BYTES = 100_000_000
"""Of the bodies of all calls together; the oldest logs make room."""


class Logs:
    """The logs of all gateways, kept in memory, the oldest dropped first."""

    def __init__(
        self,
        models: Mapping[str, Model],
        delay: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep logs.

        Args:
            models: The models served, which have prices.
            delay: Seconds until a call that has ended can be seen.
            clock: What the delay is measured with.
        """
        self._models = models
        self._delay = delay
        self._clock = clock
        self._logs: OrderedDict[str, Log] = OrderedDict()
        self._stored_bytes = 0
        self._lock = threading.Lock()

    def of(self, gateway: str) -> list[Log]:
        """List what can be seen of a gateway's logs, the oldest first."""
        now = self._clock()
        with self._lock:
            logs = list(self._logs.values())
        return [log for log in logs if log.gateway == gateway and log.visible_from <= now]

    def remove(self, logs: Iterable[Log]) -> None:
        """Forget some logs."""
        with self._lock:
            for log in logs:
                if self._logs.pop(log.row["id"], None):
                    self._stored_bytes -= log.stored_bytes

    async def step(self, call: Call, call_next: CallNext) -> Answer:
        """Log what comes of a call, a refusal too; a stream when it has ended."""
        if call.request.headers.get("cf-aig-collect-log") == "false":
            return await call_next()
        begun = PendingLogEntry(call)
        try:
            return self._followed(begun, await call_next())
        except RefusedError as refused:
            self._followed(begun, refused.answer)
            raise

    def _followed(self, begun: PendingLogEntry, answer: Answer) -> Answer:
        if isinstance(answer.body, bytes):
            self._keep(begun.ended(answer, answer.body, self._models))
        else:
            answer.body = self._tee(begun, answer, answer.body)
        return answer

    async def _tee(self, begun: PendingLogEntry, answer: Answer, body: Stream) -> Stream:
        pieces: list[bytes] = []
        try:
            async with aclosing(body):
                async for piece in body:
                    pieces.append(piece)
                    yield piece
        finally:
            self._keep(begun.ended(answer, b"".join(pieces), self._models))

    def _keep(self, log: Log) -> None:
        log.visible_from = self._clock() + self._delay
        with self._lock:
            self._logs[log.row["id"]] = log
            self._stored_bytes += log.stored_bytes
            while len(self._logs) > MAX_LOGS or self._stored_bytes > MAX_STORED_BYTES:
                _, oldest = self._logs.popitem(last=False)
                self._stored_bytes -= oldest.stored_bytes
