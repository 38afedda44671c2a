"""The faults that a request can meet, and the outcome that each must have on every path.

Only data: `test_fault_handling.py` checks this client and the table in `docs/failures.md`, and
`benchmarks/fault_comparison.py` measures other clients.
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
from tests.conftest import closed_port

INVOKE_PATHS = ("invoke", "ainvoke")
STREAM_PATHS = ("stream", "astream")

TEXT_REPLY = Reply(
    content="one two three four five six seven eight nine ten", reasoning="Counting."
)
TOOL_CALL_REPLY = Reply(tool_calls=[ToolCall("get_weather", {"city": "Paris", "unit": "celsius"})])


class Outcome(NamedTuple):
    """What a call returns or raises."""

    error: type[errors.CFDeepSeekError] | None = None
    """`None`: the completion is returned."""
    retryable: bool = False
    text_kept: bool = False
    """Whether `partial` holds the text received."""

    def __str__(self) -> str:
        if self.error is None:
            return "the right answer"
        return f"`{self.error.__name__}`" + (", with the text" if self.text_kept else "")


COMPLETION = Outcome()
API = Outcome(errors.CFDeepSeekAPIError, retryable=True)
API_WITH_TEXT = API._replace(text_kept=True)
CUT = Outcome(errors.CFDeepSeekMaxTokensError)
CUT_WITH_TEXT = CUT._replace(text_kept=True)
AUTHENTICATION = Outcome(errors.CFDeepSeekAuthenticationError)
BLOCKED = Outcome(errors.CFDeepSeekContentBlockedError)
CONNECTION = Outcome(errors.CFDeepSeekConnectionError, retryable=True)
EMPTY = Outcome(errors.CFDeepSeekEmptyResponseError, retryable=True)
FUNDS = Outcome(errors.CFDeepSeekInsufficientFundsError)
INCOMPLETE = Outcome(errors.CFDeepSeekIncompleteStreamError, retryable=True)
INCOMPLETE_WITH_TEXT = INCOMPLETE._replace(text_kept=True)
INVALID = Outcome(errors.CFDeepSeekInvalidRequestError)
NOT_FOUND = Outcome(errors.CFDeepSeekModelNotFoundError)
OVERFLOW = Outcome(errors.CFDeepSeekContextOverflowError)
PERMISSION = Outcome(errors.CFDeepSeekPermissionDeniedError)
RATE = Outcome(errors.CFDeepSeekRateLimitError, retryable=True)
SPEND = Outcome(errors.CFDeepSeekSpendLimitError)
TIMEOUT = Outcome(errors.CFDeepSeekTimeoutError, retryable=True)
TIMEOUT_WITH_TEXT = TIMEOUT._replace(text_kept=True)

Arrange = Callable[[LocalGateway], AbstractContextManager[str]]
"""Injects the fault into the next request, and yields the base URL to send it to."""


def _inject(fault: Fault) -> Arrange:
    @contextmanager
    def arrange(gw: LocalGateway) -> Iterator[str]:
        gw.fault(fault)
        yield gw.base_url()

    return arrange


def _redirect(status: int) -> Arrange:
    @contextmanager
    def arrange(gw: LocalGateway) -> Iterator[str]:
        # Another origin of the same gateway, which records a client that follows the redirect.
        location = gw.base_url().replace("127.0.0.1", "localhost") + "/chat/completions"
        gw.fault(status=status, headers={"location": location})
        yield gw.base_url()

    return arrange


@contextmanager
def _refused_connection(_gw: LocalGateway) -> Iterator[str]:
    with closed_port() as port:
        yield f"http://127.0.0.1:{port}/deepseek"


@contextmanager
def _unaccepted_connection(_gw: LocalGateway) -> Iterator[str]:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        # Once the queue is full, Linux lets further connections wait indefinitely.
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/deepseek"


class _CloseConnection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(65536)


@contextmanager
def _closed_before_a_response(_gw: LocalGateway) -> Iterator[str]:
    with socketserver.TCPServer(("127.0.0.1", 0), _CloseConnection) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/deepseek"
        server.shutdown()
        thread.join()


@contextmanager
def _failing_tls(gw: LocalGateway) -> Iterator[str]:
    yield gw.base_url().replace("http://", "https://")


@dataclass(frozen=True)
class FaultCase:
    """One fault, and its outcomes."""

    arrange: Arrange
    invoke: Outcome | None
    """The outcome of `invoke` and `ainvoke`; `None`: the fault exists only in streams."""
    stream: Outcome | None
    """The outcome of `stream` and `astream`; `None`: the fault does not exist in streams."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of the model."""
    reply: Reply = TEXT_REPLY
    """The completion without the fault."""

    def outcome(self, path: str) -> Outcome | None:
        """Return the outcome that a path must have."""
        return self.invoke if path in INVOKE_PATHS else self.stream


def _case(fault: Fault | Arrange, both: Outcome, **others: Any) -> FaultCase:
    return _case_by_path(fault, both, both, **others)


def _named_case(name: str, both: Outcome) -> FaultCase:
    return _case(FAILURES[name].fault, both)


def _case_by_path(
    fault: Fault | Arrange, invoke: Outcome | None, stream: Outcome | None, **others: Any
) -> FaultCase:
    arrange = _inject(fault) if isinstance(fault, Fault) else fault
    return FaultCase(arrange, invoke, stream, **others)


def _event_stream(event: dict[str, Any]) -> str:
    return f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n"


def _completion(content: str, reasoning: str | None, tokens: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, "reasoning_content": reasoning}
    return {
        "id": "1",
        "model": "deepseek-flash",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": 1 + tokens},
    }


def _completion_with_finish(finish_reason: str, text: str, **choice: Any) -> Fault:
    body = _completion(text, None, tokens=10)
    body["choices"][0] |= {"finish_reason": finish_reason, **choice}
    return Fault(body=body)


def _completion_with_tool_call(
    finish_reason: str, arguments: str, name: str = "get_weather"
) -> Fault:
    function = {"name": name, "arguments": arguments}
    call = {"id": "a", "type": "function", "function": function}
    message = {"role": "assistant", "content": "", "tool_calls": [call]}
    return _completion_with_finish(finish_reason, "", message=message)


_TOOLS = [{"type": "function", "function": {"name": "get_weather"}}]
_WITH_TOOLS = {"model_kwargs": {"tools": _TOOLS}}
_IN_JSON_MODE = {"model_kwargs": {"response_format": {"type": "json_object"}}}
_INCOMPLETE_JSON = '{"a": 125'
_MARKUP = '<\uff5cDSML\uff5cinvoke name="get_weather">'

_DELTA = {"content": TEXT_REPLY.content, "reasoning_content": TEXT_REPLY.reasoning}
_COMPLETE_STREAM = _event_stream(
    {"choices": [{"index": 0, "delta": _DELTA, "finish_reason": "stop"}]}
)
# A stall comes in the middle of a body.
_COMMENT_OF_EQUAL_LENGTH = ":" + "." * (len(_COMPLETE_STREAM) - 3) + "\n\n"
_EMPTY_EVENT = {"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}]}
_RATE_LIMIT_BODY = {"error": {"message": "slow down", "type": "rate_limit_error"}}
_SERVER_ERROR_BODY = {"error": {"message": "Internal error", "type": "server_error"}}
_CLOUDFLARE_ERROR_BODY = {
    "success": False,
    "errors": [{"code": 2005, "message": "no"}],
    "result": None,
}

_GZIP_FRAGMENT = b"\x1f\x8b\x08" + bytes(range(128, 256))

_SILENCE_SECONDS = 30.0
"""Longer than any client waits here."""
_TIMEOUT_SECONDS = 0.5

EXPECTED_OUTCOMES: dict[str, FaultCase] = {
    # Connecting.
    "connection refused": _case(_refused_connection, CONNECTION),
    "connection not accepted": _case(
        _unaccepted_connection, TIMEOUT, settings={"timeout": _TIMEOUT_SECONDS}
    ),
    "TLS fails": _case(_failing_tls, CONNECTION),
    "connection closed before a response": _case(_closed_before_a_response, CONNECTION),
    "no byte within the timeout": _case(
        Fault(delay=_SILENCE_SECONDS), TIMEOUT, settings={"timeout": _TIMEOUT_SECONDS}
    ),
    "redirect 301 to another origin": _case(_redirect(301), INVALID),
    "redirect 302 to another origin": _case(_redirect(302), INVALID),
    "redirect 303 to another origin": _case(_redirect(303), INVALID),
    "redirect 307 to another origin": _case(_redirect(307), INVALID),
    "redirect 308 to another origin": _case(_redirect(308), INVALID),
    # A response that breaks off.
    "cut cleanly before its first event": _case_by_path(
        Fault(then="cut", after_chunks=0), API, API
    ),
    "cut cleanly in the reasoning": _case_by_path(
        Fault(then="cut", after_chunks=2), API, INCOMPLETE
    ),
    "cut cleanly in the text": _case_by_path(
        Fault(then="cut", after_chunks=8), API, INCOMPLETE_WITH_TEXT
    ),
    "cut cleanly in the arguments of a tool call": _case_by_path(
        Fault(then="cut", after_chunks=10), API, INCOMPLETE, reply=TOOL_CALL_REPLY
    ),
    "cut cleanly after the text, before the finish": _case_by_path(
        Fault(then="cut", after_chunks=13), API, INCOMPLETE_WITH_TEXT
    ),
    "cut cleanly after the finish, before `[DONE]`": _case_by_path(
        Fault(then="cut", after_chunks=14), API, COMPLETION
    ),
    "reset before the first event": _case_by_path(
        Fault(then="reset", after_chunks=0), CONNECTION, INCOMPLETE
    ),
    "reset in the text": _case_by_path(
        Fault(then="reset", after_chunks=8), CONNECTION, INCOMPLETE_WITH_TEXT
    ),
    "reset after the finish, before `[DONE]`": _case_by_path(
        Fault(then="reset", after_chunks=14), CONNECTION, COMPLETION
    ),
    "stall": _case_by_path(
        Fault(then="stall", after_chunks=8, seconds=_SILENCE_SECONDS),
        TIMEOUT,
        TIMEOUT_WITH_TEXT,
        settings={"timeout": _TIMEOUT_SECONDS},
    ),
    "stall, with a bound on silence in streams only": _case_by_path(
        Fault(then="stall", after_chunks=8, seconds=_SILENCE_SECONDS),
        None,
        TIMEOUT_WITH_TEXT,
        settings={"stream_chunk_timeout": _TIMEOUT_SECONDS},
    ),
    "stall behind keep-alives": _case_by_path(
        Fault(then="keep_alive", after_chunks=8, seconds=_SILENCE_SECONDS),
        None,
        TIMEOUT_WITH_TEXT,
        settings={"stream_chunk_timeout": _TIMEOUT_SECONDS},
    ),
    "an error event instead of the rest": _case_by_path(
        Fault(then="error_event", after_chunks=8, body=_SERVER_ERROR_BODY), API, API_WITH_TEXT
    ),
    "an error event of a known type instead of the rest": _case_by_path(
        Fault(then="error_event", after_chunks=8, body=_RATE_LIMIT_BODY),
        RATE,
        RATE._replace(text_kept=True),
    ),
    "malformed JSON": _case_by_path(
        Fault(then="bad_json", after_chunks=8), API, INCOMPLETE_WITH_TEXT
    ),
    # A finish reason that is not a success.
    "`insufficient_system_resource`": _case(
        Fault(finish_reason="insufficient_system_resource"), API_WITH_TEXT
    ),
    "`aborted`": _case(Fault(finish_reason="aborted"), API_WITH_TEXT),
    "`content_filter`": _case(
        Fault(finish_reason="content_filter"), BLOCKED._replace(text_kept=True)
    ),
    "a finish reason that DeepSeek does not document": _case(
        _completion_with_finish("network_error", "one two"), API_WITH_TEXT
    ),
    "an error on the choice": _case(
        _completion_with_finish(
            "error", "one two", error={"code": 502, "message": "upstream lost"}
        ),
        API_WITH_TEXT,
    ),
    # An incomplete completion.
    "a tool call without arguments, cut by `max_tokens`": _case(
        _completion_with_tool_call("length", ""), CUT
    ),
    "a tool call cut by `max_tokens`": _case(
        _completion_with_tool_call("length", '{"city": "Par'), CUT
    ),
    "a tool call with malformed arguments": _case(
        _completion_with_tool_call("tool_calls", '{"city": "Par'), API
    ),
    "a tool call without a name": _case(
        _completion_with_tool_call("tool_calls", "{}", name=""), API
    ),
    "a tool call announced but missing": _case(_completion_with_finish("tool_calls", ""), EMPTY),
    "a tool call left as text": _case(
        _completion_with_finish("stop", _MARKUP),
        API_WITH_TEXT,
        settings=_WITH_TOOLS,
        reply=Reply(_MARKUP),
    ),
    "text where a tool call is forced": _case(
        _completion_with_finish("stop", "one two"),
        API_WITH_TEXT,
        settings={"model_kwargs": {"tools": _TOOLS, "tool_choice": "required"}},
    ),
    "JSON cut by `max_tokens`": _case(
        _completion_with_finish("length", _INCOMPLETE_JSON),
        CUT_WITH_TEXT,
        settings=_IN_JSON_MODE,
        reply=Reply(_INCOMPLETE_JSON),
    ),
    "half JSON with finish `stop`": _case(
        _completion_with_finish("stop", _INCOMPLETE_JSON),
        API_WITH_TEXT,
        settings=_IN_JSON_MODE,
        reply=Reply(_INCOMPLETE_JSON),
    ),
    "JSON mode answered with white space": _case(
        _completion_with_finish("stop", "  "),
        EMPTY._replace(text_kept=True),
        settings=_IN_JSON_MODE,
        reply=Reply("  "),
    ),
    "an empty completion": _case_by_path(Fault(body=_completion("", None, tokens=0)), EMPTY, None),
    "an empty stream": _case_by_path(
        Fault(body=_event_stream(_EMPTY_EVENT), content_type="text/event-stream"), None, EMPTY
    ),
    # Status 200 with a body that is not a completion.
    "an empty body": _case(Fault(body=""), API),
    "HTML with status 200": _case(
        Fault(body="<html><title>Sign in</title></html>", content_type="text/html"), API
    ),
    "plain text with status 200": _case(Fault(body="upstream unavailable"), API),
    "`null`": _case(Fault(body="null", content_type="application/json"), API),
    "JSON of another shape": _case(Fault(body={"hello": 1}), API),
    "a JSON error with status 200": _case(Fault(body=_RATE_LIMIT_BODY), RATE),
    "Cloudflare's JSON error with status 200": _case(Fault(body=_CLOUDFLARE_ERROR_BODY), API),
    "a JSON error as an event stream": _case_by_path(
        Fault(body=_event_stream(_RATE_LIMIT_BODY), content_type="text/event-stream"), API, RATE
    ),
    "an error named by its event alone": _case_by_path(
        Fault(body="event: error\ndata: upstream lost\n\n", content_type="text/event-stream"),
        API,
        API,
    ),
    "Workers AI's error instead of the rest": _case_by_path(
        Fault(then="error_event", after_chunks=8, body=FAILURES["workers-ai-capacity"].fault.body),
        RATE,
        RATE._replace(text_kept=True),
    ),
    "a message and a code instead of the rest": _case_by_path(
        Fault(then="error_event", after_chunks=8, body={"message": "upstream lost", "code": 502}),
        API,
        API_WITH_TEXT,
    ),
    'status 200 with `{"error": {"code": 429}}`': _case(Fault(body={"error": {"code": 429}}), RATE),
    "a body that is not in its content encoding": _case_by_path(
        Fault(body=_GZIP_FRAGMENT, headers={"content-encoding": "gzip"}), API, INCOMPLETE
    ),
    # Unusual responses that hold the completion.
    "a completion in response to `stream: true`": _case(
        Fault(body=_completion(TEXT_REPLY.content, TEXT_REPLY.reasoning, tokens=10)), COMPLETION
    ),
    "a body kept open after `[DONE]`": _case_by_path(
        Fault(
            body=_COMPLETE_STREAM + _COMMENT_OF_EQUAL_LENGTH,
            content_type="text/event-stream",
            then="stall",
            seconds=_SILENCE_SECONDS,
        ),
        None,
        COMPLETION,
    ),
    "another content type": _case(Fault(content_type="application/octet-stream"), COMPLETION),
    "`text/html` as content type": _case(Fault(content_type="text/html"), COMPLETION),
    "keep-alives and blank lines first": _case(
        Fault(then="keep_alive", after_chunks=0, seconds=0.2), COMPLETION
    ),
    "each byte on its own": _case(Fault(split=1), COMPLETION),
    "a pause shorter than the bounds": _case(
        Fault(then="stall", after_chunks=8, seconds=0.1),
        COMPLETION,
        settings={"timeout": 5.0, "stream_chunk_timeout": 5.0},
    ),
    # Error responses.
    "400 of DeepSeek": _case(deepseek_error(400, "Invalid temperature value"), INVALID),
    "400, longer than the context": _case(
        deepseek_error(400, "This model's maximum context length is 1048576 tokens."), OVERFLOW
    ),
    "400, DeepSeek's moderation": _case(deepseek_error(400, "Content Exists Risk"), BLOCKED),
    "400, code 2005: the gateway's upstream failed": _case(
        gateway_error(2005, 400, "Failed to get response from provider"), API
    ),
    "400, code 2029: DLP": _case(
        gateway_error(2029, 400, "Request content blocked due to DLP policy violations"), BLOCKED
    ),
    "401 of the gateway": _case(gateway_error(2009, 401, "Unauthorized"), AUTHENTICATION),
    "401 of DeepSeek": _case(
        deepseek_error(401, "Authentication Fails, Your api key is invalid"), AUTHENTICATION
    ),
    "402 of DeepSeek": _case(deepseek_error(402, "Insufficient Balance"), FUNDS),
    "402, code 2021: the gateway's credits": _case(
        rest_error(2021, 402, "Insufficient credits"), FUNDS
    ),
    "403, a policy": _case(policy_error(403, "Access denied by policy"), PERMISSION),
    "403, HTML of Cloudflare's edge": _case(
        edge_error(403, "<html><title>Blocked</title></html>", "text/html"), PERMISSION
    ),
    "404": _case(Fault(status=404), NOT_FOUND),
    "413": _case(Fault(status=413), INVALID),
    "422 of DeepSeek": _case(deepseek_error(422, "invalid parameters"), INVALID),
    "424, code 2016: a guardrail": _case(gateway_error(2016, 424, "Prompt blocked"), BLOCKED),
    "429 of DeepSeek": _case(deepseek_error(429, "Too many requests", "rate_limit_error"), RATE),
    "429, code 2003: the gateway's limit": _case(gateway_error(2003, 429, "Rate limited"), RATE),
    "429, code 2045: a budget": _case(gateway_error(2045, 429, "Spend limit exceeded"), SPEND),
    "500": _case(deepseek_error(500, "Internal server error", "server_error"), API),
    "502": _case(edge_error(502, "<html><title>Bad gateway</title></html>", "text/html"), API),
    "503": _case(deepseek_error(503, "Service is too busy."), API),
    "504": _case(Fault(status=504), API),
    "529": _case(Fault(status=529, body="overloaded"), API),
    "530, HTML of Cloudflare's edge": _case(
        edge_error(530, "<!DOCTYPE html><title>Origin is unreachable</title>", "text/html"), API
    ),
    "401 whose body is not in its content encoding": _case(
        Fault(status=401, body=_GZIP_FRAGMENT, headers={"content-encoding": "gzip"}), AUTHENTICATION
    ),
    "402 whose body breaks off": _case(
        Fault(status=402, body="Insufficient Balance", then="reset"), FUNDS
    ),
    "400, `Model Not Exist`": _case(deepseek_error(400, "Model Not Exist"), NOT_FOUND),
    "400, code `context_length_exceeded`": _named_case("context-overflow-openai", OVERFLOW),
    "400, `exceed_context_size_error` of llama.cpp": _named_case(
        "context-overflow-llama-cpp", OVERFLOW
    ),
    "413, code 5021: longer than the context": _named_case("context-overflow-workers-ai", OVERFLOW),
    "403, 1010 of Cloudflare's edge": _named_case("edge-problem-1010", PERMISSION),
    "403, 1020 of Cloudflare's edge": _named_case("edge-problem-1020", PERMISSION),
    "404 of Cloudflare's edge": _named_case("edge-problem-404", NOT_FOUND),
    "429, 1015 of Cloudflare's edge": _named_case("edge-problem", RATE),
    "502 of Cloudflare's edge": _named_case("edge-problem-502", API),
    "524 of Cloudflare's edge": _named_case("edge-problem-524", API),
    "530, 1033 of Cloudflare's edge": _named_case("edge-problem-530", API),
    "302 to the login of Cloudflare Access": _named_case("access-login", AUTHENTICATION),
    "401, a challenge of Cloudflare Access": _named_case("access-token", AUTHENTICATION),
    "401, a token unknown to Cloudflare Access": _named_case(
        "access-invalid-token", AUTHENTICATION
    ),
    "403, a service token missing for Cloudflare Access": _named_case(
        "access-service-token", PERMISSION
    ),
    "200, the login page of Cloudflare Access": _named_case("access-page", AUTHENTICATION),
}


def outcomes_table() -> str:
    """Return the Markdown table that `docs/failures.md` shows."""
    lines = [
        "| what happens | `invoke`, `ainvoke` | `stream`, `astream` | retryable |",
        "| --- | --- | --- | --- |",
    ]
    for name, row in EXPECTED_OUTCOMES.items():
        failed = [end for end in (row.invoke, row.stream) if end and end.error]
        retryable = ("yes" if failed[0].retryable else "no") if failed else ""
        lines.append(f"| {name} | {row.invoke or ''} | {row.stream or ''} | {retryable} |")
    return "\n".join(lines)
