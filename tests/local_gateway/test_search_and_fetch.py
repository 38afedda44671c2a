"""DeepSeek's Search and Fetch, answered from the gateway's small web."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from langchain_cf_deepseek.local import LocalGateway, WebPage
from tests.local_gateway.conftest import Caller
from tests.local_gateway.test_deepseek import error_of

SKY, SEA = "https://example.com/sky", "https://www.example.org/sea"
SKY_TEXT = "The sky is blue. " * 60
WEB: dict[str, WebPage | tuple[str, str]] = {
    SKY: ("The sky", SKY_TEXT),
    SEA: WebPage("The sea", "The sea is blue and salty.", "2026-10-20T08:00:00Z", 3),
}


@pytest.fixture(scope="module")
def web_gateway() -> Iterator[LocalGateway]:
    with LocalGateway(web=WEB) as gateway:
        yield gateway


@pytest.fixture
def caller(web_gateway: LocalGateway, http: httpx.Client) -> Caller:
    web_gateway.reset()
    return Caller(web_gateway, http)


def search(caller: Caller, **body: Any) -> httpx.Response:
    return caller.post(body, path="v1/tools/search")


def fetch(caller: Caller, **body: Any) -> httpx.Response:
    return caller.post(body, path="v1/tools/fetch")


def test_a_search_returns_the_pages_with_the_words_of_the_query(caller: Caller) -> None:
    body = {"query": "blue sky", "count": 1, "localization": "203.0.113.7", "unknown": 1}
    assert search(caller, ori_question="Why?", **body).json() == {
        "results": [
            {
                "rerank_score": 3.0,
                "title": "The sky",
                "url": SKY,
                "snippet": SKY_TEXT[:200],
                "summary": SKY_TEXT[:800],
                "content": "",
                "site_name": "example.com",
                "site_icon": None,
                "date": None,
                "authority": -1,
            }
        ]
    }


def test_a_search_returns_date_authority_and_requested_content(caller: Caller) -> None:
    (result,) = search(caller, query="salty", need_content=True).json()["results"]
    assert (result["date"], result["authority"]) == ("2026-10-20T08:00:00Z", 3)
    assert result["content"] == "The sea is blue and salty."


@pytest.mark.parametrize(
    ("query", "urls"),
    [
        ("blue", [SKY, SEA]),
        ("blue site:example.org", [SEA]),
        ("site:example.org", [SEA]),
        ("blue -site:example.org", [SKY]),
        ("blue -salty", [SKY]),
        ('"blue and salty"', [SEA]),
        ("green", []),
        ("天空", []),
    ],
)
def test_a_query_selects_pages(caller: Caller, query: str, urls: list[str]) -> None:
    results = search(caller, query=query).json()["results"]
    assert [result["url"] for result in results] == urls


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Invalid 'query': must not be blank"),
        ({"query": "  "}, "Invalid 'query': must not be blank"),
        ({"query": "天" * 129}, "Invalid 'query': expected a string of 1 to 128 characters"),
        ({"query": ["x"]}, "Invalid 'query': expected a string of 1 to 128 characters"),
        ({"query": "x", "count": 0}, "Invalid 'count': expected an integer from 1 to 50"),
        ({"query": "x", "count": 51}, "Invalid 'count': expected an integer from 1 to 50"),
        ({"query": "x", "count": True}, "Invalid 'count': expected an integer from 1 to 50"),
        (
            {"query": "x", "ori_question": "q" * 129},
            "Invalid 'ori_question': expected a string of 1 to 128 characters",
        ),
        ({"query": "x", "ori_question": " "}, "Invalid 'ori_question': must not be blank"),
        ({"query": "x", "localization": "en"}, "Invalid 'localization': expected an IP address"),
        ({"query": "x", "localization": 7}, "Invalid 'localization': expected an IP address"),
        ({"query": "x", "need_content": "yes"}, "Invalid 'need_content': expected a boolean"),
    ],
)
def test_a_search_with_an_invalid_field_is_refused(
    caller: Caller, body: dict[str, Any], message: str
) -> None:
    assert error_of(search(caller, **body)) == message


def test_the_limits_of_a_search_are_inclusive(caller: Caller) -> None:
    fields = {"query": "天" * 128, "count": 50, "ori_question": None, "localization": "::1"}
    assert search(caller, **fields).json() == {"results": []}


def test_a_fetch_returns_title_and_markdown(caller: Caller) -> None:
    for url in (SKY, SKY + "#colour"):
        assert fetch(caller, url=url).json() == {"title": "The sky", "content": SKY_TEXT}


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        5,
        "ftp://example.com",
        "https://",
        "https://a b",
        "https://u:p@a.b",
        "https://[",
        "https://a.b/" + "x" * 8181,
    ],
)
def test_a_fetch_of_an_invalid_url_is_refused(caller: Caller, url: Any) -> None:
    message = "Invalid 'url': expected an http(s) URL of at most 8192 characters"
    assert error_of(fetch(caller, url=url)) == message


def test_a_fetch_of_a_page_that_the_web_lacks_fails(caller: Caller) -> None:
    response = fetch(caller, url="https://example.com/" + "x" * 8172)
    assert (response.status_code, response.json()) == (
        404,
        {
            "error": {
                "message": "Failed to fetch the URL",
                "type": "not_found_error",
                "param": None,
                "code": "invalid_request_error",
            }
        },
    )


def test_a_body_that_is_not_an_object_is_refused(caller: Caller) -> None:
    url = f"{caller.gateway.base_url()}/v1/tools/search"
    response = caller.http.post(url, content=b"[", headers=caller.headers("provider-native"))
    assert error_of(response) == "The request body must be a JSON object"


@pytest.mark.parametrize("send", [search, fetch])
def test_failures_and_faults_strike_searches_and_fetches(caller: Caller, send: Any) -> None:
    caller.gateway.fail_next("deepseek-rate")
    caller.gateway.fault(status=503)
    statuses = [send(caller, query="sky", url=SKY).status_code for _ in range(3)]
    assert statuses == [429, 503, 200]


@pytest.mark.parametrize("path", ["tools/search", "v1/tools/ocr", "beta/v1/tools/search"])
def test_other_paths_of_tools_are_unknown(caller: Caller, path: str) -> None:
    response = caller.post({"query": "sky"}, path=path)
    assert (response.status_code, response.content) == (404, b"")


@pytest.mark.parametrize("credential", ["authorization", "cf-aig-authorization"])
def test_a_search_needs_both_credentials(caller: Caller, credential: str) -> None:
    response = caller.post({"query": "sky"}, path="v1/tools/search", without=(credential,))
    assert response.status_code == 401
