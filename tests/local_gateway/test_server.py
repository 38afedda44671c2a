"""Start, stop and reset, and many requests at once."""

import asyncio
import json
import socket
import threading
import time
from typing import Any

import httpx
import pytest

from langchain_cf_deepseek import ChatCloudflareDeepSeek
from langchain_cf_deepseek.local import LocalGateway, RateLimit, Routing, SpendLimit
from langchain_cf_deepseek.local.http import server
from langchain_cf_deepseek.logs import GatewayLogs
from tests.local_gateway.conftest import QUESTION, Caller, StartGateway


def test_a_gateway_starts_and_stops_quickly() -> None:
    began = time.monotonic()
    for _ in range(10):
        with LocalGateway():
            pass
    assert time.monotonic() - began < 5


def test_a_stopped_gateway_leaves_no_thread_and_no_socket() -> None:
    before = threading.active_count()
    with LocalGateway() as gateway:
        port = int(gateway.url.rpartition(":")[2])
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    gateway.stop()


def test_a_port_can_be_chosen_and_used_again(http: httpx.Client) -> None:
    with LocalGateway() as first:
        port = int(first.url.rpartition(":")[2])
    gateway = LocalGateway(port=port)
    for _ in range(2):
        with gateway:
            assert gateway.url == f"http://127.0.0.1:{port}"
            assert Caller(gateway, http).post().status_code == 200


def test_a_port_in_use_is_an_error() -> None:
    with LocalGateway() as first:
        port = int(first.url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            LocalGateway(port=port).start()


def test_a_gateway_runs_once_at_a_time() -> None:
    gateway = LocalGateway()
    with pytest.raises(RuntimeError, match="not running"):
        _ = gateway.url
    with gateway, pytest.raises(RuntimeError, match="running already"):
        gateway.start()


def test_a_server_that_does_not_start_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never_ready(uvicorn: server._Uvicorn) -> None:
        await uvicorn._stopping.wait()

    monkeypatch.setattr(server._Uvicorn, "main_loop", never_ready)
    monkeypatch.setattr(server, "START_SECONDS", 0.05)
    before = threading.active_count()
    with pytest.raises(RuntimeError, match="did not start"):
        LocalGateway().start()
    assert threading.active_count() == before


def test_a_server_that_does_not_stop_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = LocalGateway()
    monkeypatch.setattr(gateway._provider, "aclose", lambda: asyncio.sleep(0.5))
    monkeypatch.setattr(server, "STOP_SECONDS", 0.05)
    gateway.start()
    with pytest.raises(RuntimeError, match="did not stop"):
        gateway.stop()
    monkeypatch.undo()
    gateway.stop()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("when", ["delay", "seconds"])
def test_stopping_closes_open_responses_and_logs_nothing(
    http: httpx.Client, stream: bool, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    with LocalGateway() as gateway:
        gateway.fault(then="stall", **{when: 60})
        failures: list[Exception] = []

        def ask() -> None:
            try:
                Caller(gateway, http).post(stream=stream)
            except httpx.HTTPError as error:
                failures.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        while not gateway.requests:
            time.sleep(0.01)
        time.sleep(0.05)
        began = time.monotonic()
    assert time.monotonic() - began < 1
    asking.join(5)
    assert len(failures) == 1
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


def test_an_abandoned_stream_does_no_harm(ask: Caller) -> None:
    ask.gateway.fault(then="stall", seconds=60)
    with ask.http.stream(
        "POST",
        f"{ask.gateway.base_url()}/chat/completions",
        headers=ask.headers("provider-native"),
        json={"model": "deepseek-flash", "messages": [QUESTION], "stream": True},
    ) as response:
        next(response.iter_lines())
    assert ask.post().status_code == 200


def test_a_reset_waits_for_a_slow_reader(ask: Caller) -> None:
    ask.gateway.fault(body=b"x" * 40_000_000, then="reset")
    body = json.dumps({"model": "deepseek-flash", "messages": [QUESTION]})
    headers = {**ask.headers("provider-native"), "content-length": str(len(body)), "host": "x"}
    path = ask.gateway.base_url().removeprefix(ask.gateway.url)
    lines = [f"POST {path}/chat/completions HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    port = int(ask.gateway.url.rpartition(":")[2])
    received = b""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall("\r\n".join([*lines, "", body]).encode())
        time.sleep(0.2)
        with pytest.raises(ConnectionResetError):  # noqa: PT012 - whatever comes before the reset
            while piece := connection.recv(65536):
                received += piece
    # More than the kernel's buffers hold; the reset drops their content.
    assert 10_000_000 < len(received) < 40_000_000


async def test_five_hundred_streams_at_once_are_kept_apart(ask: Caller) -> None:
    gateway = ask.gateway
    port = int(gateway.url.rpartition(":")[2])
    path = gateway.base_url().removeprefix(gateway.url)

    async def one(number: int) -> bool:
        marker = f"marker-{number}-"
        body = json.dumps(
            {
                "model": "deepseek-flash",
                "messages": [{"role": "user", "content": f"Why {marker}?"}],
                "stream": True,
            }
        )
        headers = {**ask.headers("provider-native"), "content-length": str(len(body)), "host": "x"}
        lines = [f"POST {path}/chat/completions HTTP/1.1", "connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write("\r\n".join([*lines, "", body]).encode())
        text = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
        words = "".join(part.partition('"')[0] for part in text.split('"reasoning_content":"')[1:])
        return marker in words and "data: [DONE]" in text

    assert all(await asyncio.gather(*(one(number) for number in range(500))))
    assert len(gateway.requests) == gateway.upstream_calls == 500


def test_the_environment_has_every_variable_of_the_gateway(gw: LocalGateway) -> None:
    common = {
        "CLOUDFLARE_ACCOUNT_ID": "0123456789abcdef0123456789abcdef",
        "CLOUDFLARE_GATEWAY_ID": "local",
        "CLOUDFLARE_API_TOKEN": "local-cloudflare-token",
        "CLOUDFLARE_BASE_URL": f"{gw.url}/client/v4",
    }
    host = f"{gw.url}/v1/0123456789abcdef0123456789abcdef/local"
    keys = {"DEEPSEEK_API_KEY": "local-deepseek-key", "CF_AIG_TOKEN": "local-gateway-token"}
    assert gw.environment() == {
        **common,
        **keys,
        "CLOUDFLARE_AI_GATEWAY_ROUTING": "provider-native",
        "CLOUDFLARE_AI_GATEWAY_BASE_URL": f"{host}/deepseek",
    }
    assert gw.environment("compat") == {
        **common,
        **keys,
        "CLOUDFLARE_AI_GATEWAY_ROUTING": "compat",
        "CLOUDFLARE_AI_GATEWAY_BASE_URL": f"{host}/compat",
    }
    assert gw.environment("unified") == {
        **common,
        "CLOUDFLARE_AI_GATEWAY_ROUTING": "unified",
        "CLOUDFLARE_AI_GATEWAY_BASE_URL": (
            f"{gw.url}/client/v4/accounts/0123456789abcdef0123456789abcdef/ai/v1"
        ),
    }


@pytest.mark.parametrize("routing", ["provider-native", "unified", "compat"])
def test_the_environment_is_all_that_the_client_and_its_logs_need(
    gw: LocalGateway, routing: Routing, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in gw.environment(routing).items():
        monkeypatch.setenv(name, value)
    message = ChatCloudflareDeepSeek(model="deepseek-flash").invoke("Hello")
    logs = GatewayLogs()
    assert logs == gw.logs()
    logs.feedback(message, 1)
    entry: Any = logs.get(message)
    assert entry.feedback == 1


@pytest.mark.parametrize("routing", ["provider-native", "unified", "compat"])
def test_its_chat_model_sends_requests_to_it(gw: LocalGateway, routing: str) -> None:
    gw.reply(content="Here I am.")
    llm = gw.chat_model(routing=routing, max_tokens=50)
    assert llm.invoke("Where are you?").content == "Here I am."
    assert gw.requests[0].body["max_tokens"] == 50


def stored_logs(ask: Caller) -> list[str]:
    gateway = ask.gateway
    listed = ask.http.get(
        f"{gateway.url}/client/v4/accounts/{gateway.account_id}/ai-gateway/gateways/local/logs",
        headers={"authorization": f"Bearer {gateway.cloudflare_api_token}"},
    )
    return [entry["id"] for entry in listed.json()["result"]]


def test_a_response_in_flight_at_a_reset_changes_nothing_afterwards(ask: Caller) -> None:
    """A slow request of one test took the reply, the budget and the log of the next."""
    gateway = ask.gateway
    gateway.reply(content="Slow.")
    gateway.fault(delay=0.4)
    slow = threading.Thread(target=ask.post)
    slow.start()
    while not gateway.requests:
        time.sleep(0.01)
    gateway.reset()
    gateway.reply(content="Next.")
    answer = httpx.post(
        f"{gateway.base_url()}/chat/completions",
        json={"model": "deepseek-flash", "messages": [QUESTION]},
        headers=ask.headers("provider-native"),
    )
    assert answer.json()["choices"][0]["message"]["content"] == "Next."
    slow.join()
    assert (len(gateway.requests), gateway.upstream_calls) == (1, 1)
    assert stored_logs(ask) == [answer.headers["cf-aig-log-id"]]


@pytest.mark.parametrize("is_scripted", [False, True])
def test_a_request_in_flight_at_a_reset_changes_nothing_afterwards(
    start_gateway: StartGateway, is_scripted: bool
) -> None:
    ask = start_gateway(
        spend_limits=[SpendLimit(usd=1e-9, seconds=600)],
        rate_limit=RateLimit(requests=2, seconds=600),
    )
    gateway = ask.gateway
    cached = {"cf-aig-cache-ttl": "60"}
    messages = [{"role": "user", "content": "Why is the sky blue? " * 100}]
    body = json.dumps({"model": "deepseek-flash", "messages": messages}).encode()
    headers = ask.headers("provider-native") | cached
    headers |= {"host": "x", "content-length": str(len(body)), "expect": "100-continue"}
    path = gateway.base_url().removeprefix(gateway.url)
    lines = [f"POST {path}/chat/completions HTTP/1.1", "connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    port = int(gateway.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        gateway.reset()
        gateway.fail_next("deepseek-busy")
        if is_scripted:
            gateway.reply(content="Next.")
        connection.sendall(body)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"Next." not in received
    assert (gateway.requests, gateway.upstream_calls, stored_logs(ask)) == ([], 0, [])
    assert ask.post().status_code == 503
    response = ask.post(messages=messages, headers=cached)
    assert (response.status_code, response.headers["cf-aig-cache-status"]) == (200, "MISS")
    if is_scripted:
        assert response.json()["choices"][0]["message"]["content"] == "Next."
    assert response.json()["usage"]["prompt_cache_hit_tokens"] == 0
