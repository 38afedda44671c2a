"""The faults that a test can request, as data; `injector` applies them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Literal, get_args

from langchain_cf_deepseek.local.exchange import DEEPSEEK_ERROR_TYPE, GatewayResponse, Origin, dump
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
    """One way in which a response fails.

    With `status` or `body` the fault replaces the response; otherwise the usual response is
    modified by `delay`, `headers`, `content_type`, `finish_reason`, `then` and `split`.

    One fault applies to a request: of those requested, the first that is not used up. To a fault
    without end that only delays, the next fault is added.

    Example:
        ```python
        gateway.fault(status=503, body={"error": {"message": "busy"}})
        gateway.fault(then="cut", after_chunks=3)
        gateway.fault(Fault(then="reset", share=0.05, seed=7))
        ```
    """

    status: int = 200
    body: Any = None
    """Bytes, a string, or a JSON value; with `then="error_event"` the data of that event."""
    content_type: str | None = None
    """Replaces the content type of the response, or the default for `body`."""
    headers: Mapping[str, str | None] = field(default_factory=dict)
    """Response headers to set; None removes a header that the gateway would add."""
    delay: float = 0.0
    """Seconds before the first byte."""
    after_chunks: int = 1
    """How many events of a stream are sent before `then`; keep-alives do not count."""
    then: Then | None = None
    """What happens in the middle of the response.

    - `cut`: the body ends cleanly, but is truncated.
    - `reset`: the TCP connection is reset.
    - `stall`: silence for `seconds`, then the rest.
    - `keep_alive`: only keep-alives for `seconds`, then the rest.
    - `error_event`: an error replaces the rest; in a stream it is an event.
    - `bad_json`: one event is cut in half, the rest follows.

    A response that is not streamed is broken after its first half.
    """
    seconds: float = 0.0
    """How long `stall` and `keep_alive` last."""
    finish_reason: str | None = None
    """Replaces the finish reason: `insufficient_system_resource`, for instance."""
    split: int | None = None
    """Send the body in pieces of this many bytes."""
    times: int | None = 1
    """How many requests the fault applies to; None means all."""
    share: float | None = None
    """The fraction of requests that the fault applies to, without end; replaces `times`."""
    seed: int = 0
    """Selects the requests of `share`: the same seed selects the same ones."""
    origin: Origin = "provider"
    """The source of the failure. After a refusal by the gateway itself, the gateway neither
    retries nor falls back.
    """

    def __post_init__(self) -> None:
        if self.then is not None and self.then not in get_args(Then):
            msg = f"then={self.then!r} is not one of {', '.join(get_args(Then))}."
            raise ValueError(msg)

    @property
    def replaces(self) -> bool:
        """Whether the fault replaces the whole response."""
        return self.status != HTTPStatus.OK or (
            self.body is not None and self.then != "error_event"
        )

    @property
    def is_endless_delay(self) -> bool:
        """Whether the fault only delays, and is never used up."""
        is_endless = self.times is None or self.share is not None
        return is_endless and replace(self, delay=0.0, times=1, share=None, seed=0) == Fault()

    def response(self) -> GatewayResponse:
        """Build the response of a fault that replaces one."""
        if isinstance(self.body, bytes):
            content, default = self.body, "application/octet-stream"
        elif isinstance(self.body, str):
            content, default = self.body.encode(), "text/plain; charset=utf-8"
        elif self.body is None:
            content, default = b"", None
        else:
            content, default = dump(self.body), "application/json"
        return GatewayResponse(
            self.status, content, self.content_type or default, origin=self.origin
        )


def gateway_error(code: int, status: int, message: str, *, old: bool = False) -> Fault:
    """Return an error of the gateway host; `old` is its shape up to the middle of 2026."""
    body = gateway_body(code, status, message, old=old)
    return Fault(status=status, body=body, origin=origin_of(code))


def rest_error(code: int, status: int, message: str) -> Fault:
    """Return an error of the REST host, where the unified endpoint is."""
    return Fault(status=status, body=rest_body((code, message)), origin=origin_of(code))


def compat_error(status: int, message: str) -> Fault:
    """Return an error in the OpenAI-like shape of the compat endpoint."""
    return Fault(status=status, body=compat_body(message), origin="gateway")


def policy_error(status: int, message: str, **details: Any) -> Fault:
    """Return a rejection by a policy; `details` are `bucket`, `spent` and `limit`, for instance."""
    return Fault(status=status, body=policy_body(message, **details), origin="gateway")


def workers_ai_error(code: int, status: int, message: str) -> Fault:
    """Return an error of Workers AI, which hosts the `@cf/` models."""
    return Fault(status=status, body=workers_ai_body(code, status, message))


def deepseek_error(status: int, message: str, type_: str = "invalid_request_error") -> Fault:
    """Return an error of DeepSeek, forwarded by the gateway."""
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
    """Return an error of Cloudflare's edge as sent to clients that accept JSON.

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
    """Return a refusal by Cloudflare Access; `_` in the name of a header stands for `-`."""
    access_headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(
        status=status,
        body=body,
        content_type="text/html" if isinstance(body, str) else None,
        headers={**dict.fromkeys(GATEWAY_HEADERS), **access_headers},
        origin="gateway",
    )


def edge_error(
    status: int = 403, text: str = "error code: 1010", content_type: str = "text/plain"
) -> Fault:
    """Return an error of Cloudflare's edge, text or HTML: the request never reached the gateway."""
    return Fault(
        status=status,
        body=text,
        content_type=content_type,
        headers=dict.fromkeys(GATEWAY_HEADERS),
        origin="gateway",
    )
