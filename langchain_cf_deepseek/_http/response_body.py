"""Reads the body of a response: whole, in pieces, or of a failure as far as it arrives."""

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

from langchain_cf_deepseek._errors.bodies import parse_error_body, parse_json_or_text
from langchain_cf_deepseek._http.connection_errors import network_errors, typed_body_errors
from langchain_cf_deepseek._http.http_library import library_of
from langchain_cf_deepseek._http.sse import EventDecoder


def read_body(response: Any) -> None:
    """Read the whole body, so that `response.content` holds it.

    Raises:
        CFDeepSeekError: Reading it fails.
    """
    try:
        with typed_body_errors(response):
            response.read()
    finally:
        response.close()


async def aread_body(response: Any) -> None:
    """`read_body` for an event loop."""
    try:
        with typed_body_errors(response):
            await response.aread()
    finally:
        await response.aclose()


def read_error_body(response: Any) -> Any:
    """Return the parsed body of a failure, as far as it arrives: the status says what failed."""
    content = bytearray()
    try:
        with suppress(*network_errors(response)):
            for piece in response.iter_raw():
                content += piece
    finally:
        response.close()
    return _parse_raw_error_body(bytes(content), response)


async def aread_error_body(response: Any) -> Any:
    """`read_error_body` for an event loop."""
    content = bytearray()
    try:
        with suppress(*network_errors(response)):
            async for piece in response.aiter_raw():
                content += piece
    finally:
        await response.aclose()
    return _parse_raw_error_body(bytes(content), response)


def iter_body(response: Any) -> Iterator[bytes]:
    """Return the pieces of a body as they arrive."""
    return iter(response.iter_bytes() if _is_encoded(response) else response.stream)


def aiter_body(response: Any) -> AsyncIterator[bytes]:
    """`iter_body` for an event loop."""
    return aiter(response.aiter_bytes() if _is_encoded(response) else response.stream)


def _is_encoded(response: Any) -> bool:
    return "content-encoding" in response.headers


def _parse_raw_error_body(content: bytes, response: Any) -> Any:
    body = parse_error_body(_decompress(content, response), response.headers)
    return _parse_first_event(body) if isinstance(body, str) else body


def _decompress(content: bytes, response: Any) -> bytes:
    """Return a body without its content encoding, or unchanged if it does not match that."""
    try:
        copy = type(response)(200, headers=response.headers, content=content)
    except library_of(type(response)).DecodingError:
        # A proxy left the header on a plain body, or the body is truncated.
        return content
    decompressed: bytes = copy.content
    return decompressed


def _parse_first_event(text: str) -> Any:
    """Return the first event of a failure that arrived as an event stream, or `text`."""
    if not text.startswith(("data:", "event:")):
        return text
    decoder = EventDecoder()
    events = [*decoder.feed(text.encode(errors="replace")), *decoder.close()]
    return parse_json_or_text(events[0]) if events else text
