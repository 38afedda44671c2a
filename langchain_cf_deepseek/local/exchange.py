"""What passes through the gateway: a call on the way in, an answer on the way out."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from langchain_cf_deepseek.data.routings import Routing

RoutePath = Routing | Literal["universal"]
"""Those, and the older one that takes several requests at once."""

Origin = Literal["provider", "unreachable", "gateway"]
"""Whose answer it is: the provider's, the gateway's because it got none, or the gateway's own."""

Stream = AsyncGenerator[bytes, None]

EVENT_STREAM = "text/event-stream"

DEEPSEEK_ERROR_TYPE = "application/octet-stream"
"""The content type under which DeepSeek often sends its errors."""


@dataclass(frozen=True)
class RecordedRequest:
    """One request as it arrived."""

    method: str
    path: str
    query: str
    """The query string, without the question mark."""
    headers: dict[str, str]
    """Names in lower case; the values of a repeated header are joined with `, `."""
    body: Any
    """The parsed JSON, or None when there was none."""


@dataclass
class Answer:
    """One HTTP answer, its body whole or as a stream of pieces."""

    status: int
    body: bytes | Stream
    content_type: str | None = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    origin: Origin = "provider"


class RefusedError(Exception):
    """Ends a call with an answer of its own."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


@dataclass
class Call:
    """One request on its way through the gateway."""

    request: RecordedRequest
    raw: bytes
    routing: RoutePath
    account: str
    gateway: str | None
    """The gateway's id, from the path or from `cf-aig-gateway-id`."""
    endpoint: str
    """What follows the base URL, `chat/completions` for instance."""
    reset: Callable[[], Awaitable[None]]
    """Breaks the TCP connection of this call."""
    beta: bool = False
    """Whether it came by DeepSeek's `/beta` path."""
    log_id: str = ""
    """The id of the log entry, whether or not the caller is told."""
    model: str = ""
    """The model as the provider knows it, without the gateway's prefix."""
    provider: str = ""
    """Who serves the model, in Cloudflare's spelling, as soon as it is known."""
    not_deepseek: bool = False
    """Whether the model is not DeepSeek's own: a route, a custom provider, Workers AI."""
    billed: bool = False
    """Whether Cloudflare pays the provider, because nobody brought a key."""
    facts: dict[str, str] = field(default_factory=dict)
    """Response headers that the gateway adds."""
    replies: deque[Any] = field(default_factory=deque)
    """The scripted replies that the pretend model has left."""

    @property
    def on_rest_host(self) -> bool:
        """Whether the call came to the REST host, which has error bodies of its own."""
        return self.routing == "unified"

    def is_at(self, gateway_id: str) -> bool:
        """Whether the call is for a gateway; one that names none is for `default`."""
        return (self.gateway or "default") == gateway_id

    def rewrite(self, body: Any, headers: Mapping[str, str] | None = None) -> None:
        """Go on with another body, and with some headers changed."""
        merged = {**self.request.headers, **(headers or {})}
        self.request = replace(self.request, body=body, headers=merged)
        self.raw = dump(body)

    def provider_body(self) -> bytes:
        """The body for the provider: as received, but for the prefix of the model."""
        body = self.request.body
        if not isinstance(body, dict) or body.get("model") == self.model:
            return self.raw
        return dump({**body, "model": self.model})


CallNext = Callable[[], Awaitable[Answer]]
Step = Callable[[Call, CallNext], Awaitable[Answer]]
"""A step of a call: it answers itself, or lets the call proceed and hands on what comes back."""


def dump(payload: object) -> bytes:
    """Serialize to compact JSON, as the services do.

    Half a surrogate pair, which JSON can spell but UTF-8 cannot, is left for the reader to refuse.
    """
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def parse_json(raw: bytes | str) -> Any:
    """Parse JSON; None stands for what is none."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def json_answer(
    status: int, payload: object, content_type: str | None = "application/json"
) -> Answer:
    """Make an answer with a JSON body."""
    return Answer(status, dump(payload), content_type)


async def outcome(call_next: CallNext) -> Answer:
    """Return what comes of a call, a refusal too."""
    try:
        return await call_next()
    except RefusedError as refused:
        return refused.answer


async def first_success(
    call: Call,
    tries: Sequence[Callable[[], Awaitable[Answer]]],
    fails: Callable[[Answer], bool],
) -> Answer:
    """Try one after another until one does not fail; if all do, the last answer counts.

    What the gateway would say about a try that failed is not said about the next one.
    """
    facts = dict(call.facts)
    for attempt in tries[:-1]:
        answer = await attempt()
        if not fails(answer):
            return answer
        if not isinstance(answer.body, bytes):
            await answer.body.aclose()
        call.facts = dict(facts)
    return await tries[-1]()


async def replay(pieces: Sequence[bytes]) -> Stream:
    """Send pieces as a stream."""
    for piece in pieces:
        yield piece


async def read_body(body: bytes | Stream) -> list[bytes]:
    """Wait for the whole of a body, and return its pieces."""
    if isinstance(body, bytes):
        return [body]
    async with aclosing(body):
        return [piece async for piece in body]
