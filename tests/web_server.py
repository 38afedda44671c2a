"""A gateway that serves only DeepSeek's Search and Fetch, with responses that a test scripts."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RESULTS: list[dict[str, Any]] = [
    {
        "rerank_score": 2.1,
        "title": "DeepSeek prices",
        "url": "https://api-docs.example/pricing",
        "snippet": "a short excerpt",
        "summary": "Search costs USD 0.75 per 1,000.",
        "content": "",
        "site_name": "DeepSeek",
        "site_icon": None,
        "date": "2026-10-20T08:00:00Z",
        "authority": 3,
    },
    {
        "rerank_score": 0.4,
        "title": None,
        "url": "https://blog.example/deepseek",
        "snippet": "only an excerpt",
        "summary": None,
        "content": None,
        "site_name": None,
        "site_icon": None,
        "date": None,
        "authority": -1,
    },
    {
        "title": "A third page",
        "url": "https://third.example/",
        "summary": "Unknown keys stay.",
        "x": 1,
    },
]
PAGE = {"title": "DeepSeek prices", "content": "# Prices\n\nUSD 0.75"}


@dataclass
class Reply:
    """One scripted response; a `body` that is not bytes is sent as JSON."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    claimed_length: int | None = None
    """The `Content-Length`, where it is not that of `body`."""


@dataclass
class WebServer:
    """The server: what it received, and what it sends next; by default results and a page."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    """Of each request, by lower-case name."""
    replies: list[Reply] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1/account/gateway/deepseek"

    def reply(self, request: dict[str, Any]) -> Reply:
        if self.replies:
            return self.replies.pop(0)
        if "/search" in request["path"]:
            return Reply({"results": RESULTS[: request["body"]["count"]]})
        return Reply(PAGE)


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # by default 5 connections at once; the system resets others


@contextmanager
def serving() -> Iterator[WebServer]:
    server = WebServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            request = {"path": self.path, "body": body}
            server.requests.append(request)
            server.headers.append({key.lower(): value for key, value in self.headers.items()})
            reply = server.reply(request)
            raw = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"content-type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            claimed = len(raw) if reply.claimed_length is None else reply.claimed_length
            self.send_header("content-length", str(claimed))
            self.end_headers()
            self.wfile.write(raw)
            self.close_connection = claimed != len(raw)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Keep the tests' output free of requests."""

    with _HTTPServer(("127.0.0.1", 0), Handler) as http_server:
        server.url = f"http://127.0.0.1:{http_server.server_port}"
        threading.Thread(target=http_server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        http_server.shutdown()
