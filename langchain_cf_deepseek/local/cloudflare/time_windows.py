"""Windows of time, in which rate limits count requests and budgets add up spending."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Literal

Technique = Literal["fixed", "sliding"]
"""A fixed window starts with its first amount, and all its amounts expire together; in a sliding
window each amount expires separately."""

Clock = Callable[[], float]


class Window:
    """The amounts of the last seconds."""

    def __init__(
        self, seconds: float, technique: Technique = "fixed", clock: Clock = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._technique = technique
        self._clock = clock
        self._amounts: deque[tuple[float, float]] = deque()
        self._lock = threading.Lock()

    @property
    def total(self) -> float:
        """The sum of the amounts."""
        with self._lock:
            self._drop_expired()
            return sum(amount for _, amount in self._amounts)

    def add(self, amount: float) -> None:
        """Add an amount, now."""
        with self._lock:
            self._drop_expired()
            self._amounts.append((self._clock(), amount))

    def _drop_expired(self) -> None:
        oldest = self._clock() - self._seconds
        while self._amounts and self._amounts[0][0] <= oldest:
            if self._technique == "fixed":
                self._amounts.clear()
            else:
                self._amounts.popleft()
