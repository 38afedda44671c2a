"""The ASGI application: the endpoints, the steps of each, and the headers of every response."""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from langchain_cf_deepseek.data.routings import API_PATH, PATHS
from langchain_cf_deepseek.local.cloudflare.admission import Admission, Settings
from langchain_cf_deepseek.local.cloudflare.cache import Cache
from langchain_cf_deepseek.local.cloudflare.rules import Rules, RuleSteps
from langchain_cf_deepseek.local.cloudflare.universal_endpoint import try_entries
from langchain_cf_deepseek.local.exchange import (
    Call,
    CallNext,
    GatewayResponse,
    RecordedRequest,
    RefusedError,
    RoutePath,
    Step,
    dump,
    parse_json,
)
from langchain_cf_deepseek.local.faults.injector import FaultQueue
from langchain_cf_deepseek.local.http.multipart import parse_multipart
from langchain_cf_deepseek.local.http.server import reset_connection
from langchain_cf_deepseek.local.request_log.api import LogsAPI
from langchain_cf_deepseek.local.request_log.store import LogStore
from langchain_cf_deepseek.local.simulated_model.scripted_replies import Reply

_GATEWAY_PATH = PATHS["provider-native"].removesuffix("/deepseek")
"""The provider follows in the path."""

_PATHS: tuple[tuple[str, RoutePath], ...] = (
    (_GATEWAY_PATH, "universal"),
    (PATHS["compat"] + "/chat/completions", "compat"),
    (_GATEWAY_PATH + "/{endpoint:path}", "provider-native"),
    (PATHS["unified"] + "/{endpoint:path}", "unified"),
    (API_PATH + "/{endpoint:path}", "unified"),
)
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
MAX_RECORDED_REQUESTS = 10_000
"""How many requests a gateway keeps; the oldest are dropped."""

MAX_RECORDED_BYTES = 64 * 1024 * 1024
"""How large their bodies are together; the latest request is always kept."""


class Provider(Protocol):
    """The model provider behind the gateway."""

    async def respond(self, call: Call) -> GatewayResponse:
        """Respond to an admitted call."""

    def fresh(self) -> Provider:
        """Return a provider with the same settings, without memory of earlier calls."""

    async def aclose(self) -> None:
        """Close open connections."""


class _Generation:
    """What a gateway remembers from one reset to the next, and the steps that use it.

    A call stays in the generation in which it arrived, so that one in flight during a reset neither
    counts nor is logged afterwards.
    """

    def __init__(
        self,
        settings: Settings,
        rules: Rules,
        provider: Provider,
        *,
        unified_headers: bool,
        log_delay: float,
    ) -> None:
        self.replies: deque[Reply] = deque()
        self.faults = FaultQueue()
        self.logs = LogStore(settings.models, log_delay)
        self.requests: deque[tuple[RecordedRequest, int]] = deque()
        self.recorded_bytes = 0
        self.rules = RuleSteps(rules, settings.gateway_id, settings.models)
        self.provider = provider.fresh()
        admission = Admission(settings, self.rules.model_resolvers)
        after_admission = (Cache().step, *self.rules.steps, self.faults.step)
        self.steps: Mapping[RoutePath, tuple[Step, ...]] = {
            "provider-native": (
                admission.gateway_token,
                admission.gateway_id,
                _add_ids,
                self.logs.step,
                admission.native_endpoint,
                admission.provider_key,
                *after_admission,
            ),
            "universal": (
                admission.gateway_token,
                admission.gateway_id,
                _add_ids,
                try_entries,
                self.logs.step,
                admission.universal_entry,
                admission.provider_key,
                *after_admission,
            ),
            "compat": (
                admission.gateway_token,
                admission.gateway_id,
                _add_ids,
                self.logs.step,
                admission.compat_model,
                admission.provider_key,
                *after_admission,
            ),
            "unified": (
                admission.api_token,
                LogsAPI(settings, self.logs).step,
                admission.rest_path,
                admission.rest_gateway,
                *((_add_ids,) if unified_headers else ()),
                self.logs.step,
                admission.rest_model,
                _add_key_source,
                *after_admission,
            ),
        }

    def record(self, request: RecordedRequest, size: int) -> None:
        """Keep a request, and drop the oldest ones if there are too many or they are too large."""
        self.requests.append((request, size))
        self.recorded_bytes += size
        while len(self.requests) > MAX_RECORDED_REQUESTS or (
            len(self.requests) > 1 and self.recorded_bytes > MAX_RECORDED_BYTES
        ):
            self.recorded_bytes -= self.requests.popleft()[1]


class GatewayApplication:
    """The ASGI application, and its current generation."""

    def __init__(
        self,
        settings: Settings,
        rules: Rules,
        provider: Provider,
        *,
        unified_headers: bool,
        log_delay: float,
    ) -> None:
        self._new_generation = partial(
            _Generation,
            settings,
            rules,
            provider,
            unified_headers=unified_headers,
            log_delay=log_delay,
        )
        self.generation = self._new_generation()
        self._lock = threading.Lock()
        endpoints = [
            Route(path, self._endpoint(routing), methods=_METHODS) for path, routing in _PATHS
        ]
        self.app = Starlette(
            routes=[*endpoints, Route("/{path:path}", self._not_found, methods=_METHODS)]
        )

    def reset(self) -> None:
        """Start a new generation."""
        self.generation = self._new_generation()

    def recorded_requests(self) -> list[RecordedRequest]:
        """List the requests received so far."""
        with self._lock:
            return [request for request, _ in self.generation.requests]

    def _endpoint(self, routing: RoutePath) -> Callable[[Request], Awaitable[Response]]:
        async def respond(request: Request) -> Response:
            # Before the body is awaited, during which a reset can start a new generation.
            generation = self.generation
            raw, recorded = await self._record(request, generation)
            path = request.path_params
            call = Call(
                request=recorded,
                raw=raw,
                routing=routing,
                account=path.get("account_id", ""),
                gateway=path.get("gateway_id", recorded.headers.get("cf-aig-gateway-id")),
                endpoint=path.get("endpoint", "chat/completions"),
                reset=partial(reset_connection, request.state.transport),
                log_id=str(_uuid7()),
                gateway_headers=_ray(),
                replies=generation.replies,
            )
            try:
                response = await _proceed(call, generation.steps[routing], generation.provider)
            except RefusedError as refused:
                response = refused.response
            return _http_response(response, call.gateway_headers)

        return respond

    async def _not_found(self, request: Request) -> Response:
        await self._record(request, self.generation)
        return _http_response(GatewayResponse(404, b"", None), _ray())

    async def _record(
        self, request: Request, generation: _Generation
    ) -> tuple[bytes, RecordedRequest]:
        raw = await request.body()
        names = dict.fromkeys(request.headers.keys())
        recorded = RecordedRequest(
            method=request.method,
            path=request.url.path,
            query=request.url.query,
            headers={name: ", ".join(request.headers.getlist(name)) for name in names},
            body=_parsed_body(raw, request.headers.get("content-type", "")),
        )
        with self._lock:
            generation.record(recorded, len(raw))
        return raw, recorded


def _parsed_body(raw: bytes, content_type: str) -> Any:
    parts = parse_multipart(raw, content_type)
    return parse_json(raw) if parts is None else {part.name: part.record for part in parts}


async def _proceed(call: Call, steps: Sequence[Step], provider: Provider) -> GatewayResponse:
    """Run the first step, with the other steps and then the provider behind it."""
    if steps:
        return await steps[0](call, lambda: _proceed(call, steps[1:], provider))
    return await provider.respond(call)


async def _add_ids(call: Call, call_next: CallNext) -> GatewayResponse:
    """Add the call's ids. A call of one step has the same id for log, request and event.

    The log id is sent even where no log is kept.
    """
    call.gateway_headers |= {
        "cf-aig-log-id": call.log_id,
        "cf-aig-request-id": call.log_id,
        "cf-aig-event-id": call.request.headers.get("cf-aig-event-id", call.log_id),
        "cf-aig-step": "0",
    }
    return await call_next()


async def _add_key_source(call: Call, call_next: CallNext) -> GatewayResponse:
    """Add to completions of the REST host, unless streamed, whose provider key was used."""
    response = await call_next()
    if response.status == HTTPStatus.OK and isinstance(response.body, bytes):
        payload = parse_json(response.body)
        if isinstance(payload, dict) and "choices" in payload:
            source = "Unified" if call.unified_billing else "BYOK"
            lead = response.body[: response.body.index(b"{")]
            response.body = lead + dump({**payload, "gatewayMetadata": {"keySource": source}})
    return response


def _http_response(response: GatewayResponse, gateway_headers: dict[str, str]) -> Response:
    headers = response.headers | gateway_headers
    if response.content_type is not None:
        headers["content-type"] = response.content_type
    if isinstance(response.body, bytes):
        return Response(response.body, response.status, headers)
    return StreamingResponse(response.body, response.status, headers)


def _ray() -> dict[str, str]:
    return {"cf-ray": f"{secrets.token_hex(8)}-LOC"}


def _uuid7() -> uuid.UUID:
    """Create an id that sorts by time, as `uuid.uuid7` of Python 3.14 does."""
    milliseconds = time.time_ns() // 1_000_000
    random_bits = secrets.randbits(74)
    value = milliseconds << 80 | 0x7 << 76 | (random_bits >> 62) << 64
    value |= 0x2 << 62 | random_bits & (2**62 - 1)
    return uuid.UUID(int=value)
