"""What the bytes of an answer mean: events of a stream, a whole JSON answer, or an error.

Nothing here waits or reads by itself, so sync and async calls share every rule.
"""

import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from math import inf
from typing import Any

# A dependency of every HTTP library that the SDK stands on.
from anyio import EndOfStream, move_on_after
from pydantic_core import from_json

from langchain_cf_deepseek.error_bodies import is_error, readable
from langchain_cf_deepseek.error_rules import error_from_response, error_of_answer
from langchain_cf_deepseek.errors import (
    CFDeepSeekError,
    CFDeepSeekIncompleteStreamError,
    CFDeepSeekTimeoutError,
)
from langchain_cf_deepseek.http_library import library_of
from langchain_cf_deepseek.sse import DONE, ErrorData, EventDecoder

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
                for data in self._feed(piece):
                    if data == DONE:
                        self._drain(pieces)
                        return
                    yield self._event(data)
            yield from self._end()

    async def aevents(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
        """`events` for an event loop."""
        with self._typed_errors():
            async for piece in pieces:
                for data in self._feed(piece):
                    if data == DONE:
                        await self._adrain(pieces)
                        return
                    yield self._event(data)
            for event in self._end():
                yield event

    def _drain(self, pieces: Iterator[bytes]) -> None:
        """Read the body to its end, so that the connection can be used again; not for long.

        A server may keep the body open after `[DONE]`, and a blocked read knows no other bound
        than that of the whole stream.
        """
        timer = threading.Timer(_DRAIN_SECONDS, self._break_off)
        timer.start()
        try:
            for _ in pieces:
                pass
            self._response.close()
        finally:
            timer.cancel()

    def _break_off(self) -> None:
        """End a blocked read, if it is still ours: a closed answer gave its connection back."""
        network = self._response.extensions.get("network_stream")
        sock = network.get_extra_info("socket") if network else None
        if sock and not self._response.is_closed:
            with suppress(OSError):  # the other side was faster
                sock.shutdown(socket.SHUT_RDWR)

    @staticmethod
    async def _adrain(pieces: AsyncIterator[bytes]) -> None:
        # Not `asyncio.timeout`: a body's end gives its connection back, and may close others, which
        # the HTTP library shields from cancel scopes only.
        with move_on_after(_DRAIN_SECONDS):
            async for _ in pieces:
                pass

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
        return error_of_answer(
            CFDeepSeekTimeoutError,
            f"no further part of the answer came for {seconds} s",
            self._response,
            origin="connection",
            hint="Raise `timeout` or `stream_chunk_timeout`, whichever is lower, or try again.",
        )

    def _broken(self, message: str) -> CFDeepSeekError:
        return error_of_answer(
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
