"""The faults that a test can order, as data: this module says what there is, not how it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal, get_args

from langchain_cf_deepseek.local.exchange import DEEPSEEK_ERROR_TYPE, Answer, Origin, dump
from langchain_cf_deepseek.local.faults.error_bodies import (
    compat_body,
    deepseek_body,
    gateway_body,
    origin_of,
    policy_body,
    rest_body,
    workers_ai_body,
)

GATEWAY_HEADERS = (
    "cf-aig-log-id",
    "cf-aig-event-id",
    "cf-aig-request-id",
    "cf-aig-cache-status",
    "cf-aig-step",
)


Then = Literal["cut", "reset", "stall", "keep_alive", "error_event", "bad_json"]


@dataclass(frozen=True)
class Fault:
    """One way in which an answer goes wrong.

    With `status` or `body` the fault takes the place of the answer; otherwise the answer is made
    as usual and is damaged on its way by `delay`, `content_type`, `finish_reason`, `then` and
    `split`.

    Example:
        ```python
        gateway.fault(status=503, body={"error": {"message": "busy"}})
        gateway.fault(then="cut", after_chunks=3)
        gateway.fault(Fault(then="reset", share=0.05, seed=7))
        ```
    """

    status: int = 200
    body: Any = None
    """Bytes, a string, or anything that JSON can hold; the event of `then="error_event"`."""
    content_type: str | None = None
    """Instead of the answer's own, or of the one that fits `body`."""
    headers: Mapping[str, str | None] = field(default_factory=dict)
    """Response headers to set; None leaves out a header that the gateway would add."""
    delay: float = 0.0
    """Seconds before the first byte."""
    after_chunks: int = 1
    """How many events of a stream arrive before `then`; keep-alives do not count."""
    then: Then | None = None
    """What happens in the middle of the answer.

    - `cut`: the body ends cleanly, without its finish.
    - `reset`: the TCP connection is reset.
    - `stall`: silence for `seconds`, then the rest.
    - `keep_alive`: nothing but keep-alives for `seconds`, then the rest.
    - `error_event`: an error instead of the rest, in a stream as an event of its own.
    - `bad_json`: one event is cut in half, the rest follows.

    An answer in one piece is broken after its first half.
    """
    seconds: float = 0.0
    """How long `stall` and `keep_alive` last."""
    finish_reason: str | None = None
    """Instead of the finish reason of the answer: `insufficient_system_resource`, for instance."""
    split: int | None = None
    """Send the body in pieces of that many bytes, wherever that cuts it."""
    times: int | None = 1
    """How many requests it strikes; None strikes all."""
    share: float | None = None
    """The fraction of all requests that it strikes, without end; takes the place of `times`."""
    seed: int = 0
    """Which requests `share` picks: the same seed picks the same ones."""
    origin: Origin = "provider"
    """Whose failure it is. A refusal by the gateway itself makes it neither try again nor fall
    back.
    """

    def __post_init__(self) -> None:
        if self.then is not None and self.then not in get_args(Then):
            msg = f"then={self.then!r} is none of {', '.join(get_args(Then))}."
            raise ValueError(msg)

    @property
    def replaces(self) -> bool:
        """Whether the fault is the whole answer."""
        return self.status != HTTPStatus.OK or (
            self.body is not None and self.then != "error_event"
        )

    def answer(self) -> Answer:
        """The answer of a fault that replaces one."""
        if isinstance(self.body, bytes):
            content, fitting = self.body, "application/octet-stream"
        elif isinstance(self.body, str):
            content, fitting = self.body.encode(), "text/plain; charset=utf-8"
        elif self.body is None:
            content, fitting = b"", None
        else:
            content, fitting = dump(self.body), "application/json"
        return Answer(self.status, content, self.content_type or fitting, origin=self.origin)


def gateway_error(code: int, status: int, message: str, *, old: bool = False) -> Fault:
    """Order an error of the gateway host; `old` is its shape up to the middle of 2026."""
    body = gateway_body(code, status, message, old=old)
    return Fault(status=status, body=body, origin=origin_of(code))


def rest_error(code: int, status: int, message: str) -> Fault:
    """Order an error of the REST host, where the unified endpoint is."""
    return Fault(status=status, body=rest_body((code, message)), origin=origin_of(code))


def compat_error(status: int, message: str) -> Fault:
    """Order an error in the OpenAI-like shape of the compat endpoint."""
    return Fault(status=status, body=compat_body(message), origin="gateway")


def policy_error(status: int, message: str, **facts: Any) -> Fault:
    """Order a rejection by policy; `facts` are `bucket`, `spent` and `limit`, for instance."""
    return Fault(status=status, body=policy_body(message, **facts), origin="gateway")


def workers_ai_error(code: int, status: int, message: str) -> Fault:
    """Order an error of Workers AI, which hosts the `@cf/` models."""
    return Fault(status=status, body=workers_ai_body(code, status, message))


def deepseek_error(status: int, message: str, type_: str = "invalid_request_error") -> Fault:
    """Order an error of DeepSeek, passed on by the gateway."""
    return Fault(
        status=status, body=deepseek_body(message, type_), content_type=DEEPSEEK_ERROR_TYPE
    )


def edge_problem(
    status: int,
    code: int,
    title: str,
    detail: str,
    *,
    retryable: bool = False,
    retry_after: int | None = None,
) -> Fault:
    """Order an error of Cloudflare's edge as clients get it that accept JSON.

    https://blog.cloudflare.com/rfc-9457-agent-error-pages/
    """
    body = {
        "type": f"https://developers.cloudflare.com/support/troubleshooting/error-{code}/",
        "title": f"Error {code}: {title}",
        "status": status,
        "detail": detail,
        "error_code": code,
        "cloudflare_error": True,
        "retryable": retryable,
    }
    headers: dict[str, str | None] = dict.fromkeys(GATEWAY_HEADERS)
    if retry_after is not None:
        body["retry_after"] = retry_after
        headers["retry-after"] = str(retry_after)
    return Fault(
        status=status,
        body=body,
        content_type="application/problem+json",
        headers=headers,
        origin="gateway",
    )


def access_refusal(status: int, body: Any = None, **headers: str) -> Fault:
    """Order a refusal by Cloudflare Access; `_` in the name of a header stands for `-`."""
    own = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(
        status=status,
        body=body,
        content_type="text/html" if isinstance(body, str) else None,
        headers={**dict.fromkeys(GATEWAY_HEADERS), **own},
        origin="gateway",
    )


def edge_error(
    status: int = 403, text: str = "error code: 1010", content_type: str = "text/plain"
) -> Fault:
    """Order an error of Cloudflare's edge, which the gateway never saw: text or HTML."""
    return Fault(
        status=status,
        body=text,
        content_type=content_type,
        headers=dict.fromkeys(GATEWAY_HEADERS),
        origin="gateway",
    )
