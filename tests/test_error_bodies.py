"""Error bodies of every shape are parsed alike, as a response or as an event of a stream."""

import gzip
import pickle
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import trustme

from langchain_cf_deepseek import errors
from langchain_cf_deepseek._errors.responses import error_from_response
from langchain_cf_deepseek._http.http_library import http
from langchain_cf_deepseek.data.routings import Routing
from langchain_cf_deepseek.local import FAILURES, Fault, LocalGateway
from tests.conftest import PATHS, Ask
from tests.fuzz.servers import RawServer

_EDGE_TEXT = (
    "Error 1015: You are being rate limited. The owner of the domain limits the request rate."
)

# Body, and the error it gives: class, code, message; `None`: any.
SHAPES: dict[str, tuple[Any, str, Any, str | None]] = {
    "the gateway's": (
        {
            "success": False,
            "result": [],
            "messages": [],
            "error": [{"code": 2003, "message": "Rate limited"}],
            "name": "AiGatewayError",
            "httpCode": 429,
            "internalCode": 2003,
            "message": "Rate limited",
        },
        "RateLimit",
        2003,
        "Rate limited",
    ),
    "the gateway's, as it was": (
        {"success": False, "error": [{"code": 2005, "message": "no"}, {"message": "answer"}]},
        "API",
        2005,
        "no; answer",
    ),
    "the API's": (
        {"success": False, "errors": [{"code": 10000, "message": "Authentication error"}]},
        "Authentication",
        10000,
        "Authentication error",
    ),
    "compat's": (
        {"error": {"message": "Insufficient balance", "type": "gateway_error", "code": None}},
        "API",
        None,
        "Insufficient balance",
    ),
    "a policy's": (
        {"success": False, "error": {"message": "Access denied by policy"}},
        "PermissionDenied",
        None,
        "Access denied by policy",
    ),
    "Workers AI's": (
        {"name": "AiError", "internalCode": 3040, "httpCode": 429, "message": "Capacity"},
        "RateLimit",
        3040,
        "Capacity",
    ),
    "Workers AI's, with the code in the text": (
        {"error": {"message": "AiError: AiError: 3046: Request timeout", "code": None}},
        "Timeout",
        3046,
        "AiError: AiError: 3046: Request timeout",
    ),
    "the edge's": (
        FAILURES["edge-problem"].fault.body,
        "RateLimit",
        1015,
        _EDGE_TEXT,
    ),
    "DeepSeek's": (
        {"error": {"message": "slow down", "type": "rate_limit_error", "code": "x"}},
        "RateLimit",
        "x",
        "slow down",
    ),
    "OpenAI's word alone": ({"error": {"code": "rate_limit_exceeded"}}, "RateLimit", None, None),
    "Anthropic's": (
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        "API",
        "overloaded_error",
        "Overloaded",
    ),
    "vLLM's": (
        {"object": "error", "message": "no", "type": "BadRequestError", "code": 400},
        "InvalidRequest",
        400,
        "no",
    ),
    "a number alone": ({"error": {"code": 429}}, "RateLimit", 429, "{'code': 429}"),
    "a number as text": ({"error": {"code": "429", "message": "m"}}, "RateLimit", 429, "m"),
    "Google's": (
        [{"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED"}}],
        "RateLimit",
        429,
        "quota",
    ),
    "flat": ({"message": "upstream lost", "code": 502}, "API", 502, "upstream lost"),
    "flat, without a code": ({"message": "Internal server error"}, "API", None, None),
    "a detail": ({"detail": "Not authenticated"}, "API", None, "Not authenticated"),
    "FastAPI's": (
        {"detail": [{"loc": ["body", "top_p"], "msg": "too large", "type": "less_than"}]},
        "API",
        None,
        "body.top_p: too large",
    ),
    "nested": (
        {"detail": {"error": {"message": "no", "code": 403}}},
        "PermissionDenied",
        403,
        "no",
    ),
    "a text": ({"error": "model is loading"}, "API", None, "model is loading"),
    "OAuth's": (
        {"error": "invalid_token", "error_description": "expired"},
        "Authentication",
        "invalid_token",
        "invalid_token: expired",
    ),
    "texts": ({"error": ["one", "two"]}, "API", None, "one; two"),
    "another problem": (
        {"title": "Gone", "status": 503, "detail": "Come back later."},
        "API",
        None,
        "Gone. Come back later.",
    ),
}


def _summary(error: errors.CFDeepSeekError) -> tuple[str, Any, str]:
    kind = type(error).__name__.removeprefix("CFDeepSeek").removesuffix("Error")
    return kind, error.code, error.message


@pytest.mark.parametrize("shape", SHAPES)
def test_error_with_a_success_status_is_recognised_by_its_body(
    gw: LocalGateway, ask: Ask, shape: str
) -> None:
    body, kind, code, message = SHAPES[shape]
    gw.fault(body=body)
    with pytest.raises(errors.CFDeepSeekError) as caught:
        ask(gw.chat_model(max_retries=0), "Hello")
    found = _summary(caught.value)
    assert found == (kind, code or found[1], message or found[2])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("path", ["stream", "astream"])
def test_error_after_the_first_chunk_is_the_same_error_with_the_text(
    gw: LocalGateway, path: str, shape: str
) -> None:
    body, kind, code, message = SHAPES[shape]
    gw.reply(content="one two three four", reasoning="r")
    gw.fault(then="error_event", after_chunks=6, body=body)
    with pytest.raises(errors.CFDeepSeekError) as caught:
        PATHS[path](gw.chat_model(), "Hello")
    found = _summary(caught.value)
    assert found == (kind, code or found[1], message or found[2])
    assert caught.value.partial
    assert "log_id" in caught.value.gateway


CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
ONE_TOKEN = b'"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}'


def _streamed(*events: bytes) -> Fault:
    return Fault(body=b"".join(events), content_type="text/event-stream")


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (b'event: error\ndata: {"text": "upstream lost"}\n\n', None),
        (b"event: error\ndata: upstream lost\n\n", "upstream lost"),
        (b'data: {"message": "upstream lost"}\nevent:error\n\n', "upstream lost"),
        (b'event: Error\ndata: "upstream lost"\n\n', "upstream lost"),
        (b"event: error\n\n", "HTTP 200 without a body"),
        (b"data: upstream lost\n\n", "upstream lost"),
        (b'data: {"choices": [], "error": {"message": "upstream lost"}}\n\n', "upstream lost"),
        (b'data: {"choices": [{"delta": {}}], "error": "upstream lost"}\n\n', "upstream lost"),
    ],
)
@pytest.mark.parametrize("path", ["stream", "astream"])
def test_error_event_ends_the_stream(
    gw: LocalGateway, path: str, event: bytes, message: str | None
) -> None:
    gw.fault(_streamed(CHUNK, event))
    with pytest.raises(errors.CFDeepSeekAPIError) as caught:
        PATHS[path](gw.chat_model(), "Hello")
    assert type(caught.value) is errors.CFDeepSeekAPIError
    assert caught.value.message == (message or caught.value.message)
    assert caught.value.partial == "Hi"


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"choices":[]}\n\n',
        b'data: {"choices":[],"error":null}\n\n',
        b'data: {"choices":[],"error":{}}\n\n',
        b'data: {"choices":[],"errors":[],"code":0}\n\n',
        b'data: {"choices":[],"error":{"code":0,"message":""}}\n\n',
        b'data: {"response":"",' + ONE_TOKEN + b"}\n\n",
        b'data: {"gatewayMetadata":{"keySource":"BYOK"}}\n\n',
        b"event: message\n" + CHUNK.replace(b"Hi", b""),
        b"event: ping\ndata: {}\n\n",
    ],
)
@pytest.mark.parametrize("path", ["stream", "astream"])
def test_event_without_choices_or_error_is_ignored(
    gw: LocalGateway, path: str, event: bytes
) -> None:
    gw.fault(_streamed(CHUNK, event, FINISH, event))
    assert PATHS[path](gw.chat_model(), "Hello").content == "Hi"


@pytest.mark.parametrize(
    "text", ["error code: 1010", "internal error", "rate limited", "da", "dates are out", "i"]
)
def test_text_body_that_starts_like_an_event_stream_is_text(
    gw: LocalGateway, ask: Ask, text: str
) -> None:
    gw.fault(body=text)
    with pytest.raises(errors.CFDeepSeekError) as caught:
        ask(gw.chat_model(max_retries=0), "Hello")
    assert (type(caught.value), caught.value.message) == (
        errors.CFDeepSeekPermissionDeniedError if "1010" in text else errors.CFDeepSeekAPIError,
        text,
    )


def test_error_on_a_choice_is_classified_by_its_own_code() -> None:
    response = http.Response(200, request=http.Request("POST", "https://a.example.com"))
    choice = {"error": {"code": 502, "message": "upstream lost"}}
    assert _summary(error_from_response(response, body=choice)) == ("API", 502, "upstream lost")
    choice = {"error": {"code": 429, "message": "slow down"}}
    assert _summary(error_from_response(response, body=choice)) == ("RateLimit", 429, "slow down")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'data: {"error": {"message": "upstream lost", "code": 502}}\n\n', "upstream lost"),
        (b'event: error\ndata: {"message": "upstream lost", "code": 502}\n\n', "upstream lost"),
        (
            {"error": {"message": "no", "code": 502, "metadata": {"raw": "upstream lost"}}},
            "no: upstream lost",
        ),
    ],
)
def test_error_nested_in_another_format_is_read(
    gw: LocalGateway, ask: Ask, body: Any, message: str
) -> None:
    gw.fault(status=502, body=body)
    with pytest.raises(errors.CFDeepSeekAPIError) as caught:
        ask(gw.chat_model(max_retries=0), "Hello")
    assert _summary(caught.value) == ("API", 502, message)


def test_exhausted_quota_is_not_retried(gw: LocalGateway, ask: Ask) -> None:
    message = "You exceeded your current quota"
    gw.fault(status=429, body={"error": {"message": message, "code": "insufficient_quota"}})
    with pytest.raises(errors.CFDeepSeekInsufficientFundsError):
        ask(gw.chat_model(), "Hello")
    assert len(gw.requests) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=302, headers={"location": "/cdn-cgi/access/login/ai.example.com?kid=1"}),
        Fault(status=307, headers={"location": "https://x.cloudflareaccess.com?kid=1"}),
        Fault(status=401, body={"error": "invalid_token", "resource_metadata": "https://x/y"}),
        Fault(status=401, headers={"www-authenticate": "Bearer, Cloudflare-Access x=y"}),
        Fault(status=403, headers={"cf-access-error": "unknown reason: 7"}),
        Fault(status=403, body="<html><title>Error \u30fb Cloudflare Access</title></html>"),
        Fault(body="<html><form action='https://x.cloudflareaccess.com/login'></form></html>"),
    ],
)
def test_cloudflare_access_is_named_in_every_format_of_its_refusal(
    gw: LocalGateway, ask: Ask, fault: Fault
) -> None:
    gw.fault(fault)
    with pytest.raises(errors.CFDeepSeekError, match="Cloudflare Access refused") as caught:
        ask(gw.chat_model(), "Hello")
    assert (caught.value.origin, caught.value.is_retryable) == ("cloudflare-edge", False)
    assert "`CF-Access-Client-Id` and `CF-Access-Client-Secret`" in caught.value.hint
    assert len(gw.requests) == 1


def test_redirect_to_an_address_that_only_looks_like_access_is_a_redirect(
    gw: LocalGateway, ask: Ask
) -> None:
    gw.fault(status=302, headers={"location": "https://x.cloudflareaccess.com.example.org/"})
    with pytest.raises(errors.CFDeepSeekInvalidRequestError, match="redirect"):
        ask(gw.chat_model(), "Hello")


PLAIN = b'{"error": {"message": "no", "type": "some_error"}}'
BINARY = bytes(range(128, 256)) * 3
UNDECODABLE: dict[str, tuple[bytes, dict[str, str], str]] = {
    "gzip on plain JSON": (PLAIN, {"content-encoding": "gzip"}, "no"),
    "gzip on plain text": (b"no way", {"content-encoding": "gzip"}, "no way"),
    "deflate on plain JSON": (PLAIN, {"content-encoding": "deflate"}, "no"),
    "cut gzip": (gzip.compress(BINARY)[:-30], {"content-encoding": "gzip"}, ""),
    "broken gzip": (b"\x1f\x8b\x08" + BINARY, {"content-encoding": "gzip"}, "not text"),
    "zstd": (b"\x28\xb5\x2f\xfd" + BINARY, {"content-encoding": "zstd"}, "not text"),
    "brotli": (BINARY, {"content-encoding": "br"}, "not text"),
    "binary": (BINARY, {}, "not text"),
    "zeros": (bytes(50), {}, "not text"),
    "a cut character": ("schön".encode()[:4], {}, "sch"),
    "another charset": (
        "schön".encode("latin-1"),
        {"content-type": "text/plain; charset=latin-1"},
        "schön",
    ),
}


def _is_clean(text: str) -> bool:
    return text.isprintable() and "\N{REPLACEMENT CHARACTER}" not in text


STATUSES: dict[int, type[errors.CFDeepSeekError]] = {
    401: errors.CFDeepSeekAuthenticationError,
    402: errors.CFDeepSeekInsufficientFundsError,
    403: errors.CFDeepSeekPermissionDeniedError,
    429: errors.CFDeepSeekRateLimitError,
    503: errors.CFDeepSeekAPIError,
}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("body", UNDECODABLE)
def test_status_decides_even_if_the_body_cannot_be_read(
    gw: LocalGateway, ask: Ask, body: str, status: int
) -> None:
    content, headers, said = UNDECODABLE[body]
    gw.fault(
        status=status,
        body=content,
        headers={**headers, "retry-after": "0.01"},
        content_type=headers.get("content-type"),
        times=None,
    )
    with pytest.raises(errors.CFDeepSeekError) as caught:
        ask(gw.chat_model(max_retries=1), "Hello")
    error = caught.value
    assert type(error) is STATUSES[status]
    assert (error.status_code, error.retry_after) == (status, 0.01)
    assert error.gateway.keys() >= {"log_id", "ray"}
    assert said in error.message
    assert _is_clean(str(error))
    assert len(gw.requests) == (2 if error.is_retryable else 1)


@pytest.mark.parametrize("headers", ["content-length: 500", "transfer-encoding: chunked"])
@pytest.mark.parametrize("path", PATHS)
def test_error_response_with_a_truncated_body_keeps_its_class(path: str, headers: str) -> None:
    body = "1f4\r\n" + PLAIN.decode() if "chunked" in headers else PLAIN.decode()
    with RawServer() as server:
        server.answer = (
            f"HTTP/1.1 401 Unauthorized\r\ncf-aig-log-id: log-1\r\n{headers}\r\n\r\n{body}".encode()
        )
        with pytest.raises(errors.CFDeepSeekAuthenticationError) as caught:
            PATHS[path](server.chat_model(max_retries=2), "Hello")
    assert (caught.value.status_code, caught.value.gateway) == (401, {"log_id": "log-1"})


@pytest.mark.parametrize("body", ["broken gzip", "zstd", "brotli", "binary", "gzip on plain text"])
def test_undecodable_success_body_is_an_error_without_binary_text(
    gw: LocalGateway, ask: Ask, body: str
) -> None:
    content, headers, _ = UNDECODABLE[body]
    gw.fault(body=content, headers=headers)
    with pytest.raises(errors.CFDeepSeekAPIError) as caught:
        ask(gw.chat_model(max_retries=0), "Hello")
    assert _is_clean(str(caught.value))


@pytest.mark.parametrize(
    ("routing", "path", "origin"),
    [
        ("unified", "/deepseek", "cloudflare-api"),
        ("provider-native", "/client/v4/ai-gateway", "gateway"),
        ("compat", "/client/v4/accounts/x/ai/v1", "gateway"),
    ],
)
@pytest.mark.parametrize("way", PATHS)
def test_error_origin_follows_the_routing_and_not_the_address(
    way: str, routing: Routing, path: str, origin: str
) -> None:
    with RawServer() as server:
        base_url = f"{server.chat_model().base_url}".removesuffix("/deepseek") + path
        server.answer = (
            b"HTTP/1.1 401 Unauthorized\r\nconnection: close\r\n\r\n"
            b'{"success": false, "errors": [{"code": 10000, "message": "no"}]}'
        )
        with pytest.raises(errors.CFDeepSeekAuthenticationError) as caught:
            PATHS[way](server.chat_model(routing=routing, base_url=base_url), "Hello")
    assert (caught.value.origin, "Logs" in caught.value.hint) == (origin, False)


@pytest.mark.parametrize(
    "message",
    [
        "AiError: The estimated number of tokens exceeded this model context window limit (8192)",
        "prompt is too long: 200001 tokens > 200000 maximum",
        "Input is too long for requested model.",
        "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
        "the request exceeds the available context size (4096 tokens)",
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "The decoder prompt (length 9000) is longer than the maximum model length of 8192.",
        "Your input exceeds the context window of this model.",
    ],
)
@pytest.mark.parametrize("status", [400, 413, 422])
def test_context_overflow_is_recognised_in_many_wordings(
    gw: LocalGateway, ask: Ask, status: int, message: str
) -> None:
    gw.fault(status=status, body={"error": {"message": message}})
    with pytest.raises(errors.CFDeepSeekContextOverflowError):
        ask(gw.chat_model(), "Hello")


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=413),
        Fault(status=413, body="Request Entity Too Large"),
        Fault(status=400, body={"error": {"message": "max_tokens is too large: 9. At most 8."}}),
    ],
)
def test_request_that_is_too_large_otherwise_is_an_invalid_request(
    gw: LocalGateway, ask: Ask, fault: Fault
) -> None:
    gw.fault(fault)
    with pytest.raises(errors.CFDeepSeekInvalidRequestError) as caught:
        ask(gw.chat_model(), "Hello")
    assert type(caught.value) is errors.CFDeepSeekInvalidRequestError


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "Model Not Exist"),
        (404, "The model `x` does not exist."),
        (400, "The model `x` does not exist or you do not have access to it."),
        (400, "Unknown model: x"),
    ],
)
def test_unknown_model_is_recognised_in_many_wordings(
    gw: LocalGateway, ask: Ask, status: int, message: str
) -> None:
    gw.fault(status=status, body={"error": {"message": message}})
    with pytest.raises(errors.CFDeepSeekModelNotFoundError) as caught:
        ask(gw.chat_model(), "Hello")
    assert "`model`" in caught.value.hint


def test_retryable_field_of_the_edge_is_obeyed(gw: LocalGateway, ask: Ask) -> None:
    body = {"title": "Error 1016", "error_code": 1016, "cloudflare_error": True, "retryable": False}
    gw.fault(status=530, body=body, times=None)
    with pytest.raises(errors.CFDeepSeekAPIError) as caught:
        ask(gw.chat_model(), "Hello")
    assert len(gw.requests) == 1
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.is_retryable, again.origin, again.code) == (False, "cloudflare-edge", 1016)
    assert "DeepSeek" not in str(again)


def test_retry_after_of_the_edge_is_read_from_body_and_header(gw: LocalGateway, ask: Ask) -> None:
    body = {"title": "t", "error_code": 1015, "cloudflare_error": True, "retry_after": 0.02}
    for headers, seconds in (({}, 0.02), ({"retry-after": "0.01"}, 0.01)):
        gw.fault(status=429, body=body, headers=headers)
        with pytest.raises(errors.CFDeepSeekRateLimitError) as caught:
            ask(gw.chat_model(max_retries=0), "Hello")
        assert caught.value.retry_after == seconds


def test_rejected_service_token_of_access_is_named_in_the_hint(gw: LocalGateway, ask: Ask) -> None:
    gw.fail_next("access-service-token")
    token = {"CF-Access-Client-Id": "a.access", "CF-Access-Client-Secret": "secret-0123456789"}
    with pytest.raises(errors.CFDeepSeekPermissionDeniedError) as caught:
        ask(gw.chat_model(default_headers=token), "Hello")
    assert "is valid, and that a Service Auth policy" in caught.value.hint
    assert "secret-0123456789" not in str(caught.value)


@contextmanager
def _untrusted_server() -> Iterator[tuple[int, list[Any]]]:
    """Run a TLS server with an untrusted certificate; yield its port and its connections."""
    got: list[Any] = []

    class Server(HTTPServer):
        def get_request(self) -> Any:
            plain, address = self.socket.accept()
            got.append(address)
            return context.wrap_socket(plain, server_side=True), address

        def handle_error(self, *_: Any) -> None:
            return

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    with Server(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1], got
        finally:
            with suppress(OSError):
                server.shutdown()
            thread.join()


def test_untrusted_certificate_names_the_variable_and_is_not_retried(
    gw: LocalGateway, ask: Ask
) -> None:
    with _untrusted_server() as (port, got):
        llm = gw.chat_model(base_url=f"https://localhost:{port}/deepseek")
        with pytest.raises(errors.CFDeepSeekConnectionError) as caught:
            ask(llm, "Hello")
    error = pickle.loads(pickle.dumps(caught.value))
    assert error.message.startswith("the TLS certificate of localhost is not trusted: ")
    assert (error.is_retryable, error.hint) == (
        False,
        "Set SSL_CERT_FILE to a file with the certificates that your network trusts.",
    )
    assert len(got) == 1
