"""Decides whether a request is sent again, and after which delay. Nothing here waits."""

import random

from langchain_cf_deepseek.errors import CFDeepSeekError

# Seconds, as in the SDK.
_INITIAL_DELAY = 0.5
_MAX_DELAY = 8.0
_MAX_RETRY_AFTER = 120.0


class RetryState:
    """The retries left for one request."""

    delay: float
    """Seconds to wait before the next attempt; set by `should_retry`."""

    def __init__(self, max_retries: int) -> None:
        self._retries_left = max_retries
        self._next_delay = _INITIAL_DELAY

    def should_retry(self, error: CFDeepSeekError) -> bool:
        """Return whether to send the request again, `delay` seconds after it failed with `error`.

        A longer delay than `_MAX_RETRY_AFTER`, requested by the service, prevents a retry.
        """
        requested_delay = error.retry_after or 0.0
        if self._retries_left <= 0 or not error.is_retryable or requested_delay > _MAX_RETRY_AFTER:
            return False
        # Clients that failed together should not retry together.
        jitter = random.uniform(0.75, 1)  # noqa: S311
        self.delay = requested_delay or self._next_delay * jitter
        self._next_delay = min(2 * self._next_delay, _MAX_DELAY)
        self._retries_left -= 1
        return True
