"""Cloudflare's part: the doors, the steps behind each of them, and the headers on every answer."""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from langchain_cf_deepseek.data.routings import API_PATH, PATHS
from langchain_cf_deepseek.local.cloudflare.admission import Admission, Settings
from langchain_cf_deepseek.local.cloudflare.cache import Cache
from langchain_cf_deepseek.local.cloudflare.rules import Rules, RuleSteps
from langchain_cf_deepseek.local.cloudflare.universal_endpoint import universal
from langchain_cf_deepseek.local.exchange import (
    Answer,
    Call,
    CallNext,
    RecordedRequest,
    RefusedError,
    RoutePath,
    Step,
    dump,
    parse_json,
)
from langchain_cf_deepseek.local.faults.injector import FaultQueue
from langchain_cf_deepseek.local.http.server import reset_connection
from langchain_cf_deepseek.local.request_log.api import LogsAPI
from langchain_cf_deepseek.local.request_log.store import Logs
from langchain_cf_deepseek.local.simulated_model.replies import Reply

_GATEWAY_PATH = PATHS["provider-native"].removesuffix("/deepseek")
"""Behind it, the path names the provider."""

ROUTES: tuple[tuple[str, RoutePath], ...] = (
    (_GATEWAY_PATH, "universal"),
    (PATHS["compat"] + "/chat/completions", "compat"),
    (_GATEWAY_PATH + "/{endpoint:path}", "provider-native"),
    (PATHS["unified"] + "/{endpoint:path}", "unified"),
    (API_PATH + "/{endpoint:path}", "unified"),
)
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
REMEMBERED_REQUESTS = 10_000
"""How many requests a gateway keeps; older ones are forgotten."""


class Provider(Protocol):
    """Who answers behind the gateway."""

    async def answer(self, call: Call) -> Answer:
        """Answer a call that was let in."""

    def reset(self) -> None:
        """Forget what earlier calls left behind."""

    async def aclose(self) -> None:
        """Close what is open."""


class _Memory:
    """What a gateway remembers from one reset to the next, and the steps that use it.

    A call keeps the memory that it came into, so that one still under way at a reset neither counts
    nor logs afterwards.
    """

    def __init__(
        self, settings: Settings, rules: Rules, *, unified_headers: bool, log_delay: float
    ) -> None:
        self.replies: deque[Reply] = deque()
        self.faults = FaultQueue()
        self.logs = Logs(settings.models, log_delay)
        self.requests: deque[RecordedRequest] = deque(maxlen=REMEMBERED_REQUESTS)
        self.enforcement = RuleSteps(rules, settings.gateway_id, settings.models)
        admission = Admission(settings, self.enforcement.takes)
        answering = (Cache().step, *self.enforcement.steps, self.faults.step)
        self.steps: Mapping[RoutePath, tuple[Step, ...]] = {
            "provider-native": (
                admission.gateway_token,
                admission.gateway_id,
                _identify,
                self.logs.step,
                admission.native_endpoint,
                admission.provider_key,
                *answering,
            ),
            "universal": (
                admission.gateway_token,
                admission.gateway_id,
                _identify,
                universal,
                self.logs.step,
                admission.universal_entry,
                admission.provider_key,
                *answering,
            ),
            "compat": (
                admission.gateway_token,
                admission.gateway_id,
                _identify,
                self.logs.step,
                admission.compat_model,
                admission.provider_key,
                *answering,
            ),
            "unified": (
                admission.api_token,
                LogsAPI(settings, self.logs).step,
                admission.rest_route,
                admission.rest_gateway,
                *((_identify,) if unified_headers else ()),
                self.logs.step,
                admission.rest_model,
                _report_key_source,
                *answering,
            ),
        }


class Gateway:
    """The ASGI application, and what it remembers."""

    def __init__(
        self,
        settings: Settings,
        rules: Rules,
        provider: Provider,
        *,
        unified_headers: bool,
        log_delay: float,
    ) -> None:
        self._new_memory = partial(
            _Memory, settings, rules, unified_headers=unified_headers, log_delay=log_delay
        )
        self.memory = self._new_memory()
        self._provider = provider
        self._lock = threading.Lock()
        doors = [Route(path, self._route(routing), methods=METHODS) for path, routing in ROUTES]
        self.app = Starlette(
            routes=[*doors, Route("/{path:path}", self._not_found, methods=METHODS)]
        )

    def reset(self) -> None:
        """Forget requests, faults, cached answers, logs and counters."""
        self.memory = self._new_memory()
        self._provider.reset()

    def recorded(self) -> list[RecordedRequest]:
        """List the requests received so far."""
        with self._lock:
            return list(self.memory.requests)

    def _route(self, routing: RoutePath) -> Callable[[Request], Awaitable[Response]]:
        async def enter(request: Request) -> Response:
            raw = await request.body()
            memory = self.memory
            recorded = self._record(request, raw)
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
                facts=_ray(),
                replies=memory.replies,
            )
            try:
                answer = await self._proceed(call, memory.steps[routing])
            except RefusedError as refused:
                answer = refused.answer
            return _response(answer, call.facts)

        return enter

    async def _not_found(self, request: Request) -> Response:
        self._record(request, await request.body())
        return _response(Answer(404, b"", None), _ray())

    def _record(self, request: Request, raw: bytes) -> RecordedRequest:
        names = dict.fromkeys(request.headers.keys())
        recorded = RecordedRequest(
            method=request.method,
            path=request.url.path,
            query=request.url.query,
            headers={name: ", ".join(request.headers.getlist(name)) for name in names},
            body=parse_json(raw),
        )
        with self._lock:
            self.memory.requests.append(recorded)
        return recorded

    async def _proceed(self, call: Call, steps: Sequence[Step]) -> Answer:
        """Take the first step; what lies behind it is the other steps, then the provider."""
        if steps:
            return await steps[0](call, lambda: self._proceed(call, steps[1:]))
        return await self._provider.answer(call)


async def _identify(call: Call, call_next: CallNext) -> Answer:
    """Give the call its ids. A call of one step has one id for log, request and event.

    The log id comes also where no log is kept.
    """
    call.facts |= {
        "cf-aig-log-id": call.log_id,
        "cf-aig-request-id": call.log_id,
        "cf-aig-event-id": call.request.headers.get("cf-aig-event-id", call.log_id),
        "cf-aig-step": "0",
    }
    return await call_next()


async def _report_key_source(call: Call, call_next: CallNext) -> Answer:
    """On the REST host, whole answers say on whose key they came."""
    answer = await call_next()
    if answer.status == HTTPStatus.OK and isinstance(answer.body, bytes):
        payload = parse_json(answer.body)
        if isinstance(payload, dict) and "choices" in payload:
            source = "Unified" if call.billed else "BYOK"
            lead = answer.body[: answer.body.index(b"{")]
            answer.body = lead + dump({**payload, "gatewayMetadata": {"keySource": source}})
    return answer


def _response(answer: Answer, facts: dict[str, str]) -> Response:
    headers = answer.headers | facts
    if answer.content_type is not None:
        headers["content-type"] = answer.content_type
    if isinstance(answer.body, bytes):
        return Response(answer.body, answer.status, headers)
    return StreamingResponse(answer.body, answer.status, headers)


def _ray() -> dict[str, str]:
    return {"cf-ray": f"{secrets.token_hex(8)}-LOC"}


def _uuid7() -> uuid.UUID:
    """Make an id that sorts by time, as `uuid.uuid7` of Python 3.14 does."""
    milliseconds = time.time_ns() // 1_000_000
    random_bits = secrets.randbits(74)
    value = milliseconds << 80 | 0x7 << 76 | (random_bits >> 62) << 64
    value |= 0x2 << 62 | random_bits & (2**62 - 1)
    return uuid.UUID(int=value)
