"""An HTTP server on loopback that records what tracers send to it."""

import gzip
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass(frozen=True)
class ReceivedRequest:
    """A request to the sink; its body is uncompressed."""

    path: str
    headers: Mapping[str, str]
    """Names are lower-case."""
    body: bytes


@dataclass
class Sink:
    """Where tracers send to, and what has arrived there."""

    url: str
    responses: Mapping[str, Any]
    """Bodies of GET responses by path; other requests receive `{}`."""
    received: list[ReceivedRequest] = field(default_factory=list)


@contextmanager
def serve_sink(responses: Mapping[str, Any] | None = None) -> Iterator[Sink]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._respond(sink.responses.get(self.path, {}))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            if headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            sink.received.append(ReceivedRequest(self.path, headers, body))
            self._respond({})

        def _respond(self, payload: Any) -> None:
            content = json.dumps(payload).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_args: object) -> None:
            """Keep the test output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sink = Sink(f"http://127.0.0.1:{server.server_port}", responses or {})
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
