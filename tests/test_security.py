"""Credentials are sent only over verified TLS to the configured URL, and no error shows them."""

import json
import ssl
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import openai
import pytest
import trustme
from pydantic import ValidationError

from langchain_cf_deepseek import ChatCloudflareDeepSeek
from langchain_cf_deepseek._http import clients
from langchain_cf_deepseek.errors import CFDeepSeekConnectionError, CFDeepSeekInvalidRequestError
from langchain_cf_deepseek.local import LocalGateway
from tests.conftest import ACCOUNT, PATHS, Ask
from tests.tools import get_weather

KEY = "secret-of-deepseek"
TOKENS = {"gateway_token": "secret-of-the-gateway", "cloudflare_api_token": "secret-of-cloudflare"}
SECRETS = (KEY, *TOKENS.values(), "secret-of-a-header")

ANSWER = {
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}


class _Answering(BaseHTTPRequestHandler):
    server: "TlsServer"

    def do_POST(self) -> None:
        self.server.heard.append(self.headers["authorization"])
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(ANSWER).encode())

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class TlsServer(HTTPServer):
    """A TLS server whose certificate is valid for one host name, if its issuer is trusted."""

    def __init__(self, issuer: trustme.CA, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.heard: list[str | None] = []
        """The credentials of each request."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issuer.issue_cert(name).configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def chat_model(self, **settings: Any) -> ChatCloudflareDeepSeek:
        return ChatCloudflareDeepSeek(
            model="deepseek-flash",
            base_url=f"https://127.0.0.1:{self.server_address[1]}/deepseek",
            **{"api_key": KEY, "max_retries": 0, **settings},
        )


@pytest.fixture(scope="module")
def issuer() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(issuer: trustme.CA, request: pytest.FixtureRequest) -> Iterator[TlsServer]:
    with TlsServer(issuer, getattr(request, "param", "127.0.0.1")) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _certificates_are_read_anew() -> Iterator[None]:
    clients._ssl_context.cache_clear()
    yield
    clients._ssl_context.cache_clear()


OFF_ELSEWHERE = {
    "CURL_CA_BUNDLE": "",
    "NODE_TLS_REJECT_UNAUTHORIZED": "0",
    "PYTHONHTTPSVERIFY": "0",
    "REQUESTS_CA_BUNDLE": "",
    "SSL_CERT_DIR": "",
    "SSL_CERT_FILE": "",
}
"""Variables that turn verification off for other clients, or seem to."""


@pytest.mark.parametrize("variable", [None, *OFF_ELSEWHERE])
def test_untrusted_server_receives_nothing(
    tls: TlsServer, ask: Ask, variable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable:
        monkeypatch.setenv(variable, OFF_ELSEWHERE[variable])
    with pytest.raises(CFDeepSeekConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        ask(tls.chat_model(), "Hello")
    assert tls.heard == []


def _trust(issuer: trustme.CA, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    issuer.cert_pem.write_to_path(folder / "issuer.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "issuer.pem"))


def test_private_issuer_is_trusted_where_ssl_cert_file_names_it(
    tls: TlsServer, issuer: trustme.CA, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _trust(issuer, tmp_path, monkeypatch)
    assert ask(tls.chat_model(), "Hello").content == "Hi."
    assert tls.heard == [f"Bearer {KEY}"]


@pytest.mark.parametrize("tls", ["elsewhere.example.com"], indirect=True)
def test_certificate_of_another_host_is_rejected(
    tls: TlsServer, issuer: trustme.CA, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _trust(issuer, tmp_path, monkeypatch)
    with pytest.raises(CFDeepSeekConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        ask(tls.chat_model(), "Hello")
    assert tls.heard == []


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_that_cannot_be_read_are_an_error_naming_the_variable(
    tls: TlsServer,
    ask: Ask,
    content: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "issuer.pem"
    if content:
        file.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(CFDeepSeekConnectionError, match="Correct SSL_CERT_FILE"):
        ask(tls.chat_model(), "Hello")
    assert tls.heard == []


@pytest.mark.parametrize("argument", ["verify", "verify_ssl", "ssl_verify", "insecure"])
def test_tls_verification_cannot_be_turned_off_by_an_argument(
    gw: LocalGateway, argument: str
) -> None:
    with pytest.raises(ValidationError, match=f"unknown argument `{argument}`"):
        gw.chat_model(**{argument: False})


def _redirect(gw: LocalGateway) -> None:
    elsewhere = gw.base_url().replace("127.0.0.1", "localhost")
    gw.fault(status=307, headers={"location": f"{elsewhere}/chat/completions"})


@pytest.mark.parametrize("path", ["invoke", "stream"])
def test_http_client_of_the_caller_follows_no_redirect(gw: LocalGateway, path: str) -> None:
    _redirect(gw)
    with (
        openai.DefaultHttpxClient(follow_redirects=True) as own,
        pytest.raises(CFDeepSeekInvalidRequestError, match="redirect"),
    ):
        PATHS[path](gw.chat_model(http_client=own), "Hello")
    assert len(gw.requests) == 1


async def test_http_async_client_of_the_caller_follows_no_redirect(gw: LocalGateway) -> None:
    _redirect(gw)
    async with openai.DefaultAsyncHttpxClient(follow_redirects=True) as own:
        with pytest.raises(CFDeepSeekInvalidRequestError, match="redirect"):
            await gw.chat_model(http_async_client=own).ainvoke("Hello")
    assert len(gw.requests) == 1


REFUSED: dict[str, dict[str, Any]] = {
    "a control character in a credential": {"gateway_token": f"{KEY}\n"},
    "white space in a credential": {"api_key": f"{KEY} {KEY}"},
    "a header in a header": {"default_headers": {"X-Team": "secret-of-a-header\r\nX-Evil: b"}},
    "a field of the wrong type": {"temperature": "hot"},
    "a misspelt credential": {"apikey": KEY},
    "a credential under another provider's name": {"openai_api_key": KEY},
    "plain http to elsewhere": {"base_url": "http://ai.example.com"},
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_credentials_are_not_shown_by_a_rejected_setting(gw: LocalGateway, mistake: str) -> None:
    settings = {"api_key": KEY, **TOKENS, "default_headers": {"X-Team": "secret-of-a-header"}}
    with pytest.raises(ValidationError) as caught:
        gw.chat_model(**settings | REFUSED[mistake])
    error = caught.value
    told = (str(error), repr(error), repr(error.errors()), repr(error.__cause__))
    assert [secret for secret in SECRETS if any(secret in text for text in told)] == []


def test_credentials_are_not_shown_by_warnings(gw: LocalGateway) -> None:
    llm = gw.chat_model(
        routing="unified",
        account_id=ACCOUNT,
        api_key=KEY,
        gateway_token=TOKENS["gateway_token"],
        gateway={"byok_alias": "mine"},
        thinking="enabled",
        default_headers={"X-Team": "secret-of-a-header"},
    )
    bound = llm.bind_tools([get_weather], tool_choice="get_weather", strict=True)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        bound.invoke("Hello")
        llm.model_dump()
        llm.model_dump_json()
    texts = [str(warning.message) for warning in said]
    assert len(texts) == 3
    secrets = (*SECRETS, gw.cloudflare_api_token)
    assert [text for text in texts if any(secret in text for secret in secrets)] == []
