"""Hosts that cannot be reached: DNS, TCP, TLS and proxies are distinguished."""

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from langchain_cf_deepseek.doctor import setup
from langchain_cf_deepseek.local import LocalGateway
from tests.conftest import ACCOUNT
from tests.doctor.conftest import Doctor
from tests.doctor.expected_output import ALL_OK, SETTINGS, failing_report, repeatable, report, run


def unreachable(found: str, change: str, host: str = "127.0.0.1:PORT") -> str:
    settings = SETTINGS["provider-native"].replace("127.0.0.1:PORT", host)
    before = ALL_OK | {"settings": ("ok", settings)}
    return failing_report("host", found, change, before=before, log=False)


TO_THE_HOST = "Check host and port of `base_url` (CLOUDFLARE_AI_GATEWAY_BASE_URL), and the network."
TO_THE_PROXY = "Check the proxy settings of this machine (HTTPS_PROXY, ALL_PROXY, NO_PROXY)."


def test_host_check_reports_a_closed_port(gateway: LocalGateway, doctor: Doctor) -> None:
    variables = gateway.environment()
    gateway.stop()
    assert doctor(variables) == (
        1,
        unreachable("nothing listens at 127.0.0.1:PORT", TO_THE_HOST),
    )


def test_host_check_reports_an_unknown_host(gateway: LocalGateway, doctor: Doctor) -> None:
    base_url = {"CLOUDFLARE_AI_GATEWAY_BASE_URL": "https://gateway.invalid/deepseek"}
    assert doctor(gateway.environment() | base_url) == (
        1,
        unreachable("DNS cannot resolve gateway.invalid", TO_THE_HOST, "gateway.invalid"),
    )


@contextmanager
def serving(react: Callable[[socket.socket], object]) -> Iterator[int]:
    """Run a server that calls `react` with each connection; yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        react(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_host_check_reports_a_port_without_tls(gateway: LocalGateway, doctor: Doctor) -> None:
    with serving(lambda connection: connection.sendall(b"SSH-2.0\r\n")) as port:
        base_url = {"CLOUDFLARE_AI_GATEWAY_BASE_URL": f"https://127.0.0.1:{port}/deepseek"}
        status, printed = doctor(gateway.environment() | base_url)
    printed = re.sub(r"TLS: \[SSL.*\)", "TLS: REASON", printed)
    assert (status, printed) == (
        1,
        unreachable("127.0.0.1:PORT does not speak TLS: REASON", TO_THE_HOST),
    )


def tls_context(host: str, directory: Path) -> ssl.SSLContext:
    """Return a server's TLS context and write the certificate of its issuer to `directory`."""
    issuer = trustme.CA()
    issuer.cert_pem.write_to_path(str(directory / "certificate.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer.issue_cert(host).configure_cert(context)
    return context


def test_host_check_reports_an_untrusted_certificate(
    gateway: LocalGateway, doctor: Doctor, tmp_path: Path
) -> None:
    context = tls_context("localhost", tmp_path)
    with serving(lambda plain: context.wrap_socket(plain, server_side=True).close()) as port:
        base_url = {"CLOUDFLARE_AI_GATEWAY_BASE_URL": f"https://localhost:{port}/deepseek"}
        status, printed = doctor(gateway.environment() | base_url)
    printed = re.sub(r"trusted: \[SSL.*\)", "trusted: REASON", printed)
    assert (status, printed) == (
        1,
        unreachable(
            "the TLS certificate of localhost:PORT is not trusted: REASON",
            "Set SSL_CERT_FILE to a file with the certificates that your network trusts.",
            "localhost:PORT",
        ),
    )


def test_host_check_reports_a_broken_connection(gateway: LocalGateway, doctor: Doctor) -> None:
    with serving(lambda connection: connection.recv(10_000)) as port:
        base_url = {"CLOUDFLARE_AI_GATEWAY_BASE_URL": f"http://127.0.0.1:{port}/deepseek"}
        status, printed = doctor(gateway.environment() | base_url)
    printed = re.sub(r"was lost: .*", "was lost: REASON", printed)
    assert (status, printed) == (
        1,
        unreachable("the connection to 127.0.0.1:PORT was lost: REASON", "Try again in a moment."),
    )


def test_host_check_reports_a_silent_host(
    gateway: LocalGateway, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "_READ_TIMEOUT", 0.05)
    gateway.fault(delay=1)
    assert doctor(gateway.environment()) == (
        1,
        unreachable(
            "127.0.0.1:PORT accepted the connection, but did not respond in time",
            "Try again in a moment; if it persists, ask the administrator of the network or proxy.",
        ),
    )


BEHIND_A_PROXY = f"https://gateway.invalid/v1/{ACCOUNT}/local/deepseek"


def through_proxy(
    gateway: LocalGateway, port: int, variable: str = "HTTPS_PROXY"
) -> dict[str, str]:
    return {
        **gateway.environment(),
        "CLOUDFLARE_AI_GATEWAY_BASE_URL": BEHIND_A_PROXY,
        variable: f"http://user:password@127.0.0.1:{port}",
    }


def test_proxy_with_a_closed_port_is_reported(gateway: LocalGateway, doctor: Doctor) -> None:
    with serving(socket.socket.close) as port:
        pass
    assert doctor(through_proxy(gateway, port)) == (
        1,
        unreachable("nothing listens at the proxy 127.0.0.1:PORT", TO_THE_PROXY, "gateway.invalid"),
    )


def test_proxy_that_refuses_is_reported(gateway: LocalGateway, doctor: Doctor) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.sendall(b"HTTP/1.1 407 Log in\r\ncontent-length: 0\r\n\r\n")

    with serving(refuse) as port:
        outcome = doctor(through_proxy(gateway, port, "ALL_PROXY"))
    assert outcome == (
        1,
        unreachable(
            "the proxy rejected the connection: 407 Log in", TO_THE_PROXY, "gateway.invalid"
        ),
    )


def test_proxy_of_an_unknown_scheme_is_reported(gateway: LocalGateway, doctor: Doctor) -> None:
    proxy = {"HTTPS_PROXY": "socks9://proxy.invalid"}
    assert doctor(through_proxy(gateway, 0) | proxy) == (
        1,
        unreachable(
            "the proxy cannot be used: Unknown scheme for proxy URL URL('socks9://proxy.invalid')",
            TO_THE_PROXY,
            "gateway.invalid",
        ),
    )


def test_proxy_that_works_is_shown_without_its_password(
    gateway: LocalGateway, tmp_path: Path
) -> None:
    context = tls_context("gateway.invalid", tmp_path)
    port_of_the_gateway = int(gateway.url.rpartition(":")[2])

    def let_through(connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        with (
            context.wrap_socket(connection, server_side=True) as client,
            socket.create_connection(("127.0.0.1", port_of_the_gateway)) as server,
        ):
            back = threading.Thread(target=copy, args=(server, client))
            back.start()
            copy(client, server)
            back.join()

    with serving(let_through) as port:
        certificates = {"SSL_CERT_FILE": str(tmp_path / "certificate.pem")}
        done = run(through_proxy(gateway, port) | certificates)
    settings = SETTINGS["provider-native"].replace("127.0.0.1:PORT", "gateway.invalid")
    expected = ALL_OK | {
        "settings": ("ok", settings),
        "host": ("ok", "gateway.invalid responds, through the proxy 127.0.0.1:PORT"),
    }
    assert (done.returncode, repeatable(done.stdout), done.stderr) == (0, report(expected), "")


def copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(10_000):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
