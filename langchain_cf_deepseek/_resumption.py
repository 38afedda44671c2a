"""The requests of one call: a second one forces a tool call, others resume a broken stream.

Which streams can be continued, and how, is decided in `_api/continuation.py`; whether and when to
try again in `_http/retries.py`.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Self

from langchain_cf_deepseek._api.continuation import (
    continuation_body,
    find_obstacle,
    reduce_max_tokens,
)
from langchain_cf_deepseek._api.request import forced_body
from langchain_cf_deepseek._api.response import ResponseReader
from langchain_cf_deepseek._headers import merge_headers
from langchain_cf_deepseek._http.retries import RetryState
from langchain_cf_deepseek._http.transport import WireRequest
from langchain_cf_deepseek.errors import (
    CFDeepSeekError,
    CFDeepSeekInvalidRequestError,
    CFDeepSeekModelNotFoundError,
)

_SKIP_CACHE = {"cf-aig-skip-cache": "true"}

_STORING_HEADERS = frozenset({"cf-aig-cache-key", "cf-aig-cache-ttl", "cf-cache-ttl"})
"""Headers by which the gateway would store a continuation, under a key of the caller even as the
whole response."""


class RequestSequence:
    """The requests of a call; each is taken after the response to the one before was read."""

    def __init__(
        self, first: WireRequest, reader: ResponseReader, count_tokens: Callable[[str], int]
    ) -> None:
        """Create the sequence.

        Args:
            first: The first request.
            reader: Reads the response to each request before the next one is taken.
            count_tokens: Counts the tokens of a text.
        """
        self._first = first
        self._reader = reader
        self._count_tokens = count_tokens
        self._retries = RetryState(first.resume)
        self._next: WireRequest | None = None
        self._last_break: CFDeepSeekError | None = None
        self._requests = self._iterate()

    def __iter__(self) -> Iterator[WireRequest]:
        """Iterate over the requests; `_iterate` raises the errors."""
        return self._requests

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WireRequest:
        request: WireRequest | None
        if self._next is not None and "max_tokens" in self._next.body:
            # Counting tokens loads the tokenizer from its file.
            request = await asyncio.to_thread(next, self._requests, None)
        else:
            request = next(self._requests, None)
        if request is None:
            raise StopAsyncIteration
        return request

    def _iterate(self) -> Iterator[WireRequest]:
        """Yield the requests.

        Raises:
            CFDeepSeekError: The response to the first one is not a valid completion, so that none
                can force its tool call.
        """
        first, reader = self._first, self._reader
        yield first
        while (request := self._next) is not None:
            self._next = None
            body = reduce_max_tokens(reader.received, request.body, self._count_tokens)
            yield replace(request, body=body)
        if first.forcing is not None and reader.is_finished_without_tool_call:
            reader.check()
            body = forced_body(first.body, first.forcing, reader.text)
            yield replace(first, body=body, forcing=None)

    @contextmanager
    def resumed_if_broken(self) -> Iterator[None]:
        """Suppress the error of a broken stream that the next request resumes.

        Raises:
            CFDeepSeekError: It cannot be resumed, or the attempts are used up.
        """
        try:
            yield
        except CFDeepSeekError as error:
            if self._resume_after(error):
                return
            is_refused = isinstance(
                error, CFDeepSeekInvalidRequestError | CFDeepSeekModelNotFoundError
            )
            if self._last_break and is_refused:
                # The caller's request is valid, so what failed is the stream: a retry can succeed.
                raise self._last_break from error
            raise
        else:
            # If it cannot be resumed, the reader's own check reports it after the closing chunk.
            self._resume_after(None)

    def _resume_after(self, error: CFDeepSeekError | None) -> bool:
        """Prepare the request that resumes the stream, and return whether there is one.

        Args:
            error: What reading the stream raised; `None`: it ended.
        """
        reader = self._reader
        if not reader.has_begun or (error and error.raw_message is not None):
            # Of a malformed event, a part can have been read that was not yielded.
            return False
        if error is None or reader.is_finished:
            error = reader.find_break()
        if error is None or not self._retries.should_retry(error):
            return False
        self._next = self._resuming_request()
        if self._next is None:
            return False
        reader.record_break(error)
        self._last_break = error.with_traceback(None)
        return True

    def _resuming_request(self) -> WireRequest | None:
        first, received = self._first, self._reader.received
        delay = self._retries.delay
        if received.is_empty:
            return replace(first, headers=merge_headers(first.headers, _SKIP_CACHE), delay=delay)
        obstacle = find_obstacle(received, first.body)
        if obstacle is None and first.beta_url is None:
            obstacle = f"routing {first.routing!r} has no beta path for prefix completion"
        if obstacle is not None or first.beta_url is None:
            self._reader.note = f"`resume` could not continue the response: {obstacle}."
            return None
        kept = {
            name: value
            for name, value in first.headers.items()
            if name.lower() not in _STORING_HEADERS
        }
        return replace(
            first,
            url=first.beta_url,
            headers=merge_headers(kept, _SKIP_CACHE),
            body=continuation_body(received, first.body),
            delay=delay,
        )
