"""What the bytes of an answer mean: events of a stream, a whole JSON answer, or an error.

Nothing here waits or reads by itself, so sync and async calls share every rule.
"""

import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from math import inf
from typing import Any

# A dependency of every HTTP library that the SDK stands on.
from anyio import EndOfStream, move_on_after
from pydantic_core import from_json

from langchain_cf_deepseek._errors.bodies import is_error, readable
from langchain_cf_deepseek._errors.rules import error_for_response, error_from_response
from langchain_cf_deepseek._http.library import library_of
from langchain_cf_deepseek._http.sse import DONE, ErrorData, EventDecoder
from langchain_cf_deepseek.errors import (
    CFDeepSeekError,
    CFDeepSeekIncompleteStreamError,
    CFDeepSeekTimeoutError,
)

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# How an event stream begins: with one of its fields, or with a comment.
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")

_DRAIN_SECONDS = 1.0


def read_completion(response: Any) -> dict[str, Any]:
    """Return the JSON of a whole answer.

    Raises:
        CFDeepSeekError: It is not JSON, or has no `choices`: an error with a status of success.
    """
    return _checked_completion(response, response.content)


def _parsed(data: bytes) -> Any:
    try:
        # Texts are not kept for the next answer: they differ, but would fill the parser's memory.
        return from_json(data, cache_strings="keys")
    except ValueError:
        # Three times slower; takes half a surrogate pair, which JSON can spell.
        return json.loads(data)


def _checked_completion(response: Any, content: bytes) -> dict[str, Any]:
    body: Any
    try:
        body = _parsed(content)
    except (ValueError, RecursionError):
        body = None
    if body is None:
        raise error_from_response(response, body=readable(content, response.headers))
    if is_error(body) or not body.get("choices"):
        raise error_from_response(response, body=body)
    completion: dict[str, Any] = body
    return completion


class StreamReader:
    """Reads one answer to a request with `stream: true`."""

    def __init__(self, response: Any, chunk_timeout: float | None) -> None:
        self._response = response
        self._decoder = EventDecoder()
        self._whole: list[bytes] | None = None
        self._start = b""
        self._begun = False
        self._is_done = False
        self._behind_done: list[bytes] = []
        self._chunk_timeout = chunk_timeout or None
        self._last_event: float | None = None
        if self._chunk_timeout:
            # Read anew by the HTTP library when the body begins: silence of the socket.
            timeouts = response.request.extensions.setdefault("timeout", {})
            timeouts["read"] = min(timeouts.get("read") or inf, self._chunk_timeout)

    def events(self, pieces: Iterator[bytes]) -> Iterator[dict[str, Any]]:
        """Yield the JSON of each event in the answer's bytes.

        A whole JSON answer, which the gateway sends instead of a stream when guardrails are on,
        comes as one event.

        Raises:
            CFDeepSeekError: The bytes hold an error, are no event stream, or fail to come.
        """
        with self._typed_errors():
            for piece in pieces:
                yield from self._events_in(piece)
                if self._is_done:
                    yield from self._late_usage(self._rest(pieces))
                    return
            yield from self._end()

    async def aevents(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
        """`events` for an event loop."""
        with self._typed_errors():
            async for piece in pieces:
                for event in self._events_in(piece):
                    yield event
                if self._is_done:
                    for event in self._late_usage(await self._arest(pieces)):
                        yield event
                    return
            for event in self._end():
                yield event

    def _events_in(self, piece: bytes) -> Iterator[dict[str, Any]]:
        data = self._feed(piece)
        for place, event in enumerate(data):
            if event == DONE:
                self._is_done = True
                self._behind_done = data[place + 1 :]
                return
            yield self._event(event)

    def _late_usage(self, rest: list[bytes]) -> Iterator[dict[str, Any]]:
        """Yield the usage that comes behind `[DONE]`, where some gateways tell the true one."""
        data = self._behind_done + [event for piece in rest for event in self._decoder.feed(piece)]
        for event in data:
            try:
                usage = _parsed(event).get("usage")
            except (AttributeError, ValueError, RecursionError):
                continue  # nothing that comes here can harm a complete response
            if isinstance(usage, dict):
                yield {"usage": usage}

    def _rest(self, pieces: Iterator[bytes]) -> list[bytes]:
        """Read the body to its end, so that the connection can be used again; not for long.

        A server may keep the body open after `[DONE]`. The HTTP library reads its limit once per
        iteration of a body, so a second one goes on with a lower limit; `pieces`, the first, must
        live on until then, since its end would close the connection.
        """
        self._response.request.extensions.setdefault("timeout", {})["read"] = _DRAIN_SECONDS
        deadline = time.monotonic() + _DRAIN_SECONDS
        rest: list[bytes] = []
        with suppress(*self._network_errors()):
            for piece in self._response.stream:
                rest.append(piece)
                if time.monotonic() > deadline:
                    break
        self._response.close()
        del pieces
        return [] if "content-encoding" in self._response.headers else rest

    async def _arest(self, pieces: AsyncIterator[bytes]) -> list[bytes]:
        rest: list[bytes] = []  # what came of a body that is kept open does not count
        # Not `asyncio.timeout`: a body's end gives its connection back, and may close others, which
        # the HTTP library shields from cancel scopes only.
        with move_on_after(_DRAIN_SECONDS), suppress(*self._network_errors()):
            rest.extend([piece async for piece in pieces])
        return rest

    def _network_errors(self) -> tuple[type[Exception], ...]:
        library = library_of(type(self._response))
        return library.RequestError, library.StreamError, EndOfStream, OSError

    def _feed(self, piece: bytes) -> list[bytes]:
        """Return the data of the events that a piece of the body completes."""
        if not self._begun:
            self._start += piece
            if _BYTE_ORDER_MARK.startswith(self._start):
                return []
            # Neither the status nor the content type tells an event stream from a JSON, HTML or
            # text body reliably; its beginning does.
            first = self._start.removeprefix(_BYTE_ORDER_MARK).lstrip()
            if any(field.startswith(first) and field != first for field in _FIELDS):
                return []
            piece, self._start = self._start.removeprefix(_BYTE_ORDER_MARK), b""
            self._begun = True
            if not first.startswith(_FIELDS):
                self._whole = []
        if self._whole is not None:
            self._whole.append(piece)
            return []
        events = self._decoder.feed(piece)
        self._check_silence(came=bool(events))
        return events

    def _end(self) -> Iterator[dict[str, Any]]:
        if self._whole is not None:
            yield _checked_completion(self._response, b"".join(self._whole))
        elif not self._begun:
            raise error_from_response(self._response, body=self._start.decode(errors="ignore"))
        else:
            for data in self._decoder.close():
                if data != DONE:
                    yield self._event(data)

    def _event(self, data: bytes) -> dict[str, Any]:
        # What is no JSON but a text is an error too, unless it is a piece of JSON.
        is_text = isinstance(data, ErrorData) or not data.startswith((b"{", b"["))
        event = readable(data, self._response.headers) if is_text else _parsed(data)
        if is_error(event) or (isinstance(data, ErrorData) and not event.get("choices")):
            raise error_from_response(self._response, body=event)
        chunk: dict[str, Any] = event
        return chunk

    def _check_silence(self, *, came: bool) -> None:
        """Notice a stall behind keep-alive comments.

        Before the first event they mean that the request is queued, for up to ten minutes; after
        it, that the answer does not go on.
        https://api-docs.deepseek.com/quick_start/rate_limit
        """
        now = time.monotonic()
        if came:
            self._last_event = now
        elif (
            self._chunk_timeout
            and self._last_event is not None
            and now - self._last_event > self._chunk_timeout
        ):
            raise self._stalled(self._chunk_timeout)

    def _stalled(self, seconds: float | None) -> CFDeepSeekError:
        return error_for_response(
            CFDeepSeekTimeoutError,
            f"no further part of the answer came for {seconds} s",
            self._response,
            origin="connection",
            hint="Raise `timeout` or `stream_chunk_timeout`, whichever is lower, or try again.",
        )

    def _broken(self, message: str) -> CFDeepSeekError:
        return error_for_response(
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
        # anyio lets some TLS failures through as its own and as the system's errors.
        except (library.RequestError, EndOfStream, OSError) as error:
            msg = f"the connection broke in the middle of the answer ({error})"
            raise self._broken(msg) from error
        except (ValueError, RecursionError) as error:
            msg = f"the stream is broken: an event is not JSON ({error})"
            raise self._broken(msg) from error
