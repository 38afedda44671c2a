"""An upstream server: here, a second local gateway."""

import asyncio
import socket
from collections.abc import Iterator

import httpx
import pytest

from langchain_cf_deepseek.local import LocalGateway, Routing
from tests.local_gateway.conftest import QUESTION, Caller, chunks, content_of


@pytest.fixture
def upstream() -> Iterator[LocalGateway]:
    with LocalGateway(authenticated=False, stored_key=True, account_id="b" * 32) as gateway:
        yield gateway


@pytest.fixture
def front(upstream: LocalGateway, http: httpx.Client) -> Iterator[Caller]:
    with LocalGateway(upstream=upstream.base_url("provider-native") + "/") as gateway:
        yield Caller(gateway, http)


@pytest.mark.parametrize("routing", ["provider-native", "unified", "compat"])
def test_a_request_is_forwarded_without_prefix_and_without_cloudflare_headers(
    front: Caller, upstream: LocalGateway, routing: Routing
) -> None:
    upstream.reply(content="from upstream")
    response = front.post(routing=routing, headers={"cf-aig-metadata": "{}", "x-mine": "1"})
    assert response.json()["choices"][0]["message"]["content"] == "from upstream"
    (request,) = upstream.requests
    assert request.body == {"model": "deepseek-flash", "messages": [QUESTION]}
    assert request.path.endswith("/deepseek/chat/completions")
    assert set(request.headers) == {
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "user-agent",
        "x-mine",
    }
    assert request.headers["accept-encoding"] == "identity"
    assert front.gateway.upstream_calls == 1


def test_the_front_gateway_adds_its_own_headers_to_the_response(
    front: Caller, upstream: LocalGateway
) -> None:
    response = front.post(headers={"cf-aig-event-id": "front"})
    assert response.headers["cf-aig-event-id"] == "front"
    assert len(response.headers.get_list("cf-ray")) == 1
    assert "cf-aig-event-id" not in upstream.requests[0].headers


def test_a_stream_is_forwarded_chunk_by_chunk(front: Caller, upstream: LocalGateway) -> None:
    upstream.reply(content="one two three", reasoning="hm")
    response = front.post(stream=True)
    assert response.headers["content-type"] == "text/event-stream"
    streamed = chunks(response.text)
    assert (content_of(streamed), len(streamed) > 4) == ("one two three", True)


def test_a_stream_is_forwarded_before_it_is_complete(front: Caller, upstream: LocalGateway) -> None:
    upstream.fault(then="stall", after_chunks=2, seconds=30)
    with front.http.stream(
        "POST",
        f"{front.gateway.base_url()}/chat/completions",
        headers=front.headers("provider-native"),
        json={"model": "deepseek-flash", "messages": [QUESTION], "stream": True},
    ) as response:
        assert next(response.iter_lines()).startswith("data: {")


@pytest.mark.parametrize("status", [400, 429, 503])
def test_an_error_of_the_upstream_is_forwarded(
    front: Caller, upstream: LocalGateway, status: int
) -> None:
    upstream.fault(status=status, body={"error": {"message": "x"}}, headers={"retry-after": "3"})
    response = front.post()
    assert (response.status_code, response.json(), response.headers["retry-after"]) == (
        status,
        {"error": {"message": "x"}},
        "3",
    )


def test_the_callers_own_key_is_forwarded_and_the_local_one_is_not(
    front: Caller, upstream: LocalGateway
) -> None:
    front.post(headers={"authorization": "Bearer sk-real"})
    front.post()
    front.post(routing="unified")
    assert [request.headers.get("authorization") for request in upstream.requests] == [
        "Bearer sk-real",
        None,
        None,
    ]


def test_the_upstreams_key_replaces_the_callers(upstream: LocalGateway, http: httpx.Client) -> None:
    url = upstream.base_url("provider-native")
    with LocalGateway(upstream=url, upstream_api_key="sk-upstream") as gateway:
        for routing in ("provider-native", "unified"):
            Caller(gateway, http).post(routing=routing)
    assert [request.headers["authorization"] for request in upstream.requests] == [
        "Bearer sk-upstream"
    ] * 2


def test_models_of_the_upstream_alone_are_forwarded(front: Caller, upstream: LocalGateway) -> None:
    for routing in ("compat", "unified"):
        front.post(routing=routing, model="deepseek/qwen3:8b")
    front.post(routing="unified", model="deepseek/deepseek-chat")
    assert [request.body["model"] for request in upstream.requests] == [
        "qwen3:8b",
        "qwen3:8b",
        "deepseek-chat",
    ]


def test_replies_of_an_upstream_cannot_be_scripted(front: Caller) -> None:
    with pytest.raises(TypeError, match="the gateway has an upstream"):
        front.gateway.reply(content="mine")


def test_a_query_is_forwarded(front: Caller, upstream: LocalGateway) -> None:
    url = f"{front.gateway.base_url()}/models?limit=2"
    front.http.get(url, headers=front.headers("provider-native"))
    assert upstream.requests[0].query == "limit=2"


def test_the_models_of_the_upstream_are_listed(front: Caller) -> None:
    url = f"{front.gateway.base_url()}/models"
    response = front.http.get(url, headers=front.headers("provider-native"))
    assert [model["id"] for model in response.json()["data"]] == [
        "deepseek-flash",
        "deepseek-v4-pro",
    ]


def test_responses_of_the_upstream_are_cached_too(front: Caller, upstream: LocalGateway) -> None:
    hour = {"cf-aig-cache-ttl": "3600"}
    for stream in (False, True):
        first, second = (front.post(headers=hour, stream=stream) for _ in range(2))
        assert second.headers["cf-aig-cache-status"] == "HIT"
        assert first.text == second.text
    assert len(upstream.requests) == 2


def test_faults_apply_in_front_of_an_upstream(front: Caller) -> None:
    front.gateway.fault(then="cut", after_chunks=2)
    assert len(front.post(stream=True).text.split("\n\n")[:-1]) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_a_truncated_upstream_stream_is_an_error_of_the_client(
    front: Caller, upstream: LocalGateway, stream: bool
) -> None:
    upstream.fault(then="reset", after_chunks=2)
    if stream:
        with pytest.raises(httpx.HTTPError):
            front.post(stream=True)
    else:
        response = front.post()
        assert (response.status_code, response.json()["error"][0]["code"]) == (400, 2005)


@pytest.mark.parametrize("routing", ["provider-native", "unified", "compat"])
def test_an_unreachable_upstream_is_an_error_of_the_gateway(
    http: httpx.Client, routing: Routing
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with LocalGateway(upstream=f"http://127.0.0.1:{port}/v1") as gateway:
        response = Caller(gateway, http).post(routing=routing)
        key = "errors" if routing == "unified" else "error"
        assert (response.status_code, response.json()[key]) == (
            400,
            [{"code": 2005, "message": "Failed to get response from provider"}],
        )


def test_a_gateway_with_an_upstream_starts_again_after_a_stop(
    upstream: LocalGateway, http: httpx.Client
) -> None:
    gateway = LocalGateway(upstream=upstream.base_url("provider-native"))
    for _ in range(2):
        with gateway:
            assert Caller(gateway, http).post().status_code == 200


async def test_many_streams_are_forwarded_at_once(front: Caller, upstream: LocalGateway) -> None:
    for number in range(20):
        upstream.reply(content=f"answer {number} is here")

    async def one(client: httpx.AsyncClient) -> str:
        response = await client.post(
            f"{front.gateway.base_url()}/chat/completions",
            headers=front.headers("provider-native"),
            json={"model": "deepseek-flash", "messages": [QUESTION], "stream": True},
        )
        return content_of(chunks(response.text))

    async with httpx.AsyncClient(timeout=30) as client:
        answers = await asyncio.gather(*(one(client) for _ in range(20)))
    assert sorted(answers) == sorted(f"answer {number} is here" for number in range(20))
