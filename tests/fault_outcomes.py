"""The fault matrix: what can go wrong with an answer, and what a call must then end in.

Only data: `test_fault_handling.py` holds our client to it and `docs/failures.md` to its table, and
`benchmarks/fault_comparison.py` asks other clients the same.
"""

import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from langchain_cf_deepseek import errors
from langchain_cf_deepseek.local import (
    FAILURES,
    Fault,
    LocalGateway,
    Reply,
    ToolCall,
    deepseek_error,
    edge_error,
    gateway_error,
    policy_error,
    rest_error,
)

WHOLE = ("invoke", "ainvoke")
STREAMED = ("stream", "astream")

COUNTED = Reply(content="one two three four five six seven eight nine ten", reasoning="Counting.")
CALLED = Reply(tool_calls=[ToolCall("get_weather", {"city": "Paris", "unit": "celsius"})])


class End(NamedTuple):
    """What a call ends in."""

    error: type[errors.CFDeepSeekError] | None = None
    """`None`: the right answer."""
    retryable: bool = False
    text_kept: bool = False
    """Whether `partial` holds the text that came."""

    def __str__(self) -> str:
        if self.error is None:
            return "the right answer"
        return f"`{self.error.__name__}`" + (", with the text" if self.text_kept else "")


RIGHT = End()
API = End(errors.CFDeepSeekAPIError, retryable=True)
API_WITH_TEXT = API._replace(text_kept=True)
CUT = End(errors.CFDeepSeekMaxTokensError)
CUT_WITH_TEXT = CUT._replace(text_kept=True)
AUTHENTICATION = End(errors.CFDeepSeekAuthenticationError)
BLOCKED = End(errors.CFDeepSeekContentBlockedError)
CONNECTION = End(errors.CFDeepSeekConnectionError, retryable=True)
EMPTY = End(errors.CFDeepSeekEmptyResponseError, retryable=True)
FUNDS = End(errors.CFDeepSeekInsufficientFundsError)
INCOMPLETE = End(errors.CFDeepSeekIncompleteStreamError, retryable=True)
INCOMPLETE_WITH_TEXT = INCOMPLETE._replace(text_kept=True)
INVALID = End(errors.CFDeepSeekInvalidRequestError)
NOT_FOUND = End(errors.CFDeepSeekModelNotFoundError)
OVERFLOW = End(errors.CFDeepSeekContextOverflowError)
PERMISSION = End(errors.CFDeepSeekPermissionDeniedError)
RATE = End(errors.CFDeepSeekRateLimitError, retryable=True)
SPEND = End(errors.CFDeepSeekSpendLimitError)
TIMEOUT = End(errors.CFDeepSeekTimeoutError, retryable=True)
TIMEOUT_WITH_TEXT = TIMEOUT._replace(text_kept=True)

Arrange = Callable[[LocalGateway], AbstractContextManager[str]]
"""Lets the fault strike the next request, and gives the base URL to send it to."""


def _ordered(fault: Fault) -> Arrange:
    @contextmanager
    def arrange(gw: LocalGateway) -> Iterator[str]:
        gw.fault(fault)
        yield gw.base_url()

    return arrange


def _redirected(status: int) -> Arrange:
    @contextmanager
    def arrange(gw: LocalGateway) -> Iterator[str]:
        # Another origin, but the same gateway: whoever follows is seen there.
        location = gw.base_url().replace("127.0.0.1", "localhost") + "/chat/completions"
        gw.fault(status=status, headers={"location": location})
        yield gw.base_url()

    return arrange


@contextmanager
def _nobody_listens(_gw: LocalGateway) -> Iterator[str]:
    # Bound but not listening, so that nobody else takes the port.
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/deepseek"


@contextmanager
def _nobody_accepts(_gw: LocalGateway) -> Iterator[str]:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        # Linux lets further connections wait for ever once the queue is full.
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/deepseek"


class _HangUp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(65536)


@contextmanager
def _hung_up(_gw: LocalGateway) -> Iterator[str]:
    with socketserver.TCPServer(("127.0.0.1", 0), _HangUp) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/deepseek"
        server.shutdown()
        thread.join()


@contextmanager
def _no_tls(gw: LocalGateway) -> Iterator[str]:
    yield gw.base_url().replace("http://", "https://")


@dataclass(frozen=True)
class Row:
    """One fault, and its ends."""

    arrange: Arrange
    whole: End | None
    """The end of `invoke` and `ainvoke`; `None`: the fault is one of streams."""
    streamed: End | None
    """The end of `stream` and `astream`; `None`: the fault is one of whole answers."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of the model."""
    reply: Reply = COUNTED
    """What the answer would be."""

    def end(self, path: str) -> End | None:
        """Return what a call must end in, by the way it goes."""
        return self.whole if path in WHOLE else self.streamed


def _row(fault: Fault | Arrange, both: End, **others: Any) -> Row:
    return _rows(fault, both, both, **others)


def _known(name: str, both: End) -> Row:
    return _row(FAILURES[name].fault, both)


def _rows(fault: Fault | Arrange, whole: End | None, streamed: End | None, **others: Any) -> Row:
    arrange = _ordered(fault) if isinstance(fault, Fault) else fault
    return Row(arrange, whole, streamed, **others)


def _stream(event: dict[str, Any]) -> str:
    return f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n"


def _completion(content: str, reasoning: str | None, tokens: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, "reasoning_content": reasoning}
    return {
        "id": "1",
        "model": "deepseek-flash",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": 1 + tokens},
    }


def _ended(finish_reason: str, text: str, **choice: Any) -> Fault:
    body = _completion(text, None, tokens=10)
    body["choices"][0] |= {"finish_reason": finish_reason, **choice}
    return Fault(body=body)


def _called(finish_reason: str, arguments: str, name: str = "get_weather") -> Fault:
    function = {"name": name, "arguments": arguments}
    call = {"id": "a", "type": "function", "function": function}
    message = {"role": "assistant", "content": "", "tool_calls": [call]}
    return _ended(finish_reason, "", message=message)


_TOOLS = [{"type": "function", "function": {"name": "get_weather"}}]
_WITH_TOOLS = {"model_kwargs": {"tools": _TOOLS}}
_IN_JSON_MODE = {"model_kwargs": {"response_format": {"type": "json_object"}}}
_HALF_JSON = '{"a": 125'
_MARKUP = '<\uff5cDSML\uff5cinvoke name="get_weather">'

_DELTA = {"content": COUNTED.content, "reasoning_content": COUNTED.reasoning}
_WHOLE_STREAM = _stream({"choices": [{"index": 0, "delta": _DELTA, "finish_reason": "stop"}]})
# A stall comes in the middle of a given body.
_AS_LONG_A_COMMENT = ":" + "." * (len(_WHOLE_STREAM) - 3) + "\n\n"
_NO_CHUNK = {"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}]}
_TYPED = {"error": {"message": "slow down", "type": "rate_limit_error"}}
_FAILED = {"error": {"message": "Internal error", "type": "server_error"}}
_CLOUDFLARE = {"success": False, "errors": [{"code": 2005, "message": "no"}], "result": None}

_BINARY = b"\x1f\x8b\x08" + bytes(range(128, 256))

SILENCE = 30.0
"""Seconds: no client waits so long here."""
_BOUND = 0.5

MATRIX: dict[str, Row] = {
    # The way there.
    "nobody listens at the address": _row(_nobody_listens, CONNECTION),
    "nobody accepts the connection": _row(_nobody_accepts, TIMEOUT, settings={"timeout": _BOUND}),
    "TLS fails": _row(_no_tls, CONNECTION),
    "hung up on before any answer": _row(_hung_up, CONNECTION),
    "no byte within the timeout": _row(Fault(delay=SILENCE), TIMEOUT, settings={"timeout": _BOUND}),
    "redirect 301 to another origin": _row(_redirected(301), INVALID),
    "redirect 302 to another origin": _row(_redirected(302), INVALID),
    "redirect 303 to another origin": _row(_redirected(303), INVALID),
    "redirect 307 to another origin": _row(_redirected(307), INVALID),
    "redirect 308 to another origin": _row(_redirected(308), INVALID),
    # An answer that breaks.
    "cut cleanly before its first event": _rows(Fault(then="cut", after_chunks=0), API, API),
    "cut cleanly in the reasoning": _rows(Fault(then="cut", after_chunks=2), API, INCOMPLETE),
    "cut cleanly in the text": _rows(Fault(then="cut", after_chunks=8), API, INCOMPLETE_WITH_TEXT),
    "cut cleanly in the arguments of a tool call": _rows(
        Fault(then="cut", after_chunks=10), API, INCOMPLETE, reply=CALLED
    ),
    "cut cleanly after the text, before the finish": _rows(
        Fault(then="cut", after_chunks=13), API, INCOMPLETE_WITH_TEXT
    ),
    "cut cleanly after the finish, before `[DONE]`": _rows(
        Fault(then="cut", after_chunks=14), API, RIGHT
    ),
    "reset before the first event": _rows(
        Fault(then="reset", after_chunks=0), CONNECTION, INCOMPLETE
    ),
    "reset in the text": _rows(
        Fault(then="reset", after_chunks=8), CONNECTION, INCOMPLETE_WITH_TEXT
    ),
    "reset after the finish, before `[DONE]`": _rows(
        Fault(then="reset", after_chunks=14), CONNECTION, RIGHT
    ),
    "stall": _rows(
        Fault(then="stall", after_chunks=8, seconds=SILENCE),
        TIMEOUT,
        TIMEOUT_WITH_TEXT,
        settings={"timeout": _BOUND},
    ),
    "stall, with a bound on silence in streams only": _rows(
        Fault(then="stall", after_chunks=8, seconds=SILENCE),
        None,
        TIMEOUT_WITH_TEXT,
        settings={"stream_chunk_timeout": _BOUND},
    ),
    "stall behind keep-alives": _rows(
        Fault(then="keep_alive", after_chunks=8, seconds=SILENCE),
        None,
        TIMEOUT_WITH_TEXT,
        settings={"stream_chunk_timeout": _BOUND},
    ),
    "an error in the place of the rest": _rows(
        Fault(then="error_event", after_chunks=8, body=_FAILED), API, API_WITH_TEXT
    ),
    "an error of a known type in the place of the rest": _rows(
        Fault(then="error_event", after_chunks=8, body=_TYPED),
        RATE,
        RATE._replace(text_kept=True),
    ),
    "broken JSON": _rows(Fault(then="bad_json", after_chunks=8), API, INCOMPLETE_WITH_TEXT),
    # A finish that is none.
    "`insufficient_system_resource`": _row(
        Fault(finish_reason="insufficient_system_resource"), API_WITH_TEXT
    ),
    "`aborted`": _row(Fault(finish_reason="aborted"), API_WITH_TEXT),
    "`content_filter`": _row(
        Fault(finish_reason="content_filter"), BLOCKED._replace(text_kept=True)
    ),
    "a finish reason that DeepSeek does not document": _row(
        _ended("network_error", "one two"), API_WITH_TEXT
    ),
    "an error on the choice": _row(
        _ended("error", "one two", error={"code": 502, "message": "upstream lost"}), API_WITH_TEXT
    ),
    # A response that is not whole.
    "a tool call without arguments, cut by `max_tokens`": _row(_called("length", ""), CUT),
    "a tool call cut by `max_tokens`": _row(_called("length", '{"city": "Par'), CUT),
    "a tool call with broken arguments": _row(_called("tool_calls", '{"city": "Par'), API),
    "a tool call without a name": _row(_called("tool_calls", "{}", name=""), API),
    "a tool call announced and not made": _row(_ended("tool_calls", ""), EMPTY),
    "a tool call left as text": _row(
        _ended("stop", _MARKUP), API_WITH_TEXT, settings=_WITH_TOOLS, reply=Reply(_MARKUP)
    ),
    "text where a tool call is forced": _row(
        _ended("stop", "one two"),
        API_WITH_TEXT,
        settings={"model_kwargs": {"tools": _TOOLS, "tool_choice": "required"}},
    ),
    "JSON cut by `max_tokens`": _row(
        _ended("length", _HALF_JSON),
        CUT_WITH_TEXT,
        settings=_IN_JSON_MODE,
        reply=Reply(_HALF_JSON),
    ),
    "half JSON with finish `stop`": _row(
        _ended("stop", _HALF_JSON),
        API_WITH_TEXT,
        settings=_IN_JSON_MODE,
        reply=Reply(_HALF_JSON),
    ),
    "JSON mode answered with white space": _row(
        _ended("stop", "  "),
        EMPTY._replace(text_kept=True),
        settings=_IN_JSON_MODE,
        reply=Reply("  "),
    ),
    "an answer without a token": _rows(Fault(body=_completion("", None, tokens=0)), EMPTY, None),
    "a stream without a token": _rows(
        Fault(body=_stream(_NO_CHUNK), content_type="text/event-stream"), None, EMPTY
    ),
    # Status 200, and something else than what was asked for.
    "an empty body": _row(Fault(body=""), API),
    "HTML with status 200": _row(
        Fault(body="<html><title>Sign in</title></html>", content_type="text/html"), API
    ),
    "plain text with status 200": _row(Fault(body="upstream unavailable"), API),
    "`null`": _row(Fault(body="null", content_type="application/json"), API),
    "JSON of another kind": _row(Fault(body={"hello": 1}), API),
    "a JSON error with status 200": _row(Fault(body=_TYPED), RATE),
    "Cloudflare's JSON error with status 200": _row(Fault(body=_CLOUDFLARE), API),
    "a JSON error as an event stream": _rows(
        Fault(body=_stream(_TYPED), content_type="text/event-stream"), API, RATE
    ),
    "an error named by its event alone": _rows(
        Fault(body="event: error\ndata: upstream lost\n\n", content_type="text/event-stream"),
        API,
        API,
    ),
    "Workers AI's error in the place of the rest": _rows(
        Fault(then="error_event", after_chunks=8, body=FAILURES["workers-ai-capacity"].fault.body),
        RATE,
        RATE._replace(text_kept=True),
    ),
    "a message and a code in the place of the rest": _rows(
        Fault(then="error_event", after_chunks=8, body={"message": "upstream lost", "code": 502}),
        API,
        API_WITH_TEXT,
    ),
    'status 200 with `{"error": {"code": 429}}`': _row(Fault(body={"error": {"code": 429}}), RATE),
    "a body that is not in its content encoding": _rows(
        Fault(body=_BINARY, headers={"content-encoding": "gzip"}), API, INCOMPLETE
    ),
    # Odd, and yet the right answer.
    "a whole answer to `stream: true`": _row(
        Fault(body=_completion(COUNTED.content, COUNTED.reasoning, tokens=10)), RIGHT
    ),
    "a body kept open after `[DONE]`": _rows(
        Fault(
            body=_WHOLE_STREAM + _AS_LONG_A_COMMENT,
            content_type="text/event-stream",
            then="stall",
            seconds=SILENCE,
        ),
        None,
        RIGHT,
    ),
    "another content type": _row(Fault(content_type="application/octet-stream"), RIGHT),
    "`text/html` as content type": _row(Fault(content_type="text/html"), RIGHT),
    "keep-alives and blank lines before": _row(
        Fault(then="keep_alive", after_chunks=0, seconds=0.2), RIGHT
    ),
    "each byte on its own": _row(Fault(split=1), RIGHT),
    "a pause shorter than the bounds": _row(
        Fault(then="stall", after_chunks=8, seconds=0.1),
        RIGHT,
        settings={"timeout": 5.0, "stream_chunk_timeout": 5.0},
    ),
    # Refusals and failures.
    "400 of DeepSeek": _row(deepseek_error(400, "Invalid temperature value"), INVALID),
    "400, longer than the context": _row(
        deepseek_error(400, "This model's maximum context length is 1048576 tokens."), OVERFLOW
    ),
    "400, DeepSeek's moderation": _row(deepseek_error(400, "Content Exists Risk"), BLOCKED),
    "400, code 2005: the gateway's upstream failed": _row(
        gateway_error(2005, 400, "Failed to get response from provider"), API
    ),
    "400, code 2029: DLP": _row(
        gateway_error(2029, 400, "Request content blocked due to DLP policy violations"), BLOCKED
    ),
    "401 of the gateway": _row(gateway_error(2009, 401, "Unauthorized"), AUTHENTICATION),
    "401 of DeepSeek": _row(
        deepseek_error(401, "Authentication Fails, Your api key is invalid"), AUTHENTICATION
    ),
    "402 of DeepSeek": _row(deepseek_error(402, "Insufficient Balance"), FUNDS),
    "402, code 2021: the gateway's credits": _row(
        rest_error(2021, 402, "Insufficient credits"), FUNDS
    ),
    "403, a policy": _row(policy_error(403, "Access denied by policy"), PERMISSION),
    "403, HTML of Cloudflare's edge": _row(
        edge_error(403, "<html><title>Blocked</title></html>", "text/html"), PERMISSION
    ),
    "404": _row(Fault(status=404), NOT_FOUND),
    "413": _row(Fault(status=413), INVALID),
    "422 of DeepSeek": _row(deepseek_error(422, "invalid parameters"), INVALID),
    "424, code 2016: a guardrail": _row(gateway_error(2016, 424, "Prompt blocked"), BLOCKED),
    "429 of DeepSeek": _row(deepseek_error(429, "Too many requests", "rate_limit_error"), RATE),
    "429, code 2003: the gateway's limit": _row(gateway_error(2003, 429, "Rate limited"), RATE),
    "429, code 2045: a budget": _row(gateway_error(2045, 429, "Spend limit exceeded"), SPEND),
    "500": _row(deepseek_error(500, "Internal server error", "server_error"), API),
    "502": _row(edge_error(502, "<html><title>Bad gateway</title></html>", "text/html"), API),
    "503": _row(deepseek_error(503, "Service is too busy."), API),
    "504": _row(Fault(status=504), API),
    "529": _row(Fault(status=529, body="overloaded"), API),
    "530, HTML of Cloudflare's edge": _row(
        edge_error(530, "<!DOCTYPE html><title>Origin is unreachable</title>", "text/html"), API
    ),
    "401 whose body is not in its content encoding": _row(
        Fault(status=401, body=_BINARY, headers={"content-encoding": "gzip"}), AUTHENTICATION
    ),
    "402 whose body breaks off": _row(
        Fault(status=402, body="Insufficient Balance", then="reset"), FUNDS
    ),
    "400, `Model Not Exist`": _row(deepseek_error(400, "Model Not Exist"), NOT_FOUND),
    "400, code `context_length_exceeded`": _known("context-overflow-openai", OVERFLOW),
    "400, `exceed_context_size_error` of llama.cpp": _known("context-overflow-llama-cpp", OVERFLOW),
    "413, code 5021: longer than the context": _known("context-overflow-workers-ai", OVERFLOW),
    "403, 1010 of Cloudflare's edge": _known("edge-problem-1010", PERMISSION),
    "403, 1020 of Cloudflare's edge": _known("edge-problem-1020", PERMISSION),
    "404 of Cloudflare's edge": _known("edge-problem-404", NOT_FOUND),
    "429, 1015 of Cloudflare's edge": _known("edge-problem", RATE),
    "502 of Cloudflare's edge": _known("edge-problem-502", API),
    "524 of Cloudflare's edge": _known("edge-problem-524", API),
    "530, 1033 of Cloudflare's edge": _known("edge-problem-530", API),
    "302 to the login of Cloudflare Access": _known("access-login", AUTHENTICATION),
    "401, a challenge of Cloudflare Access": _known("access-token", AUTHENTICATION),
    "401, a token unknown to Cloudflare Access": _known("access-invalid-token", AUTHENTICATION),
    "403, a service token missing for Cloudflare Access": _known(
        "access-service-token", PERMISSION
    ),
    "200, the login page of Cloudflare Access": _known("access-page", AUTHENTICATION),
}


def table() -> str:
    """Return the matrix in Markdown, as it stands in `README.md`."""
    lines = [
        "| what happens | `invoke`, `ainvoke` | `stream`, `astream` | retryable |",
        "| --- | --- | --- | --- |",
    ]
    for name, row in MATRIX.items():
        failed = [end for end in (row.whole, row.streamed) if end and end.error]
        retryable = ("yes" if failed[0].retryable else "no") if failed else ""
        lines.append(f"| {name} | {row.whole or ''} | {row.streamed or ''} | {retryable} |")
    return "\n".join(lines)
