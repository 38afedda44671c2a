"""The log of a message: feedback, cost, bodies, waiting and errors."""

import asyncio
import gc
import pickle
import re
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import cloudflare
import openai
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from pydantic import ValidationError

from langchain_cf_deepseek import ChatCloudflareDeepSeek, errors
from langchain_cf_deepseek.local import LocalGateway, Routing
from langchain_cf_deepseek.logs import GatewayLogs
from tests.conftest import ACCOUNT, Ask, closed_port
from tests.subprocesses import run_python

Call = Callable[..., Any]
ROUTINGS: list[Routing] = ["provider-native", "unified", "compat"]
SETTINGS: dict[str, Any] = {
    "account_id": ACCOUNT,
    "gateway_id": "local",
    "api_token": "a-management-token",
}
LOG_ID = "01a20531-56b7-7d4c-930b-481ebb0a040d"


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    """Return a function that calls a method of `GatewayLogs` or its async twin."""

    def ask(logs: GatewayLogs, method: str, *args: Any, **kwargs: Any) -> Any:
        if request.param == "sync":
            return getattr(logs, method)(*args, **kwargs)
        return asyncio.run(getattr(logs, f"a{method}")(*args, **kwargs))

    return ask


def log_id(message: AIMessage) -> str:
    found: str = message.response_metadata["cloudflare_gateway"]["log_id"]
    return found


def read_back(gw: LocalGateway, message: AIMessage) -> Any:
    """Read an entry with Cloudflare's own SDK."""
    with cloudflare.Cloudflare(
        api_token=gw.cloudflare_api_token, base_url=f"{gw.url}/client/v4"
    ) as client:
        return client.ai_gateway.logs.get(
            log_id(message), account_id=gw.account_id, gateway_id=gw.gateway_id
        )


@pytest.mark.parametrize("routing", ROUTINGS)
def test_feedback_on_a_message_is_in_its_log(
    gw: LocalGateway, ask: Ask, call: Call, routing: Routing
) -> None:
    message = ask(gw.chat_model(routing=routing), "Why is the sky blue?")
    logs = gw.logs()
    assert call(logs, "feedback", message, 1, score=90, metadata={"judge": "me", "n": 2}) is None
    entry = read_back(gw, message)
    assert (entry.feedback, entry.score, entry.metadata) == (1, 90, {"judge": "me", "n": 2})
    call(logs, "feedback", log_id(message), -1)
    entry = read_back(gw, message)
    assert (entry.feedback, entry.score, entry.metadata) == (-1, 90, {"judge": "me", "n": 2})


def test_log_has_the_cost_and_both_bodies(gw: LocalGateway, ask: Ask, call: Call) -> None:
    message = ask(gw.chat_model(gateway={"metadata": {"team": "search"}}), "Hello!")
    logs = gw.logs()
    entry = call(logs, "get", message)
    usage = message.usage_metadata
    assert usage is not None
    assert entry.to_dict(warnings=False) == read_back(gw, message).to_dict(warnings=False)
    assert entry.duration < 60_000
    assert entry.cost == pytest.approx(
        (usage["input_tokens"] * 0.15 + usage["output_tokens"] * 0.60) / 1_000_000
    )
    assert entry.metadata == {"team": "search"}
    sent = call(logs, "request", message)
    assert sent == gw.requests[0].body
    answered = call(logs, "response", log_id(message))["choices"][0]["message"]
    assert answered == {
        "role": "assistant",
        "content": message.text,
        "reasoning_content": message.additional_kwargs["reasoning_content"],
    }


def test_log_body_that_is_not_json_is_text(gw: LocalGateway, call: Call) -> None:
    gw.fault(status=500, body="busy")
    with pytest.raises(errors.CFDeepSeekAPIError) as caught:
        gw.chat_model(max_retries=0).invoke("Hi")
    assert call(gw.logs(), "response", caught.value.gateway["log_id"]) == "busy"


def test_log_that_is_written_late_is_waited_for(call: Call) -> None:
    with LocalGateway(log_delay=0.5) as late:
        began = time.monotonic()
        message = late.chat_model().invoke("Hi")
        call(late.logs(), "feedback", message, 1)
        assert time.monotonic() - began > 0.5
        assert call(late.logs(wait=0), "get", message).feedback == 1
        looks = [request.method for request in late.requests[1:]]
    assert looks[-1] == "GET"
    assert looks.count("PATCH") < 7


@pytest.mark.parametrize(("wait", "most_looks"), [(0, 1), (0.2, 4)])
def test_log_that_never_appears_is_an_error_with_a_hint(
    call: Call, wait: float, most_looks: int
) -> None:
    with LocalGateway(log_delay=600) as late:
        message = late.chat_model().invoke("Hi")
        began = time.monotonic()
        with pytest.raises(errors.CFDeepSeekLogNotFoundError) as caught:
            call(late.logs(wait=wait), "get", message)
        assert wait <= time.monotonic() - began < 60
        assert 1 <= len(late.requests) - 1 <= most_looks
    assert isinstance(caught.value, openai.NotFoundError)
    assert (caught.value.status_code, caught.value.code) == (404, 7002)
    assert str(caught.value) == (
        "Cloudflare's API (status 404, code 7002): Log not found. Check `gateway_id` "
        "(CLOUDFLARE_GATEWAY_ID). Logging might be off, in the gateway or by `collect_log`; a "
        "log can arrive late (raise `wait`) and can lack bodies (`collect_log_payload`)."
    )


def test_log_without_bodies_returns_none(gw: LocalGateway, call: Call) -> None:
    message = gw.chat_model(gateway={"collect_log_payload": False}).invoke("Hi")
    logs = gw.logs(wait=0)
    assert call(logs, "get", message).success is True
    with pytest.raises(errors.CFDeepSeekLogNotFoundError, match="Request not found"):
        call(logs, "request", message)


@pytest.mark.parametrize(
    ("message", "expected_error"),
    [
        (AIMessage("Hi"), "has no gateway metadata. Pass a message of ChatCloudflareDeepSeek"),
        (AIMessageChunk(content="Hi"), "of a stream the sum of its chunks"),
        (AIMessage("Hi", response_metadata={"cloudflare_gateway": {}}), "sent no log id"),
        ("Because of Rayleigh scattering.", "pass the message itself or its log id, not"),
        ("", "not a log id"),
        ("..", "not a log id"),
    ],
)
def test_missing_log_id_raises_before_sending(
    gw: LocalGateway, call: Call, message: AIMessage | str, expected_error: str
) -> None:
    for method in ("get", "request", "response"):
        with pytest.raises(ValueError, match=re.escape(expected_error)):
            call(gw.logs(), method, message)
    with pytest.raises(ValueError, match=re.escape(expected_error)):
        call(gw.logs(), "feedback", message, 1)
    assert gw.requests == []


def test_missing_log_error_names_disabled_logging_as_a_cause(gw: LocalGateway, ask: Ask) -> None:
    message = ask(gw.chat_model(gateway={"collect_log": False}), "Hi")
    with pytest.raises(errors.CFDeepSeekLogNotFoundError, match=r"by `collect_log`"):
        gw.logs(wait=0).get(message)


def test_message_without_a_log_id_says_why(gw: LocalGateway, ask: Ask) -> None:
    gw.fault(headers={"cf-aig-log-id": None})
    message = ask(gw.chat_model(), "Hi")
    with pytest.raises(ValueError, match="logging is off \\(`collect_log`\\)"):
        gw.logs().get(message)


def test_request_id_serves_as_log_id_where_none_is_sent(gw: LocalGateway) -> None:
    llm = gw.chat_model(routing="unified")
    gw.fault(headers={"cf-aig-log-id": None})
    message = llm.invoke("Hi")
    with pytest.raises(ValueError, match="pass that"):
        gw.logs().get(message)
    request_id = message.response_metadata["cloudflare_gateway"]["request_id"]
    assert gw.logs().get(request_id).id == request_id


@pytest.mark.parametrize(
    ("given", "expected_error"),
    [
        ({"feedback": 2}, "less than or equal to 1"),
        ({"feedback": -2}, "greater than or equal to -1"),
        ({"feedback": True}, "valid integer"),
        ({"feedback": "good"}, "valid integer"),
        ({"score": 101}, "less than or equal to 100"),
        ({"score": -1}, "greater than or equal to 0"),
        ({"score": 0.5}, "valid integer"),
        ({"metadata": {"a": None}}, "entry 'a' must be a string, a finite number or a boolean"),
        ({"metadata": {"a": float("nan")}}, "entry 'a' must be"),
        ({"metadata": {"cf.user": 1}}, "key 'cf.user' is reserved"),
        ({"metadata": dict.fromkeys("abcdef", 1)}, "has 6 entries"),
        ({"metadata": "search"}, "valid dictionary"),
        ({}, "Nothing to write: give `feedback`, `score` or `metadata`."),
    ],
)
def test_feedback_that_is_invalid_is_rejected_before_sending(
    gw: LocalGateway, call: Call, given: dict[str, Any], expected_error: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(expected_error)):
        call(gw.logs(), "feedback", LOG_ID, **given)
    assert gw.requests == []


def test_feedback_can_be_zero(gw: LocalGateway, call: Call) -> None:
    message = gw.chat_model().invoke("Hi")
    call(gw.logs(), "feedback", message, 0, score=0)
    assert gw.requests[-1].body == {"feedback": 0, "score": 0}


@pytest.mark.parametrize("token", ["local-gateway-token", "a-wrong-token"])
def test_token_without_log_permission_is_rejected_with_what_it_lacks(
    gw: LocalGateway, call: Call, token: str
) -> None:
    message = gw.chat_model().invoke("Hi")
    logs = gw.logs(api_token=token)
    with pytest.raises(errors.CFDeepSeekAuthenticationError) as caught:
        call(logs, "get", message)
    error = pickle.loads(pickle.dumps(caught.value))
    assert str(error) == str(caught.value)
    assert str(error) == (
        "Cloudflare's API (status 401, code 10000): Authentication error. Give the token in "
        "`api_token` (CLOUDFLARE_API_TOKEN) the permission AI Gateway Read, and AI Gateway Edit to "
        "write feedback: AI Gateway Run and Workers AI Read are not enough."
    )
    assert error.origin == "cloudflare-api"
    assert isinstance(error, openai.AuthenticationError)
    told = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    assert token not in told + repr(logs) + str(logs)


class _Canned(BaseHTTPRequestHandler):
    server: "Stub"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status, content_type, body = self.server.answer
        self.server.paths.append(self.path)
        self.send_response(status)
        for name, value in {
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            "Location": "https://example.com/",
            "X-Should-Retry": "false",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class Stub(HTTPServer):
    """Responds to every request alike."""

    answer: tuple[int, str, bytes] = (200, "text/plain", b"")

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Canned)
        self.paths: list[str] = []

    def logs(self, **kwargs: Any) -> GatewayLogs:
        base_url = f"http://127.0.0.1:{self.server_port}/client/v4"
        return GatewayLogs(**{**SETTINGS, "base_url": base_url, "wait": 0, **kwargs})


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


JSON = "application/json"
REFUSED = b'{"result":null,"success":false,"errors":[{"code":%d,"message":"%s"}],"messages":[]}'


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (
            (403, JSON, REFUSED % (10000, b"Authentication error")),
            errors.CFDeepSeekAuthenticationError,
            "AI Gateway Read",
        ),
        (
            (403, JSON, REFUSED % (1, b"Forbidden")),
            errors.CFDeepSeekPermissionDeniedError,
            "AI Gateway Read",
        ),
        ((401, "text/html", b"<html>"), errors.CFDeepSeekAuthenticationError, "AI Gateway Read"),
        (
            (400, JSON, REFUSED % (7001, b"Invalid enum value")),
            errors.CFDeepSeekInvalidRequestError,
            "Invalid enum value",
        ),
        (
            (404, JSON, REFUSED % (7003, b"Could not route to /x")),
            errors.CFDeepSeekInvalidRequestError,
            "CLOUDFLARE_ACCOUNT_ID",
        ),
        ((404, "text/html", b"<html>"), errors.CFDeepSeekLogNotFoundError, "CLOUDFLARE_GATEWAY_ID"),
        ((429, JSON, REFUSED % (971, b"Slow")), errors.CFDeepSeekRateLimitError, "Try again"),
        ((500, JSON, REFUSED % (1, b"Oh")), errors.CFDeepSeekAPIError, "Oh."),
        ((302, "text/html", b""), errors.CFDeepSeekInvalidRequestError, "redirect"),
        ((200, "text/html", b"<html>"), errors.CFDeepSeekAPIError, "CLOUDFLARE_BASE_URL"),
        ((200, JSON, b"{"), errors.CFDeepSeekAPIError, "CLOUDFLARE_BASE_URL"),
        ((200, JSON, b"[]"), errors.CFDeepSeekAPIError, "CLOUDFLARE_BASE_URL"),
        (
            (200, JSON, b'{"success":true,"result":null}'),
            errors.CFDeepSeekAPIError,
            "not one of this",
        ),
    ],
)
def test_log_failure_raises_a_typed_error(
    stub: Stub,
    call: Call,
    answer: tuple[int, str, bytes],
    error: type[errors.CFDeepSeekError],
    text: str,
) -> None:
    stub.answer = answer
    with pytest.raises(errors.CFDeepSeekError) as caught:
        call(stub.logs(), "get", LOG_ID)
    assert type(caught.value) is error
    assert text in str(caught.value)
    assert "a-management-token" not in "".join(traceback.format_exception(caught.value))
    path = f"/client/v4/accounts/{ACCOUNT}/ai-gateway/gateways/local/logs/{LOG_ID}"
    assert stub.paths == [path]


def test_closed_port_is_a_connection_error(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudflare._base_client.INITIAL_RETRY_DELAY", 0)
    with closed_port() as port:
        logs = GatewayLogs(**SETTINGS, base_url=f"http://127.0.0.1:{port}/client/v4")
        with pytest.raises(errors.CFDeepSeekConnectionError) as caught:
            call(logs, "get", LOG_ID)
    assert "Check `base_url` (CLOUDFLARE_BASE_URL)" in str(caught.value)
    assert "a-management-token" not in repr(vars(caught.value)) + repr(caught.value.__context__)


def test_missing_response_is_a_timeout(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudflare._base_client.INITIAL_RETRY_DELAY", 0)
    monkeypatch.setattr("cloudflare._base_client.DEFAULT_TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        base_url = f"http://127.0.0.1:{silent.getsockname()[1]}/client/v4"
        with pytest.raises(errors.CFDeepSeekTimeoutError, match="Try again in a moment") as caught:
            call(GatewayLogs(**SETTINGS, base_url=base_url), "get", LOG_ID)
    assert "a-management-token" not in repr(vars(caught.value)) + repr(caught.value.__context__)


def test_logs_token_is_sent_whatever_else_the_sdk_would_find(
    gw: LocalGateway, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CLOUDFLARE_EMAIL", "CLOUDFLARE_API_KEY", "CLOUDFLARE_API_USER_SERVICE_KEY"):
        monkeypatch.setenv(name, "somebody@example.com")
    message = gw.chat_model().invoke("Hi")
    call(gw.logs(), "get", message)
    headers = gw.requests[-1].headers
    assert headers["authorization"] == f"Bearer {gw.cloudflare_api_token}"
    assert "somebody@example.com" not in headers.values()


def test_logs_object_serves_many_event_loops_tasks_and_processes(gw: LocalGateway) -> None:
    message = gw.chat_model().invoke("Hi")
    logs = pickle.loads(pickle.dumps(gw.logs()))
    assert logs == gw.logs()

    async def several() -> list[str]:
        entries = await asyncio.gather(*(logs.aget(message) for _ in range(5)))
        return [entry.id for entry in entries]

    for _ in range(2):
        assert asyncio.run(several()) == [log_id(message)] * 5
    assert logs.get(message).id == log_id(message)
    # Anything left open would warn now.
    gc.collect()


def test_settings_are_read_from_the_environment(
    gw: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDFLARE_ACCOUNT_ID", gw.account_id)
    monkeypatch.setenv("CLOUDFLARE_GATEWAY_ID", gw.gateway_id)
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", gw.cloudflare_api_token)
    monkeypatch.setenv("CLOUDFLARE_BASE_URL", f"{gw.url}/client/v4")
    assert GatewayLogs() == gw.logs()


def test_base_url_defaults_to_cloudflares_api() -> None:
    logs = GatewayLogs(**SETTINGS)
    assert logs.base_url is None
    with cloudflare.Cloudflare(api_token="x", base_url=logs.base_url) as client:
        assert client.base_url == "https://api.cloudflare.com/client/v4/"


@pytest.mark.parametrize(
    ("settings", "expected_error"),
    [
        ({"account_id": None}, "`account_id` is missing: pass it or set CLOUDFLARE_ACCOUNT_ID."),
        ({"account_id": ACCOUNT.upper()}, "must be the account's 32 lower-case hexadecimal digits"),
        ({"gateway_id": None}, "`gateway_id` is missing: pass it or set CLOUDFLARE_GATEWAY_ID"),
        ({"gateway_id": "a/b"}, "`gateway_id` (CLOUDFLARE_GATEWAY_ID) must be the gateway's name"),
        ({"api_token": None}, "`api_token` is missing: pass it or set CLOUDFLARE_API_TOKEN"),
        ({"api_token": ""}, "with the permission AI Gateway Read, and AI Gateway Edit to write"),
        ({"api_token": "a secret\n"}, "`api_token` (CLOUDFLARE_API_TOKEN) must be printable ASCII"),
        ({"base_url": "api.cloudflare.com"}, "`base_url` (CLOUDFLARE_BASE_URL) must be a complete"),
        ({"base_url": "http://example.com/x"}, "must use https"),
        ({"wait": -1}, "greater than or equal to 0"),
        ({"wait": float("inf")}, "finite number"),
        ({"run_token": "a secret"}, "Extra inputs are not permitted"),
    ],
)
def test_settings_that_are_missing_or_malformed_are_named_at_construction(
    settings: dict[str, Any], expected_error: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        GatewayLogs(**{**SETTINGS, **settings})
    assert expected_error in str(caught.value)
    assert "a-management-token" not in repr(caught.value.errors()) + str(caught.value)


def test_settings_given_by_position_are_rejected() -> None:
    with pytest.raises(ValidationError, match="valid dictionary"):
        GatewayLogs.model_validate("a-management-token")


def followed(**settings: Any) -> dict[str, str | None]:
    llm = ChatCloudflareDeepSeek(model="deepseek-flash", **settings)
    logs = GatewayLogs.of(llm, wait=0)
    assert logs.api_token is not None
    return {
        "account": logs.account_id,
        "gateway": logs.gateway_id,
        "at": logs.base_url,
        "with": logs.api_token.get_secret_value(),
    }


OTHER = "f" * 32
NATIVE: dict[str, Any] = {"api_key": "a-deepseek-key", "gateway_token": "a-run-token"}
UNIFIED: dict[str, Any] = {"routing": "unified", "cloudflare_api_token": "the-models-token"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            NATIVE | {"account_id": ACCOUNT, "gateway_id": "mine"},
            (ACCOUNT, "mine", None, "of-the-environment"),
        ),
        (
            NATIVE
            | {
                "routing": "compat",
                "base_url": f"https://gateway.ai.cloudflare.com/v1/{OTHER}/theirs/compat",
                "account_id": ACCOUNT,
                "gateway_id": "mine",
            },
            (OTHER, "theirs", None, "of-the-environment"),
        ),
        (
            NATIVE
            | {
                "base_url": "https://ai.example.com/deepseek",
                "account_id": ACCOUNT,
                "gateway_id": "mine",
            },
            (ACCOUNT, "mine", None, "of-the-environment"),
        ),
        (
            UNIFIED | {"account_id": ACCOUNT},
            (ACCOUNT, "default", "https://api.cloudflare.com/client/v4", "the-models-token"),
        ),
        (
            UNIFIED
            | {
                "base_url": f"https://proxy.example.com/cf/client/v4/accounts/{OTHER}/ai/v1",
                "gateway_id": "mine",
            },
            (OTHER, "mine", "https://proxy.example.com/cf/client/v4", "the-models-token"),
        ),
    ],
)
def test_logs_of_a_model_are_those_of_its_gateway(
    settings: dict[str, Any],
    expected: tuple[str | None, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", "of-the-environment")
    names = ("account", "gateway", "at", "with")
    assert followed(**settings) == dict(zip(names, expected, strict=True))


def test_logs_of_a_model_use_none_of_its_other_credentials() -> None:
    llm = ChatCloudflareDeepSeek(
        model="deepseek-flash", account_id=ACCOUNT, gateway_id="mine", **NATIVE
    )
    with pytest.raises(ValidationError, match="`api_token` is missing"):
        GatewayLogs.of(llm)
    settings = {**SETTINGS, "gateway_id": "local", "wait": 1.0}
    assert GatewayLogs.of(llm, **settings) == GatewayLogs(**settings)


def test_custom_domain_needs_an_explicit_gateway() -> None:
    llm = ChatCloudflareDeepSeek(
        model="deepseek-flash", account_id=ACCOUNT, base_url="https://ai.example.com/x", **NATIVE
    )
    with pytest.raises(ValidationError, match="`gateway_id` is missing"):
        GatewayLogs.of(llm, api_token="t")


def test_default_gateway_has_the_logs_of_requests_without_a_gateway(
    gw: LocalGateway, call: Call
) -> None:
    llm = gw.chat_model(routing="unified", gateway_id=None)
    message = llm.invoke("Hi")
    logs = GatewayLogs.of(llm)
    assert logs.gateway_id == "default"
    call(logs, "feedback", message, 1)
    assert call(logs, "get", message).feedback == 1


def run(code: str) -> str:
    done = run_python("-W", "error", "-c", code)
    return done.stdout + done.stderr


def test_imports_of_the_package_load_neither_the_logs_nor_the_sdk() -> None:
    names = "{'cloudflare', 'langchain_cf_deepseek.logs', 'langchain_cf_deepseek._logs_api'}"
    loading = "from langchain_cf_deepseek import ChatCloudflareDeepSeek, CFDeepSeekError"
    assert run(f"{loading}; import sys; print({names} & set(sys.modules))") == "set()\n"


def test_missing_logs_extra_names_what_to_install() -> None:
    blocked = "import sys; sys.modules['cloudflare'] = None; import langchain_cf_deepseek.logs"
    assert run(blocked).endswith(
        "ImportError: The gateway's logs need more packages: "
        'pip install "langchain-cf-deepseek[logs]"\n'
    )
