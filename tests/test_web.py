"""Search and Fetch as tools and retriever: requests, results, limits, errors, agents."""

import asyncio
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.load import dumps
from langchain_core.messages import ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_tests.integration_tests import RetrieversIntegrationTests, ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests
from pydantic import ValidationError

from langchain_cf_deepseek import ChatCloudflareDeepSeek, errors
from langchain_cf_deepseek.local import LocalGateway, ToolCall
from langchain_cf_deepseek.web import DeepSeekFetch, DeepSeekSearch, DeepSeekSearchRetriever
from tests.conftest import ACCOUNT
from tests.subprocesses import run_python
from tests.web_server import PAGE, RESULTS, Reply, WebServer, serving

Run = Callable[..., Any]
KEY = "sk-deepseek-key-0123456789"
PATH = "/v1/account/gateway/deepseek/v1/tools"
URL = "https://example.com/page"
TEXT = """\
[1] DeepSeek prices
https://api-docs.example/pricing
2026-10-20T08:00:00Z
Search costs USD 0.75 per 1,000.

[2] https://blog.example/deepseek
only an excerpt

[3] A third page
https://third.example/
Unknown keys stay."""
PAGE_TEXT = f"DeepSeek prices\n{URL}\n\n# Prices\n\nUSD 0.75"


@pytest.fixture
def web() -> Iterator[WebServer]:
    with serving() as server:
        yield server


@pytest.fixture(params=["invoke", "ainvoke"])
def run(request: pytest.FixtureRequest) -> Run:
    """Call a runnable, or its twin in an event loop of its own."""

    def call(runnable: Any, *args: Any, **kwargs: Any) -> Any:
        result = getattr(runnable, request.param)(*args, **kwargs)
        return asyncio.run(result) if request.param == "ainvoke" else result

    return call


def settings(web: WebServer, **more: Any) -> dict[str, Any]:
    return {"base_url": web.base_url, "api_key": KEY, "max_retries": 0} | more


def as_call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_call", "id": "call-1", "name": name, "args": arguments}


def search_of(web: WebServer, **more: Any) -> DeepSeekSearch:
    return DeepSeekSearch(**settings(web, **more))


CALLERS: dict[str, Callable[[WebServer, Run], Any]] = {
    "search": lambda web, run: run(search_of(web), {"query": "q"}),
    "fetch": lambda web, run: run(DeepSeekFetch(**settings(web)), {"url": URL}),
    "retriever": lambda web, run: run(DeepSeekSearchRetriever(**settings(web)), "q"),
}


@pytest.fixture(params=CALLERS)
def caller(request: pytest.FixtureRequest) -> Callable[[WebServer, Run], Any]:
    return CALLERS[request.param]


def test_a_search_returns_numbered_text_and_the_results_as_received(
    web: WebServer, run: Run
) -> None:
    search = search_of(web)
    assert run(search, {"query": "prices"}) == run(search, "prices") == TEXT
    assert run(search, as_call("deepseek_search", query="prices", count=3)) == ToolMessage(
        TEXT, artifact=RESULTS, name="deepseek_search", tool_call_id="call-1"
    )
    assert web.requests == [
        {"path": f"{PATH}/search", "body": {"query": "prices", "count": count}}
        for count in (10, 10, 3)
    ]


def test_a_search_sends_its_own_fields_unless_the_call_has_others(web: WebServer, run: Run) -> None:
    search = search_of(web, count=2, localization="203.0.113.7", need_content=True)
    run(search, {"query": "q"})
    other = {"count": 1, "ori_question": "Q?", "localization": "2001:db8::1", "need_content": False}
    run(search, {"query": "q", **other})
    run(search, {"query": "q", "localization": ""})
    own = {"query": "q", "count": 2, "localization": "203.0.113.7", "need_content": True}
    assert [request["body"] for request in web.requests] == [
        own,
        {"query": "q", "count": 1, "ori_question": "Q?", "localization": "2001:db8::1"},
        {"query": "q", "count": 2, "need_content": True},
    ]


def test_a_fetch_returns_the_page_as_text_and_as_received(web: WebServer, run: Run) -> None:
    fetch = DeepSeekFetch(**settings(web))
    assert run(fetch, {"url": URL}) == run(fetch, URL) == PAGE_TEXT
    assert run(fetch, as_call("deepseek_fetch", url=URL)) == ToolMessage(
        PAGE_TEXT, artifact=PAGE, name="deepseek_fetch", tool_call_id="call-1"
    )
    assert web.requests == [{"path": f"{PATH}/fetch", "body": {"url": URL}}] * 3


def test_a_retriever_returns_documents_with_metadata(web: WebServer, run: Run) -> None:
    retriever = DeepSeekSearchRetriever(**settings(web), count=2)
    assert run(retriever, "prices") == [
        Document(
            "Search costs USD 0.75 per 1,000.",
            metadata={
                "url": "https://api-docs.example/pricing",
                "title": "DeepSeek prices",
                "date": "2026-10-20T08:00:00Z",
                "score": 2.1,
                "authority": 3,
                "site_name": "DeepSeek",
            },
        ),
        Document(
            "only an excerpt",
            metadata={
                "url": "https://blog.example/deepseek",
                "title": None,
                "date": None,
                "score": 0.4,
                "authority": -1,
                "site_name": None,
            },
        ),
    ]
    assert web.requests[-1]["body"] == {"query": "prices", "count": 2}


def test_a_retriever_prefers_the_text_of_the_page_if_asked_for(web: WebServer, run: Run) -> None:
    results = [{"content": "the whole page", "summary": "s"}, {"content": "", "summary": "s"}]
    web.replies = [Reply({"results": results})] * 2
    retriever = DeepSeekSearchRetriever(**settings(web))
    texts = [
        [document.page_content for document in run(retriever, "q", need_content=asked)]
        for asked in (True, False)
    ]
    assert texts == [["the whole page", "s"], ["s", "s"]]


@pytest.mark.parametrize("results", [[], None])
def test_a_search_without_results_is_not_an_error(web: WebServer, run: Run, results: Any) -> None:
    web.replies = [Reply({"results": results})] * 2
    message = run(search_of(web), as_call("deepseek_search", query="q"))
    assert (message.content, message.artifact, message.status) == (
        "The search found no results.",
        [],
        "success",
    )
    assert run(DeepSeekSearchRetriever(**settings(web)), "q") == []


def test_results_may_lack_every_value(web: WebServer, run: Run) -> None:
    results = [dict.fromkeys(RESULTS[0]), {}, {"title": 7, "url": ["x"], "summary": "a \ud83d b"}]
    web.replies = [Reply({"results": results})] * 2
    message = run(search_of(web), as_call("deepseek_search", query="q"))
    assert message.content == "[1] \n\n[2] \n\n[3] a \ufffd b"
    assert message.artifact == results
    documents = run(DeepSeekSearchRetriever(**settings(web)), "q")
    assert [document.page_content for document in documents] == ["", "", "a \ufffd b"]


@pytest.mark.parametrize("content", ["", None])
def test_a_page_may_be_empty(web: WebServer, run: Run, content: Any) -> None:
    page = {"title": None, "content": content, "error": None}
    web.replies = [Reply(page)]
    message = run(DeepSeekFetch(**settings(web)), as_call("deepseek_fetch", url=URL))
    assert (message.content, message.artifact) == (f"{URL}\n\nThe page has no text.", page)


BAD_ARGUMENTS: list[tuple[type[Any], dict[str, Any], str]] = [
    (DeepSeekSearch, {}, "`query`"),
    (DeepSeekSearch, {"query": ""}, "`query`"),
    (DeepSeekSearch, {"query": " \n"}, "`query`: must not be blank"),
    (DeepSeekSearch, {"query": "x" * 129}, "`query`: .*128 characters"),
    (DeepSeekSearch, {"query": "\u8bcd" * 129}, "`query`: .*128 characters"),
    (DeepSeekSearch, {"query": None}, "`query`"),
    (DeepSeekSearch, {"query": "q", "count": 0}, "`count`"),
    (DeepSeekSearch, {"query": "q", "count": 51}, "`count`"),
    (DeepSeekSearch, {"query": "q", "count": "many"}, "`count`"),
    (DeepSeekSearch, {"query": "q", "ori_question": 1}, "`ori_question`"),
    (DeepSeekSearch, {"query": "q", "localization": "en"}, "`localization`: .*IP address"),
    (DeepSeekSearch, {"query": "q", "language": "en"}, "`language`"),
    (DeepSeekFetch, {"url": ""}, "`url`"),
    (DeepSeekFetch, {"url": "example.com"}, "`url`: .*whole http"),
    (DeepSeekFetch, {"url": "file:///etc/passwd"}, "`url`: .*whole http"),
    (DeepSeekFetch, {"url": "https://"}, "`url`: .*whole http"),
    (DeepSeekFetch, {"url": "https://[::1"}, "`url`: .*whole http"),
    (DeepSeekFetch, {"url": "https://a.example:99999/"}, "`url`: .*whole http"),
    (DeepSeekFetch, {"url": "https://me:hunter2@a.example/"}, "`url`: .*user name or password"),
    (DeepSeekFetch, {"url": "https://@a.example/"}, "`url`: .*user name or password"),
    (DeepSeekFetch, {"url": "https://a.example/a b"}, "`url`: .*white space"),
    (DeepSeekFetch, {"url": "https://a.example/\n"}, "`url`: .*white space"),
    (DeepSeekFetch, {"url": "https://a.example/" + "x" * 8192}, "`url`: .*8192 characters"),
]


@pytest.mark.parametrize(("tool_class", "arguments", "message"), BAD_ARGUMENTS)
def test_an_invalid_argument_is_rejected_before_sending(
    web: WebServer, run: Run, tool_class: Any, arguments: dict[str, Any], message: str
) -> None:
    tool = tool_class(**settings(web))
    with pytest.raises(errors.CFDeepSeekInvalidRequestError, match=message) as caught:
        run(tool, arguments)
    assert (caught.value.origin, caught.value.is_retryable) == ("client", False)
    assert "hunter2" not in str(caught.value)
    answer = run(tool, as_call(tool.name, **arguments))
    assert (answer.status, answer.tool_call_id, answer.name) == ("error", "call-1", tool.name)
    assert answer.content == f"Error: {caught.value.message}"
    assert web.requests == []


@pytest.mark.parametrize("query", ["", "x" * 129])
def test_a_string_as_input_is_checked_too(web: WebServer, run: Run, query: str) -> None:
    for made in (search_of(web), DeepSeekSearchRetriever(**settings(web))):
        with pytest.raises(errors.CFDeepSeekInvalidRequestError, match="`query`"):
            run(made, query)
    with pytest.raises(errors.CFDeepSeekInvalidRequestError, match="`url`"):
        run(DeepSeekFetch(**settings(web)), "no address")
    with pytest.raises(errors.CFDeepSeekInvalidRequestError, match="`k`"):
        run(DeepSeekSearchRetriever(**settings(web)), "q", k=3)
    assert web.requests == []


def test_the_longest_arguments_are_sent_unchanged(web: WebServer, run: Run) -> None:
    query, url = "\u8bcd" * 127 + "\U0001f600", "https://a.example/" + "x" * (8192 - 18)
    run(search_of(web), {"query": query, "count": 50})
    run(search_of(web), {"query": "x" * 127 + "\ud83d\ude00"})
    run(DeepSeekFetch(**settings(web)), {"url": url})
    assert [request["body"] for request in web.requests] == [
        {"query": query, "count": 50},
        {"query": "x" * 127 + "\U0001f600", "count": 10},
        {"url": url},
    ]


@pytest.mark.parametrize(
    ("question", "sent"),
    [
        ("a  b\n c", {"ori_question": "a b c"}),
        ("word " * 100, {"ori_question": ("word " * 100)[:128]}),
        (" \n", {}),
        (None, {}),
    ],
)
def test_the_users_question_is_shortened_as_by_the_official_client(
    web: WebServer, run: Run, question: str | None, sent: dict[str, str]
) -> None:
    run(search_of(web), {"query": "q", "ori_question": question})
    run(DeepSeekSearchRetriever(**settings(web)), "q", ori_question=question)
    assert [request["body"] for request in web.requests] == [
        {"query": "q", "count": 10, **sent}
    ] * 2


def test_a_model_is_shown_the_arguments_that_it_can_know(web: WebServer) -> None:
    search, fetch = search_of(web), DeepSeekFetch(**settings(web))
    shown = [convert_to_openai_tool(tool)["function"] for tool in (search, fetch)]
    assert [(tool["name"], set(tool["parameters"]["properties"])) for tool in shown] == [
        ("deepseek_search", {"query", "count", "ori_question"}),
        ("deepseek_fetch", {"url"}),
    ]
    assert shown[0]["parameters"]["required"] == ["query"]


HEADERS = {
    "authorization": f"Bearer {KEY}",
    "cf-aig-authorization": "Bearer gateway-token-0123",
    "cf-aig-cache-ttl": "3600",
    "cf-aig-metadata": '{"team":"search"}',
    "x-own": "own value",
}
FULL: dict[str, Any] = {
    "api_key": KEY,
    "gateway_token": "gateway-token-0123",
    "gateway": {"cache_ttl": 3600, "metadata": {"team": "search"}},
    "default_headers": {"X-Own": "own value"},
    "default_query": {"v": "1"},
}


@pytest.mark.parametrize("source", ["model", "settings"])
def test_the_settings_of_a_model_are_used(web: WebServer, run: Run, source: str) -> None:
    full = FULL | {"base_url": web.base_url}
    llm = ChatCloudflareDeepSeek(model="deepseek-pro", **full)
    classes: list[Any] = [DeepSeekSearch, DeepSeekFetch, DeepSeekSearchRetriever]
    for made in [each.of(llm) if source == "model" else each(**full) for each in classes]:
        run(made, URL)
    assert [request["path"] for request in web.requests] == [
        f"{PATH}/{api}?v=1" for api in ("search", "fetch", "search")
    ]
    sent = [{name: each.get(name) for name in HEADERS} for each in web.headers]
    assert sent == [HEADERS] * 3


def test_a_search_reads_the_environment(
    web: WebServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDFLARE_AI_GATEWAY_BASE_URL", f"{web.base_url}/v1/")
    monkeypatch.setenv("CF_AIG_TOKEN", "gateway-token-0123")
    run(DeepSeekSearch(), "q")
    assert web.requests[0]["path"] == f"{PATH}/search"
    assert "authorization" not in web.headers[0]
    assert web.headers[0]["cf-aig-authorization"] == "Bearer gateway-token-0123"


@pytest.mark.parametrize("routing", ["unified", "compat"])
def test_a_model_of_another_routing_gives_its_account_and_gateway(
    routing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", KEY)
    ids = {"account_id": ACCOUNT, "gateway_id": "my-gateway"}
    llm = ChatCloudflareDeepSeek(
        model="dynamic/mine", routing=routing, cloudflare_api_token="cf-token", **ids
    )
    url = f"https://gateway.ai.cloudflare.com/v1/{ACCOUNT}/my-gateway/deepseek/v1/tools"
    assert DeepSeekSearch.of(llm).endpoint == f"{url}/search"
    assert DeepSeekFetch.of(llm).endpoint == f"{url}/fetch"
    monkeypatch.setenv("CLOUDFLARE_AI_GATEWAY_ROUTING", routing)
    assert DeepSeekSearchRetriever(**ids).endpoint == f"{url}/search"


@pytest.mark.parametrize("routing", ["unified", "compat"])
def test_the_base_url_of_another_routing_is_rejected(
    web: WebServer, monkeypatch: pytest.MonkeyPatch, routing: Any
) -> None:
    own = {"api_key": KEY, "cloudflare_api_token": "cf-token"}
    llm = ChatCloudflareDeepSeek(model="x", routing=routing, base_url=web.url, **own)
    with pytest.raises(ValidationError, match=f"`base_url`.*{routing}.*`provider-native`"):
        DeepSeekSearch.of(llm)
    assert DeepSeekSearch.of(llm, base_url=web.base_url).endpoint == f"{web.url}{PATH}/search"
    monkeypatch.setenv("CLOUDFLARE_AI_GATEWAY_ROUTING", routing)
    monkeypatch.setenv("CLOUDFLARE_AI_GATEWAY_BASE_URL", web.url)
    with pytest.raises(ValidationError, match=f"`base_url`.*{routing}.*`provider-native`"):
        DeepSeekSearch(api_key=KEY)


def test_a_custom_provider_is_a_base_url() -> None:
    base_url = f"https://gateway.ai.cloudflare.com/v1/{ACCOUNT}/my-gateway/custom-deepseek"
    llm = ChatCloudflareDeepSeek(
        model="deepseek-flash", account_id=ACCOUNT, gateway_id="my-gateway", api_key=KEY
    )
    assert DeepSeekFetch.of(llm, base_url=base_url).endpoint == f"{base_url}/v1/tools/fetch"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"api_key": None}, "DEEPSEEK_API_KEY"),
        ({"api_key": f"{KEY} {KEY}"}, "`api_key`.*printable ASCII"),
        ({"base_url": "http://gateway.example/deepseek"}, "`base_url`.*https"),
        ({"timeout": -1}, "`timeout`"),
        ({"gateway": {"cache_ttl": 1}}, "cache_ttl"),
        ({"count": 51}, "count"),
        ({"localization": "zh"}, "localization.*\n.*IP address"),
        ({"temperature": KEY}, "temperature"),
        ({"llm": KEY}, "llm"),
    ],
)
def test_an_invalid_setting_is_rejected_at_construction(
    web: WebServer, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        DeepSeekSearch(**settings(web, **wrong))
    assert KEY not in f"{caught.value!r} {caught.value.errors()}"


def test_no_text_of_a_tool_holds_a_credential(web: WebServer) -> None:
    full = FULL | {"base_url": web.base_url, "default_headers": {"X-Own": KEY}}
    for made in (DeepSeekSearch(**full), DeepSeekFetch(**full), DeepSeekSearchRetriever(**full)):
        text = f"{made!r} {made} {dumps(made)} {made.model_dump()} {made.llm!r}"
        assert KEY not in text
        assert "gateway-token-0123" not in text


def test_a_tool_can_be_pickled_and_copied(web: WebServer, run: Run) -> None:
    search = search_of(web, count=3)
    for copy in (pickle.loads(pickle.dumps(search)), search.model_copy(deep=True)):
        assert run(copy, "prices") == TEXT
    retriever = DeepSeekSearchRetriever.of(search.llm, count=1)
    assert len(run(pickle.loads(pickle.dumps(retriever)), "prices")) == 1


def error_body(message: str, code: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": code, "param": None, "code": code}}


BLOCKED = error_body("Content Exists Risk")
FAILURES: list[tuple[Reply, type[errors.CFDeepSeekError], str, bool]] = [
    (Reply(error_body("bad query"), 400), errors.CFDeepSeekInvalidRequestError, "deepseek", False),
    # Texts that have another meaning in a chat.
    (
        Reply(error_body("input is too long"), 400),
        errors.CFDeepSeekInvalidRequestError,
        "deepseek",
        False,
    ),
    (
        Reply(error_body("the model of x does not exist"), 400),
        errors.CFDeepSeekInvalidRequestError,
        "deepseek",
        False,
    ),
    (Reply(BLOCKED, 400), errors.CFDeepSeekContentBlockedError, "deepseek", False),
    (Reply(error_body("no key"), 401), errors.CFDeepSeekAuthenticationError, "deepseek", False),
    (
        Reply(error_body("Insufficient Balance"), 402),
        errors.CFDeepSeekInsufficientFundsError,
        "deepseek",
        False,
    ),
    (Reply(b"no such path", 404), errors.CFDeepSeekInvalidRequestError, "gateway", False),
    (
        Reply({"success": False, "errors": [{"code": 7000, "message": "No route"}]}, 404),
        errors.CFDeepSeekInvalidRequestError,
        "gateway",
        False,
    ),
    (
        Reply(b"<html><title>Not found | Cloudflare</title>", 404, {"cf-ray": "ray-1"}),
        errors.CFDeepSeekInvalidRequestError,
        "cloudflare-edge",
        False,
    ),
    (Reply(error_body("x"), 405), errors.CFDeepSeekInvalidRequestError, "deepseek", False),
    (Reply(error_body("slow"), 408), errors.CFDeepSeekTimeoutError, "deepseek", True),
    (Reply(error_body("too many"), 429), errors.CFDeepSeekRateLimitError, "deepseek", True),
    (Reply(error_body("broken"), 500), errors.CFDeepSeekAPIError, "deepseek", True),
    (Reply(b"<html>", 503), errors.CFDeepSeekAPIError, "gateway", True),
    (
        Reply({"success": False, "error": [{"code": 2003, "message": "Rate limited"}]}, 429),
        errors.CFDeepSeekRateLimitError,
        "gateway",
        True,
    ),
    # Failures with a status of success.
    (Reply(error_body("x", "rate_limit_error")), errors.CFDeepSeekRateLimitError, "deepseek", True),
    (Reply(b""), errors.CFDeepSeekAPIError, "gateway", True),
    (Reply(b"<html>sign in</html>"), errors.CFDeepSeekAPIError, "gateway", True),
    (Reply(b'{"results": ['), errors.CFDeepSeekAPIError, "gateway", True),
    (Reply(b"null"), errors.CFDeepSeekAPIError, "gateway", True),
    (Reply([]), errors.CFDeepSeekAPIError, "deepseek", True),
    (Reply("text"), errors.CFDeepSeekAPIError, "deepseek", True),
    (Reply({}), errors.CFDeepSeekAPIError, "deepseek", True),
    (Reply({"results": {}, "content": []}), errors.CFDeepSeekAPIError, "deepseek", True),
    (Reply({"results": [None], "content": 1}), errors.CFDeepSeekAPIError, "deepseek", True),
    (Reply({"choices": [], "title": "x"}), errors.CFDeepSeekAPIError, "deepseek", True),
    (Reply(b"[" * 100_000), errors.CFDeepSeekAPIError, "gateway", True),
    # A redirect could carry the key to another host.
    (
        Reply(b"", 307, {"location": "https://other.example/"}),
        errors.CFDeepSeekInvalidRequestError,
        "gateway",
        False,
    ),
    (
        Reply(b'{"results": [', claimed_length=1000),
        errors.CFDeepSeekConnectionError,
        "connection",
        True,
    ),
]


@pytest.mark.parametrize(("reply", "error", "origin", "is_retryable"), FAILURES)
def test_a_failure_is_the_error_of_its_kind(
    web: WebServer,
    run: Run,
    caller: Callable[[WebServer, Run], Any],
    reply: Reply,
    error: type[errors.CFDeepSeekError],
    origin: str,
    is_retryable: bool,
) -> None:
    web.replies = [reply]
    with pytest.raises(errors.CFDeepSeekError) as caught:
        caller(web, run)
    failure = caught.value
    assert (type(failure), failure.origin, failure.is_retryable) == (error, origin, is_retryable)
    assert len(web.requests) == 1


def test_a_page_that_cannot_be_fetched_is_a_fetch_error(web: WebServer, run: Run) -> None:
    web.replies = [Reply(error_body("fetch failed"), 404, {"cf-aig-log-id": "log-1"})]
    with pytest.raises(errors.CFDeepSeekFetchError) as caught:
        run(DeepSeekFetch(**settings(web)), URL)
    failure = caught.value
    assert isinstance(failure, openai.NotFoundError)
    assert not isinstance(failure, errors.CFDeepSeekModelNotFoundError)
    assert (failure.message, failure.is_retryable, failure.gateway) == (
        "fetch failed",
        False,
        {"log_id": "log-1"},
    )
    assert "Try another URL" in failure.hint


def test_a_search_has_no_page_that_can_be_missing(web: WebServer, run: Run) -> None:
    web.replies = [Reply(error_body("not found"), 404)]
    with pytest.raises(errors.CFDeepSeekInvalidRequestError, match=r"`base_url`.*custom provider"):
        run(search_of(web), "q")


def test_an_error_does_not_show_an_echoed_credential(
    web: WebServer, run: Run, caller: Callable[[WebServer, Run], Any]
) -> None:
    web.replies = [Reply(error_body(f"key {KEY} is bad"), 401)]
    with pytest.raises(errors.CFDeepSeekAuthenticationError) as caught:
        caller(web, run)
    assert KEY not in f"{caught.value} {caught.value!r} {caught.value.body} {caught.value.response}"


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (Reply(error_body("fetch failed"), 404), "Error: fetch failed"),
        (Reply(error_body("bad URL"), 400), "Error: bad URL"),
        (Reply(BLOCKED, 400), "Error: Content Exists Risk"),
    ],
)
def test_a_model_is_shown_what_other_arguments_can_avoid(
    web: WebServer, run: Run, reply: Reply, text: str
) -> None:
    web.replies = [reply]
    message = run(DeepSeekFetch(**settings(web)), as_call("deepseek_fetch", url=URL))
    assert message == ToolMessage(
        text, name="deepseek_fetch", tool_call_id="call-1", status="error"
    )


@pytest.mark.parametrize("status", [307, 401, 402, 403, 429, 500, 503])
def test_a_models_call_raises_what_other_arguments_cannot_avoid(
    web: WebServer, run: Run, status: int
) -> None:
    web.replies = [Reply(error_body("x"), status)]
    with pytest.raises(errors.CFDeepSeekError):
        run(DeepSeekFetch(**settings(web)), as_call("deepseek_fetch", url=URL))


def test_a_transient_failure_is_retried(web: WebServer, run: Run) -> None:
    again = {"retry-after": "0"}
    web.replies = [Reply(error_body("x"), status, again) for status in (408, 429, 500, 503)] + [
        Reply(b"{", claimed_length=9)
    ]
    assert run(search_of(web, max_retries=5), "q") == TEXT
    assert len(web.requests) == 6


def test_the_gateways_retries_replace_those_of_the_client(web: WebServer, run: Run) -> None:
    llm = ChatCloudflareDeepSeek(
        model="deepseek-flash", base_url=web.base_url, api_key=KEY, gateway={"max_attempts": 3}
    )
    web.replies = [Reply(error_body("x"), 503)]
    with pytest.raises(errors.CFDeepSeekAPIError):
        run(DeepSeekSearch.of(llm), "q")
    assert [headers["cf-aig-max-attempts"] for headers in web.headers] == ["3"]


def test_a_host_that_does_not_respond_is_a_connection_error(run: Run) -> None:
    with serving() as gone:
        tool = search_of(gone)
    with pytest.raises(errors.CFDeepSeekConnectionError):
        run(tool, as_call("deepseek_search", query="q"))


def test_a_supplied_client_is_used(web: WebServer) -> None:
    sent: list[str] = []
    with httpx.Client(
        event_hooks={"request": [lambda request: sent.append(request.url.path)]}
    ) as c:
        assert search_of(web, http_client=c).invoke("q") == TEXT
        assert not c.is_closed
    assert sent == [f"{PATH}/search"]


def test_searches_run_at_the_same_time(web: WebServer) -> None:
    search = search_of(web)

    async def many() -> list[str]:
        return list(await asyncio.gather(*(search.ainvoke(f"q{n}") for n in range(20))))

    assert asyncio.run(many()) == search.batch([f"q{n}" for n in range(20)]) == [TEXT] * 20
    queries = sorted(request["body"]["query"] for request in web.requests)
    assert queries == sorted([f"q{n}" for n in range(20)] * 2)


FIRST_CALL = """
import asyncio
from blockbuster import blockbuster_ctx
from langchain_cf_deepseek.web import DeepSeekSearch

async def main():
    search = DeepSeekSearch()
    with blockbuster_ctx():
        print(await search.ainvoke({"query": "prices"}))

asyncio.run(main())
"""


def test_the_first_async_call_of_a_process_does_not_block_its_event_loop(web: WebServer) -> None:
    variables = {"CLOUDFLARE_AI_GATEWAY_BASE_URL": web.base_url, "DEEPSEEK_API_KEY": KEY}
    done = run_python("-c", FIRST_CALL, env=variables)
    assert (done.stdout, done.stderr) == (f"{TEXT}\n", "")


def agent_of(gw: LocalGateway, web: WebServer) -> Any:
    llm = gw.chat_model()
    own = {"base_url": web.base_url, "max_retries": 0}
    return create_agent(llm, [DeepSeekSearch.of(llm, **own), DeepSeekFetch.of(llm, **own)])


def test_an_agent_cites_what_it_found(gw: LocalGateway, web: WebServer, run: Run) -> None:
    gw.reply(tool_calls=[ToolCall("deepseek_search", {"query": "DeepSeek prices"})])
    gw.reply(tool_calls=[ToolCall("deepseek_fetch", {"url": RESULTS[0]["url"]})])
    gw.reply(content="A search costs USD 0.00075 [1].")
    messages = run(agent_of(gw, web), {"messages": "What does a search cost?"})["messages"]
    assert [message.text for message in messages[2::2]] == [
        TEXT,
        PAGE_TEXT.replace(URL, RESULTS[0]["url"]),
    ]
    assert messages[2].artifact == RESULTS
    assert messages[-1].text == "A search costs USD 0.00075 [1]."
    assert [request["body"] for request in web.requests] == [
        {"query": "DeepSeek prices", "count": 10},
        {"url": RESULTS[0]["url"]},
    ]
    shown = gw.requests[-1].body["messages"]
    assert [each["content"] for each in shown if each["role"] == "tool"] == [
        message.text for message in messages[2:6:2]
    ]


def test_a_model_corrects_its_call_in_an_agent(gw: LocalGateway, web: WebServer, run: Run) -> None:
    web.replies = [Reply({"results": RESULTS}), Reply(error_body("fetch failed"), 404)]
    gw.reply(tool_calls=[ToolCall("deepseek_search", {"query": "x" * 200})])
    gw.reply(tool_calls=[ToolCall("deepseek_search", {"query": "x"})])
    gw.reply(tool_calls=[ToolCall("deepseek_fetch", {"url": "https://dead.example/"})])
    gw.reply(content="Done [1].")
    messages = run(agent_of(gw, web), {"messages": "Search."})["messages"]
    results = [message for message in messages if message.type == "tool"]
    assert [(result.status, result.text) for result in results] == [
        ("error", "Error: `query`: String should have at most 128 characters."),
        ("success", TEXT),
        ("error", "Error: fetch failed"),
    ]
    assert messages[-1].text == "Done [1]."


@pytest.mark.parametrize("strict", [None, True])
def test_a_model_can_be_given_the_tools(
    gw: LocalGateway, web: WebServer, run: Run, strict: bool | None
) -> None:
    tools = [search_of(web), DeepSeekFetch(**settings(web))]
    gw.reply(tool_calls=[ToolCall("deepseek_search", {"query": "q"})])
    message = run(gw.chat_model().bind_tools(tools, strict=strict), "Search.")
    assert message.tool_calls[0]["args"] == {"query": "q"}


class _OnServer:
    """LangChain's own tests, with a server for each."""

    server: WebServer

    @pytest.fixture(autouse=True)
    def _serve(self, web: WebServer) -> None:
        self.server = web

    @property
    def params(self) -> dict[str, Any]:
        return settings(self.server)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "CLOUDFLARE_AI_GATEWAY_BASE_URL": self.server.base_url,
            "DEEPSEEK_API_KEY": KEY,
        }


class _Search(_OnServer):
    @property
    def tool_constructor(self) -> type[DeepSeekSearch]:
        return DeepSeekSearch

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        return self.params

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"query": "DeepSeek prices", "count": 2}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return self.environment, {}, {"endpoint": f"{self.server.base_url}/v1/tools/search"}


class TestSearchUnit(_Search, ToolsUnitTests):
    pass


class TestSearchIntegration(_Search, ToolsIntegrationTests):
    pass


class _Fetch(_OnServer):
    @property
    def tool_constructor(self) -> type[DeepSeekFetch]:
        return DeepSeekFetch

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        return self.params

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"url": URL}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return self.environment, {}, {"endpoint": f"{self.server.base_url}/v1/tools/fetch"}


class TestFetchUnit(_Fetch, ToolsUnitTests):
    pass


class TestFetchIntegration(_Fetch, ToolsIntegrationTests):
    pass


class TestRetrieverStandard(_OnServer, RetrieversIntegrationTests):
    @property
    def retriever_constructor(self) -> type[DeepSeekSearchRetriever]:
        return DeepSeekSearchRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return self.params

    @property
    def retriever_query_example(self) -> str:
        return "DeepSeek prices"

    @property
    def num_results_arg_name(self) -> str:
        return "count"
