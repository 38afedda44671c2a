"""Parses the bytes of a response: events of a stream, a whole completion, or an error.

Sync and async calls share every rule; only the loops over the body differ.
"""

import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from math import inf
from typing import Any

from anyio import move_on_after  # a dependency of both HTTP libraries that the SDK can use
from pydantic_core import from_json

from langchain_cf_deepseek._errors.bodies import is_error, parse_error_body
from langchain_cf_deepseek._errors.responses import build_error, error_from_response
from langchain_cf_deepseek._http.connection_errors import CONNECTION_LOST, network_errors
from langchain_cf_deepseek._http.http_library import library_of
from langchain_cf_deepseek._http.sse import DONE, ErrorData, EventDecoder
from langchain_cf_deepseek.errors import (
    CFDeepSeekError,
    CFDeepSeekIncompleteStreamError,
    CFDeepSeekTimeoutError,
)

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# An event stream begins with a field or a comment.
_STREAM_PREFIXES = (b"data:", b"event:", b"id:", b"retry:", b":")

_MAX_DRAIN_SECONDS = 1.0

_MAX_QUEUE_SECONDS = 900.0
"""DeepSeek itself ends a request that has been queued for ten minutes."""


def read_completion(response: Any) -> dict[str, Any]:
    """Return the JSON of a response that is not a stream.

    Raises:
        CFDeepSeekError: It is not JSON, or has no `choices`: an error with a status of success.
    """
    return _parse_completion(response, response.content)


def _parse_json(data: bytes) -> Any:
    try:
        # Only keys are cached: texts do not repeat, and would fill the parser's cache.
        return from_json(data, cache_strings="keys")
    except ValueError:
        # Three times slower, but accepts half of a surrogate pair, which JSON can encode.
        return json.loads(data)


def parse_body(response: Any, content: bytes) -> Any:
    """Return the JSON value of a response with a status of success.

    Raises:
        CFDeepSeekError: It is not JSON, or `null`.
    """
    body: Any
    try:
        body = _parse_json(content)
    except (ValueError, RecursionError):
        body = None
    if body is None:
        raise error_from_response(response, body=parse_error_body(content, response.headers))
    return body


def _parse_completion(response: Any, content: bytes) -> dict[str, Any]:
    body = parse_body(response, content)
    if is_error(body) or not body.get("choices"):
        raise error_from_response(response, body=body)
    completion: dict[str, Any] = body
    return completion


class StreamReader:
    """Reads the response to one request with `stream: true`."""

    def __init__(
        self, response: Any, chunk_timeout: float | None, *, keep_alive_is_progress: bool = False
    ) -> None:
        self._response = response
        self._keep_alive_is_progress = keep_alive_is_progress
        self._decoder = EventDecoder()
        self._completion_pieces: list[bytes] | None = None  # the body, if it is not a stream
        self._start = b""
        self._has_begun = False
        self._is_done = False
        self._events_after_done: list[bytes] = []
        self._chunk_timeout = chunk_timeout or None
        self._last_event: float | None = None
        self._start_time = time.monotonic()
        if self._chunk_timeout:
            # The HTTP library reads it again when the body begins.
            timeouts = response.request.extensions.setdefault("timeout", {})
            timeouts["read"] = min(timeouts.get("read") or inf, self._chunk_timeout)

    def events(self, pieces: Iterator[bytes]) -> Iterator[dict[str, Any]]:
        """Yield the JSON of each event in a body.

        A whole completion, which the gateway sends instead of a stream when guardrails are on, is
        yielded as one event.

        Raises:
            CFDeepSeekError: The body reports an error, is not an event stream, or cannot be read.
        """
        with self._typed_errors():
            for piece in pieces:
                yield from self._parse_events(piece)
                if self._is_done:
                    yield from self._parse_late_usage(self._drain(pieces))
                    return
            yield from self._parse_end()

    async def aevents(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
        """`events` for an event loop."""
        with self._typed_errors():
            async for piece in pieces:
                for event in self._parse_events(piece):
                    yield event
                if self._is_done:
                    for event in self._parse_late_usage(await self._adrain(pieces)):
                        yield event
                    return
            for event in self._parse_end():
                yield event

    def _parse_events(self, piece: bytes) -> Iterator[dict[str, Any]]:
        data = self._feed(piece)
        self._check_for_stall(has_events=bool(data) or self._completion_pieces is not None)
        for index, event in enumerate(data):
            if event == DONE:
                self._is_done = True
                self._events_after_done = data[index + 1 :]
                return
            yield self._parse_event(event)

    def _parse_late_usage(self, rest: list[bytes]) -> Iterator[dict[str, Any]]:
        """Yield the usage after `[DONE]`, where some gateways send the correct one."""
        events = [event for piece in rest for event in self._decoder.feed(piece)]
        for event in self._events_after_done + events:
            try:
                usage = _parse_json(event).get("usage")
            except (AttributeError, ValueError, RecursionError):
                continue  # nothing here can invalidate a complete response
            if isinstance(usage, dict):
                yield {"usage": usage}

    def _drain(self, pieces: Iterator[bytes]) -> list[bytes]:
        """Read the rest of the body, so that the connection can be reused; give up soon.

        A server can keep the body open after `[DONE]`. The HTTP library reads its timeout once per
        iteration of a body, so a second iteration continues with a lower one. The first, `pieces`,
        must stay alive until then, since its end would close the connection.
        """
        self._response.request.extensions.setdefault("timeout", {})["read"] = _MAX_DRAIN_SECONDS
        deadline = time.monotonic() + _MAX_DRAIN_SECONDS
        rest: list[bytes] = []
        with suppress(*self._drain_errors()):
            for piece in self._response.stream:
                rest.append(piece)
                if time.monotonic() > deadline:
                    break
        self._response.close()
        del pieces
        return [] if "content-encoding" in self._response.headers else rest

    async def _adrain(self, pieces: AsyncIterator[bytes]) -> list[bytes]:
        rest: list[bytes] = []  # stays empty if the body is kept open
        # Not `asyncio.timeout`: the end of a body releases its connection and can close others,
        # which the HTTP library shields from cancel scopes only.
        with move_on_after(_MAX_DRAIN_SECONDS), suppress(*self._drain_errors()):
            rest.extend([piece async for piece in pieces])
        return rest

    def _drain_errors(self) -> tuple[type[Exception], ...]:
        stream_error = library_of(type(self._response)).StreamError
        return stream_error, *network_errors(self._response)

    def _feed(self, piece: bytes) -> list[bytes]:
        """Return the data of the events that a piece of the body completes."""
        if not self._has_begun:
            self._start += piece
            if _BYTE_ORDER_MARK.startswith(self._start):
                return []
            # Only its beginning reliably distinguishes an event stream from a JSON, HTML or text
            # body; status and content type do not.
            first = self._start.removeprefix(_BYTE_ORDER_MARK).lstrip()
            if any(prefix.startswith(first) and prefix != first for prefix in _STREAM_PREFIXES):
                return []
            piece, self._start = self._start.removeprefix(_BYTE_ORDER_MARK), b""
            self._has_begun = True
            if not first.startswith(_STREAM_PREFIXES):
                self._completion_pieces = []
        if self._completion_pieces is not None:
            self._completion_pieces.append(piece)
            return []
        return self._decoder.feed(piece)

    def _parse_end(self) -> Iterator[dict[str, Any]]:
        if self._completion_pieces is not None:
            yield _parse_completion(self._response, b"".join(self._completion_pieces))
        elif not self._has_begun:
            raise error_from_response(self._response, body=self._start.decode(errors="ignore"))
        else:
            for data in self._decoder.close():
                if data != DONE:
                    yield self._parse_event(data)

    def _parse_event(self, data: bytes) -> dict[str, Any]:
        # An event that is text reports an error; one that starts like JSON is malformed.
        is_text = isinstance(data, ErrorData) or not data.startswith((b"{", b"["))
        event = parse_error_body(data, self._response.headers) if is_text else _parse_json(data)
        if is_error(event) or (isinstance(data, ErrorData) and not event.get("choices")):
            raise error_from_response(self._response, body=event)
        chunk: dict[str, Any] = event
        return chunk

    def _check_for_stall(self, *, has_events: bool) -> None:
        """Raise an error if only keep-alive comments have arrived for `chunk_timeout` seconds.

        Before the first event they mean that the request is queued, for up to ten minutes; after
        it, that the response has stalled, unless the server searches or reviews in silence.
        https://api-docs.deepseek.com/quick_start/rate_limit
        """
        now = time.monotonic()
        if has_events:
            self._last_event = now
        elif self._chunk_timeout and not self._keep_alive_is_progress:
            is_queued = self._last_event is None
            limit = max(self._chunk_timeout, _MAX_QUEUE_SECONDS if is_queued else 0.0)
            if now - (self._last_event or self._start_time) > limit:
                raise self._stalled(limit)

    def _stalled(self, seconds: float | None) -> CFDeepSeekError:
        return build_error(
            CFDeepSeekTimeoutError,
            f"the response stalled for {seconds} s",
            self._response,
            origin="connection",
            hint="Raise `timeout` or `stream_chunk_timeout`, whichever is lower, or try again.",
        )

    def _incomplete(self, message: str) -> CFDeepSeekError:
        return build_error(
            CFDeepSeekIncompleteStreamError, message, self._response, origin="connection"
        )

    @contextmanager
    def _typed_errors(self) -> Iterator[None]:
        library = library_of(type(self._response))
        try:
            yield
        except CFDeepSeekError:
            raise
        except library.TimeoutException as error:
            raise self._stalled(self._response.request.extensions["timeout"]["read"]) from error
        except network_errors(self._response) as error:
            raise self._incomplete(CONNECTION_LOST.format(cause=error)) from error
        except (ValueError, RecursionError) as error:
            msg = f"the stream is malformed: an event is not JSON ({error})"
            raise self._incomplete(msg) from error
