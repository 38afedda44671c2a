"""One call through the gateway: the request it receives and the response it returns."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Literal

from langchain_cf_deepseek.data.routings import Routing

RoutePath = Routing | Literal["universal"]
"""Those, and the older endpoint that accepts several requests in one."""

Origin = Literal["provider", "unreachable", "gateway"]
"""The source of a response: the provider, the gateway because the provider did not respond, or the
gateway itself."""

Stream = AsyncGenerator[bytes, None]

EVENT_STREAM = "text/event-stream"

DEEPSEEK_ERROR_TYPE = "application/octet-stream"
"""The content type with which DeepSeek often sends its errors."""


@dataclass(frozen=True)
class RecordedRequest:
    """One request as it was received."""

    method: str
    path: str
    query: str
    """The query string, without the question mark."""
    headers: dict[str, str]
    """Names in lower case; the values of a repeated header are joined with `, `."""
    body: Any
    """The parsed JSON, or None if the body is not JSON.

    Of an upload the fields by name, in the order in which they were sent; a file is a dict of its
    `filename`, `content_type`, `bytes` (the number), `sha256`, and `content` if that is small.
    """


@dataclass
class GatewayResponse:
    """One HTTP response, its body whole or as a stream of pieces."""

    status: int
    body: bytes | Stream
    content_type: str | None = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    origin: Origin = "provider"


class RefusedError(Exception):
    """Ends a call with an error response."""

    def __init__(self, response: GatewayResponse) -> None:
        super().__init__(response.status)
        self.response = response


@dataclass
class Call:
    """One request while the gateway handles it."""

    request: RecordedRequest
    raw: bytes
    routing: RoutePath
    account: str
    gateway: str | None
    """The gateway's id, from the path or from `cf-aig-gateway-id`."""
    endpoint: str
    """What follows the base URL, `chat/completions` for instance."""
    reset: Callable[[], Awaitable[None]]
    """Resets the TCP connection of this call."""
    beta: bool = False
    """Whether the request was sent to DeepSeek's `/beta` path."""
    log_id: str = ""
    """The id of the log entry, whether or not the response has it in a header."""
    model: str = ""
    """The provider's name of the model, without the gateway's prefix."""
    provider: str = ""
    """The provider, in Cloudflare's spelling, as soon as it is known."""
    not_deepseek: bool = False
    """Whether the model is not DeepSeek's own: a route, a custom provider, Workers AI."""
    unified_billing: bool = False
    """Whether Cloudflare pays the provider, because no provider key is stored."""
    gateway_headers: dict[str, str] = field(default_factory=dict)
    """Response headers that the gateway adds."""
    replies: deque[Any] = field(default_factory=deque)
    """The scripted replies that the simulated model has not used yet."""

    @property
    def on_rest_host(self) -> bool:
        """Whether the REST host received the request; its error bodies differ."""
        return self.routing == "unified"

    def is_at(self, gateway_id: str) -> bool:
        """Whether the call is for a gateway; one without a gateway is for `default`."""
        return (self.gateway or "default") == gateway_id

    def rewrite(self, body: Any, headers: Mapping[str, str] | None = None) -> None:
        """Replace the body of the request, and some of its headers."""
        merged = {**self.request.headers, **(headers or {})}
        self.request = replace(self.request, body=body, headers=merged)
        self.raw = dump(body)

    def provider_body(self) -> bytes:
        """The body for the provider: as received, except that the model has no prefix."""
        body = self.request.body
        if not isinstance(body, dict) or body.get("model", "") == self.model:
            return self.raw
        return dump({**body, "model": self.model})


CallNext = Callable[[], Awaitable[GatewayResponse]]
Step = Callable[[Call, CallNext], Awaitable[GatewayResponse]]
"""A step of a call: it responds itself, or awaits the next step and returns that response."""


def dump(payload: object) -> bytes:
    """Serialize to compact JSON, as the services do.

    A lone surrogate, which JSON can spell but UTF-8 cannot, is kept for the reader to reject.
    """
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def parse_json(raw: bytes | str) -> Any:
    """Parse JSON; returns None for malformed JSON."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def json_response(
    status: int, payload: object, content_type: str | None = "application/json"
) -> GatewayResponse:
    """Build a response with a JSON body."""
    return GatewayResponse(status, dump(payload), content_type)


async def response_or_refusal(call_next: CallNext) -> GatewayResponse:
    """Return the response of the next step, also where it raises `RefusedError`."""
    try:
        return await call_next()
    except RefusedError as refused:
        return refused.response


def should_fall_back(response: GatewayResponse) -> bool:
    """Whether the next model or provider is tried: not where the gateway itself refused."""
    return response.status >= HTTPStatus.BAD_REQUEST and response.origin != "gateway"


async def first_success(
    call: Call,
    attempts: Sequence[Callable[[], Awaitable[GatewayResponse]]],
    has_failed: Callable[[GatewayResponse], bool],
) -> GatewayResponse:
    """Make one attempt after another until one succeeds; if all fail, return the last response.

    Gateway headers that a failed attempt added are dropped.
    """
    gateway_headers = dict(call.gateway_headers)
    for attempt in attempts[:-1]:
        response = await attempt()
        if not has_failed(response):
            return response
        if not isinstance(response.body, bytes):
            await response.body.aclose()
        call.gateway_headers = dict(gateway_headers)
    return await attempts[-1]()


async def as_stream(pieces: Sequence[bytes]) -> Stream:
    """Send pieces as a stream."""
    for piece in pieces:
        yield piece


async def read_body(body: bytes | Stream) -> list[bytes]:
    """Read a whole body, and return its pieces."""
    if isinstance(body, bytes):
        return [body]
    async with aclosing(body):
        return [piece async for piece in body]
