"""The URL of a request, the model name on the wire, and the credentials that are sent."""

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from langchain_cf_deepseek import ChatCloudflareDeepSeek
from langchain_cf_deepseek.local import LocalGateway
from tests.conftest import ACCOUNT, Ask

ALL_CREDENTIALS: dict[str, Any] = {
    "api_key": "deepseek-key",
    "gateway_token": "gateway-token",
    "cloudflare_api_token": "cloudflare-token",
}

CREDENTIAL_HEADERS = ("authorization", "cf-aig-authorization", "cf-aig-gateway-id")


@pytest.mark.parametrize(
    ("routing", "endpoint"),
    [
        (
            "provider-native",
            f"https://gateway.ai.cloudflare.com/v1/{ACCOUNT}/my-gateway/deepseek/chat/completions",
        ),
        (
            "unified",
            f"https://api.cloudflare.com/client/v4/accounts/{ACCOUNT}/ai/v1/chat/completions",
        ),
        (
            "compat",
            f"https://gateway.ai.cloudflare.com/v1/{ACCOUNT}/my-gateway/compat/chat/completions",
        ),
    ],
)
def test_routing_has_its_url(routing: Any, endpoint: str) -> None:
    llm = ChatCloudflareDeepSeek(
        model="deepseek-flash",
        routing=routing,
        account_id=ACCOUNT,
        gateway_id="my-gateway",
        **ALL_CREDENTIALS,
    )
    assert llm.endpoint == endpoint


def test_unified_routing_needs_no_gateway_id() -> None:
    llm = ChatCloudflareDeepSeek(
        model="deepseek-flash",
        routing="unified",
        account_id=ACCOUNT,
        cloudflare_api_token=SecretStr("cloudflare-token"),
    )
    assert llm.endpoint == (
        f"https://api.cloudflare.com/client/v4/accounts/{ACCOUNT}/ai/v1/chat/completions"
    )


@pytest.mark.parametrize("model", ["deepseek-flash", "deepseek/deepseek-flash"])
@pytest.mark.parametrize(
    ("routing", "path", "wire_model", "credentials"),
    [
        (
            "provider-native",
            f"/v1/{ACCOUNT}/local/deepseek/chat/completions",
            "deepseek-flash",
            {
                "authorization": "Bearer local-deepseek-key",
                "cf-aig-authorization": "Bearer local-gateway-token",
            },
        ),
        (
            "unified",
            f"/client/v4/accounts/{ACCOUNT}/ai/v1/chat/completions",
            "deepseek/deepseek-flash",
            {"authorization": "Bearer local-cloudflare-token", "cf-aig-gateway-id": "local"},
        ),
        (
            "compat",
            f"/v1/{ACCOUNT}/local/compat/chat/completions",
            "deepseek/deepseek-flash",
            {
                "authorization": "Bearer local-deepseek-key",
                "cf-aig-authorization": "Bearer local-gateway-token",
            },
        ),
    ],
)
def test_routing_sends_its_model_name_and_only_its_credentials(
    gw: LocalGateway,
    ask: Ask,
    model: str,
    routing: Any,
    path: str,
    wire_model: str,
    credentials: dict[str, str],
) -> None:
    llm = gw.chat_model(
        model=model,
        routing=routing,
        api_key=gw.api_key,
        gateway_token=gw.gateway_token,
        cloudflare_api_token=gw.cloudflare_api_token,
    )
    ask(llm, "Hello")
    (request,) = gw.requests
    assert (request.method, request.path, request.body["model"]) == ("POST", path, wire_model)
    sent = {name: request.headers[name] for name in CREDENTIAL_HEADERS if name in request.headers}
    assert sent == credentials


def test_stored_key_means_no_authorization_header(ask: Ask) -> None:
    with LocalGateway(stored_key=True) as gw:
        answer = ask(gw.chat_model(api_key=None), "Hello")
        (request,) = gw.requests
    assert answer.content
    assert "authorization" not in request.headers
    assert request.headers["cf-aig-authorization"] == "Bearer local-gateway-token"


def test_gateway_without_authentication_needs_no_gateway_token(ask: Ask) -> None:
    with LocalGateway(authenticated=False) as gw:
        ask(gw.chat_model(gateway_token=None), "Hello")
        (request,) = gw.requests
    assert request.headers["authorization"] == "Bearer local-deepseek-key"
    assert "cf-aig-authorization" not in request.headers


@pytest.mark.parametrize(
    "model",
    ["dynamic/support", "@cf/deepseek-ai/deepseek-v4-pro-0813", "custom-mine/x", "cloudflare/auto"],
)
@pytest.mark.parametrize("routing", ["unified", "compat"])
def test_cloudflare_model_names_are_sent_unchanged_where_they_are_served(
    gw: LocalGateway, routing: Any, model: str
) -> None:
    assert gw.chat_model(model=model, routing=routing).invoke("Hello").content
    assert gw.requests[-1].body["model"] == model


def test_model_of_a_call_is_resolved_like_the_configured_one(gw: LocalGateway, ask: Ask) -> None:
    ask(gw.chat_model(routing="unified"), "Hello", model="deepseek-v4-pro")
    assert gw.requests[-1].body["model"] == "deepseek/deepseek-v4-pro"


@pytest.mark.parametrize("routing", ["provider-native", "unified", "compat"])
def test_environment_sets_every_credential_and_id(
    gw: LocalGateway, monkeypatch: pytest.MonkeyPatch, routing: Any
) -> None:
    for name, value in gw.environment(routing).items():
        monkeypatch.setenv(name, value)
    assert ChatCloudflareDeepSeek(model="deepseek-flash").invoke("Hello").content


def test_environment_variable_that_is_empty_counts_as_unset(
    gw: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CLOUDFLARE_AI_GATEWAY_ROUTING", "CLOUDFLARE_API_TOKEN", "CLOUDFLARE_GATEWAY_ID"):
        monkeypatch.setenv(name, "")
    llm = gw.chat_model()
    assert llm.routing == "provider-native"
    assert llm.cloudflare_api_token is None


NATIVE: dict[str, Any] = {
    "account_id": ACCOUNT,
    "gateway_id": "my-gateway",
    "api_key": "deepseek-key",
}
UNIFIED: dict[str, Any] = {
    "routing": "unified",
    "account_id": ACCOUNT,
    "cloudflare_api_token": "cloudflare-token",
}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"gateway_id": "my-gateway", "api_key": "k"},
            "`account_id` is missing: pass it or set CLOUDFLARE_ACCOUNT_ID.",
        ),
        (
            NATIVE | {"account_id": ACCOUNT.upper()},
            (
                "`account_id` (CLOUDFLARE_ACCOUNT_ID) must be the account's 32 lower-case "
                "hexadecimal digits, not a text of 32 characters."
            ),
        ),
        (
            {"account_id": ACCOUNT, "api_key": "k"},
            (
                "`gateway_id` is missing: routing 'provider-native' needs it; pass it or set "
                "CLOUDFLARE_GATEWAY_ID."
            ),
        ),
        (
            NATIVE | {"gateway_id": "my gateway"},
            (
                "`gateway_id` (CLOUDFLARE_GATEWAY_ID) must be the gateway's name, up to 64 "
                "letters, "
                "digits, '-' and '_', not a text of 10 characters."
            ),
        ),
        (
            {"account_id": ACCOUNT, "gateway_id": "my-gateway", "cloudflare_api_token": "k"},
            (
                "routing 'provider-native' needs a credential: set `api_key` (DEEPSEEK_API_KEY) "
                "to a "
                "DeepSeek key, or `gateway_token` (CF_AIG_TOKEN) to use a key stored in the "
                "gateway."
            ),
        ),
        (
            NATIVE | {"routing": "unified", "gateway_token": "k"},
            (
                "routing 'unified' needs a credential: set `cloudflare_api_token` "
                "(CLOUDFLARE_API_TOKEN) to a Cloudflare token with the permission Workers AI Read."
            ),
        ),
        (
            NATIVE | {"api_key": "two\nlines"},
            (
                "`api_key` (DEEPSEEK_API_KEY) must be printable ASCII without white space: it "
                "is sent in an HTTP header."
            ),
        ),
        (
            NATIVE | {"base_url": "https://ai.example.com/deepseek/chat/completions"},
            (
                "`base_url` (CLOUDFLARE_AI_GATEWAY_BASE_URL) must end before /chat/completions, "
                "which "
                "is added to it."
            ),
        ),
        (
            NATIVE | {"base_url": "http://ai.example.com/deepseek"},
            (
                "`base_url` (CLOUDFLARE_AI_GATEWAY_BASE_URL) must use https: http would send "
                "credentials unencrypted to 'ai.example.com'."
            ),
        ),
        (
            NATIVE | {"base_url": "ai.example.com/deepseek"},
            (
                "`base_url` (CLOUDFLARE_AI_GATEWAY_BASE_URL) must be a complete URL such as "
                "https://ai.example.com/deepseek."
            ),
        ),
        (
            NATIVE | {"base_url": "https://[::1"},
            "`base_url` (CLOUDFLARE_AI_GATEWAY_BASE_URL) is not a URL: Invalid IPv6 URL.",
        ),
        (
            NATIVE | {"base_url": "https://me:secret@ai.example.com"},
            (
                "`base_url` (CLOUDFLARE_AI_GATEWAY_BASE_URL) must not contain a user name or "
                "password: use the credential fields."
            ),
        ),
        (
            NATIVE | {"base_url": "https://ai.example.com/deepseek?x=1"},
            (
                "`base_url` (CLOUDFLARE_AI_GATEWAY_BASE_URL) must end before '?' and '#': use "
                "`default_query` for a query."
            ),
        ),
        (
            NATIVE | {"model": "dynamic/support"},
            (
                "`model` 'dynamic/support' is not served on `routing` 'provider-native', which has "
                'only DeepSeek\'s own models: use routing="unified" '
                '(CLOUDFLARE_AI_GATEWAY_ROUTING), or routing="compat".'
            ),
        ),
        (
            UNIFIED | {"model": "openai/gpt-5"},
            (
                "`model` 'openai/gpt-5' is not a recognised model name: use one like "
                "'deepseek-flash', or on unified and compat also 'dynamic/<route>', '@cf/...', "
                "'custom-<slug>/...' or 'cloudflare/auto'."
            ),
        ),
        (
            NATIVE | {"temprature": 0},
            "unknown argument `temprature`: did you mean `temperature`?",
        ),
        (
            NATIVE | {"ttl_of_everything_xyz": 0},
            "unknown argument `ttl_of_everything_xyz`: use `extra_body` to send it.",
        ),
        (
            NATIVE | {"use_responses_api": True},
            (
                "`use_responses_api` is not for this model: DeepSeek's chat completions are used; "
                "there is no other choice."
            ),
        ),
        (
            NATIVE | {"reasoning": {"effort": "high"}},
            "`reasoning` is not for this model: use `thinking` and `reasoning_effort`.",
        ),
        (
            NATIVE | {"output_version": "responses/v1"},
            "`output_version` must be 'v0' or 'v1'; others need OpenAI's Responses API.",
        ),
        (
            NATIVE | {"n": 2},
            "`n` must be 1: DeepSeek returns one completion per request; use `batch` for several.",
        ),
        (NATIVE | {"top_logprobs": 5}, "`top_logprobs` needs `logprobs=True`."),
        (
            NATIVE | {"thinking": "disabled", "reasoning_effort": "high"},
            "`thinking` is disabled, so `reasoning_effort` 'high' has no effect.",
        ),
        (
            NATIVE | {"thinking": "enabled", "reasoning_effort": "none"},
            "`reasoning_effort` 'none' turns thinking off, but `thinking` turns it on.",
        ),
        (
            NATIVE | {"reasoning_effort": "extreme"},
            (
                "`reasoning_effort` must be one of none, minimal, low, medium, high, xhigh, max, "
                "ultra, not 'extreme'."
            ),
        ),
        (NATIVE | {"user_id": "ü" * 257}, "`user_id` must be at most 512 bytes."),
        (
            NATIVE | {"default_headers": {"X-Team": "a\r\nX-Evil: b"}},
            (
                "header 'X-Team': names and values must be printable ASCII in one line, without "
                "white space at their ends."
            ),
        ),
    ],
)
def test_invalid_settings_raise_one_sentence_at_construction(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        ChatCloudflareDeepSeek(**{"model": "deepseek-flash", **settings})
    (error,) = caught.value.errors()
    assert error["msg"] == f"Value error, {message}"
    assert "deepseek-key" not in str(caught.value)


@pytest.mark.parametrize(
    "base_url", ["http://localhost:8787/x", "http://127.0.0.1:8787/x", "http://[::1]:8787/x"]
)
def test_plain_http_is_allowed_to_loopback_addresses(base_url: str) -> None:
    llm = ChatCloudflareDeepSeek(model="deepseek-flash", base_url=base_url, api_key=SecretStr("k"))
    assert llm.endpoint == f"{base_url}/chat/completions"


def test_base_url_replaces_everything_before_chat_completions() -> None:
    llm = ChatCloudflareDeepSeek(
        model="deepseek-flash", base_url="https://ai.example.com/deepseek/", api_key=SecretStr("k")
    )
    assert llm.endpoint == "https://ai.example.com/deepseek/chat/completions"


def test_cloudflare_access_headers_of_the_caller_are_the_credential(gw: LocalGateway) -> None:
    """On a custom domain Cloudflare Access can replace the gateway token."""
    llm = gw.chat_model(
        api_key=None,
        gateway_token=None,
        default_headers={
            "CF-Access-Client-Id": "client",
            "CF-Access-Client-Secret": SecretStr("access-secret"),
            "CF-AIG-Authorization": f"Bearer {gw.gateway_token}",
            "authorization": f"Bearer {gw.api_key}",
        },
    )
    llm.invoke("Hello")
    headers = gw.requests[-1].headers
    assert headers["cf-access-client-secret"] == "access-secret"
    assert headers["authorization"] == f"Bearer {gw.api_key}"
    assert "access-secret" not in repr(llm)


def test_proxy_of_the_environment_is_not_used_for_loopback_addresses(
    gw: LocalGateway, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert ask(gw.chat_model(), "Hello").content


MARKER = "marker-of-another-service"


def test_settings_of_openai_and_langsmith_do_not_reach_the_wire(
    gw: LocalGateway, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "OPENAI_API_KEY",
        "OPENAI_ADMIN_KEY",
        "OPENAI_ORG_ID",
        "OPENAI_ORGANIZATION",
        "OPENAI_PROJECT_ID",
        "OPENAI_WEBHOOK_SECRET",
        "LANGSMITH_API_KEY",
        "LANGSMITH_GATEWAY_API_KEY",
    ):
        monkeypatch.setenv(name, MARKER)
    for name in (
        "OPENAI_BASE_URL",
        "OPENAI_API_BASE",
        "OPENAI_PROXY",
        "LANGSMITH_GATEWAY",
        "LANGSMITH_GATEWAY_URL",
    ):
        monkeypatch.setenv(name, f"https://{MARKER}.example.com/v1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"X-Leak: {MARKER}\nauthorization: Bearer {MARKER}")
    monkeypatch.setenv("LC_OUTPUT_VERSION", "responses/v1")
    answer = ask(gw.chat_model(), "Hello")
    assert isinstance(answer.content, str)
    (request,) = gw.requests
    assert request.path.endswith("/deepseek/chat/completions")
    assert MARKER not in repr(request)


@pytest.mark.parametrize("model", ["gpt-5-pro", "codex-mini", "deepseek-codex"])
def test_responses_api_is_never_used(model: str) -> None:
    llm = ChatCloudflareDeepSeek(model=model, **NATIVE)
    payload = llm._get_request_payload("Hello", tools=[{"type": "deepseek_web_search"}])
    assert payload["messages"] == [{"role": "user", "content": "Hello"}]
    assert llm.use_responses_api is None


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("api_base", "use `base_url`, or `account_id` and `gateway_id`"),
        ("deepseek_api_key", "use `api_key`"),
        ("api_token", "use `gateway_token`, or `cloudflare_api_token` on `unified`"),
        ("ai_gateway", "use `gateway_id`"),
        ("tools", "use `bind_tools`"),
        ("system", "begin the messages with a SystemMessage"),
        ("model_provider", "leave it out: this class is the provider"),
        (
            "cache_ttl",
            "an option of the gateway: use `gateway={'cache_ttl': ...}` or `with_gateway`",
        ),
        (
            "aig_skip_cache",
            "an option of the gateway: use `gateway={'skip_cache': ...}` or `with_gateway`",
        ),
        ("top_k", 'only Workers AI (`@cf/...`) reads it: use `extra_body={"top_k": ...}` there'),
    ],
)
def test_argument_names_of_other_classes_are_rejected_with_the_right_name(
    name: str, instead: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        ChatCloudflareDeepSeek(**{"model": "deepseek-flash", **NATIVE, name: "x"})
    (error,) = caught.value.errors()
    assert error["msg"] == f"Value error, `{name}` is not an argument of this model: {instead}."
