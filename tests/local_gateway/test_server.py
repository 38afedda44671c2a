"""Starting, stopping, and many callers at once."""

import asyncio
import json
import socket
import threading
import time

import httpx
import pytest

from langchain_cf_deepseek.local import LocalGateway
from langchain_cf_deepseek.local.http import server
from tests.local_gateway.conftest import QUESTION, Caller


def test_a_gateway_starts_and_stops_in_no_time() -> None:
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


def test_a_server_that_does_not_stop_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_stopping_cuts_open_answers_and_makes_no_noise(
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


def test_a_caller_who_hangs_up_does_no_harm(ask: Caller) -> None:
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
    # More than the buffers of the kernel hold; what was in them when the reset came is lost.
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


def test_the_environment_points_a_client_at_the_gateway(gw: LocalGateway) -> None:
    common = {
        "CLOUDFLARE_ACCOUNT_ID": "0123456789abcdef0123456789abcdef",
        "CLOUDFLARE_GATEWAY_ID": "local",
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
        "CLOUDFLARE_API_TOKEN": "local-cloudflare-token",
        "CLOUDFLARE_AI_GATEWAY_ROUTING": "unified",
        "CLOUDFLARE_AI_GATEWAY_BASE_URL": (
            f"{gw.url}/client/v4/accounts/0123456789abcdef0123456789abcdef/ai/v1"
        ),
    }


@pytest.mark.parametrize("routing", ["provider-native", "unified", "compat"])
def test_its_chat_model_talks_to_it(gw: LocalGateway, routing: str) -> None:
    gw.reply(content="Here I am.")
    llm = gw.chat_model(routing=routing, max_tokens=50)
    assert llm.invoke("Where are you?").content == "Here I am."
    assert gw.requests[0].body["max_tokens"] == 50


def test_a_call_under_way_at_a_reset_leaves_nothing_behind(ask: Caller) -> None:
    """A slow call of one test took the reply, the budget and the log of the next."""
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
    listed = ask.http.get(
        f"{gateway.url}/client/v4/accounts/{gateway.account_id}/ai-gateway/gateways/local/logs",
        headers=ask.headers("unified"),
    )
    assert [entry["id"] for entry in listed.json()["result"]] == [answer.headers["cf-aig-log-id"]]
