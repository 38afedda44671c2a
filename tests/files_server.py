"""A small server of DeepSeek's Files API on 127.0.0.1, for what a test orders: faults included."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from langchain_cf_deepseek import ChatCloudflareDeepSeek
from langchain_cf_deepseek.files import GatewayFiles
from tests.conftest import ACCOUNT

CREATED = 1_762_790_000

Reply = tuple[int, Any]


class FilesServer(ThreadingHTTPServer):
    """Keeps files, and the requests that it received."""

    daemon_threads = True
    request_queue_size = 128  # by default 5 connections at once; the system resets others

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, dict[str, Any]] = {}
        self.requests: list[dict[str, Any]] = []
        self.faults: list[Any] = []
        """What happens to the next requests: a (status, JSON) reply, "cut", or seconds to wait."""
        self.delay = 0.0
        """Seconds for which an upload is parsed."""
        self.uploading = self.most_at_once = 0
        self.lock = threading.Lock()

    def llm(self, **settings: Any) -> ChatCloudflareDeepSeek:
        base_url = f"http://127.0.0.1:{self.server_port}/v1/{ACCOUNT}/local/deepseek"
        defaults = {"model": "deepseek-flash", "base_url": base_url, "api_key": "a-deepseek-key"}
        return ChatCloudflareDeepSeek(**defaults | settings)

    def client(self, llm: dict[str, Any] | None = None, **settings: Any) -> GatewayFiles:
        return GatewayFiles.of(self.llm(**llm or {}), **settings)

    @property
    def uploads(self) -> list[dict[str, Any]]:
        posts = [r for r in self.requests if r["method"] == "POST" and r["path"].endswith("/files")]
        return [request["form"] for request in posts]

    @property
    def bodies(self) -> list[Any]:
        return [r["json"] for r in self.requests if r["path"].endswith("/chat/completions")]


@contextmanager
def serving() -> Iterator[FilesServer]:
    with FilesServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def _form(headers: Any, body: bytes) -> dict[str, Any]:
    """Return the parts of a multipart body in their order."""
    head = f"Content-Type: {headers['content-type']}\r\n\r\n".encode()
    message: Any = BytesParser(policy=HTTP).parsebytes(head + body)
    form: dict[str, Any] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True)
        file = (part.get_filename(), part.get_content_type(), data)
        form[name] = file if name == "file" else data.decode()
    return form


class _Handler(BaseHTTPRequestHandler):
    server: FilesServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _handle(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        request: dict[str, Any] = {
            "method": self.command,
            "path": url.path,
            "query": dict(parse_qsl(url.query)),
            "headers": {name.lower(): value for name, value in self.headers.items()},
        }
        if "multipart" in self.headers.get("content-type", ""):
            request["form"] = _form(self.headers, body)
        elif body:
            request["json"] = json.loads(body)
        with self.server.lock:
            self.server.requests.append(request)
            fault = self.server.faults.pop(0) if self.server.faults else None
        if fault == "cut":
            self.close_connection = True
            return
        if isinstance(fault, float):
            time.sleep(fault)
            fault = None
        self._send(*(fault or self._answer(request)))

    do_GET = do_POST = do_DELETE = _handle  # noqa: N815 - the names of the base class

    def _answer(self, request: dict[str, Any]) -> Reply:
        answers: dict[tuple[str, bool], Callable[[dict[str, Any]], Reply]] = {
            ("POST", True): self._create,
            ("GET", True): self._list,
            ("GET", False): self._one,
            ("DELETE", False): self._one,
        }
        if request["path"].endswith("/chat/completions"):
            return self._chat(request)
        return answers[self.command, request["path"].endswith("/files")](request)

    def _create(self, request: dict[str, Any]) -> Reply:
        server, form = self.server, request["form"]
        with server.lock:
            server.uploading += 1
            server.most_at_once = max(server.most_at_once, server.uploading)
        time.sleep(server.delay)
        with server.lock:
            server.uploading -= 1
            created: dict[str, Any] = {
                "id": f"file-api-{len(server.files):032x}",
                "object": "file",
                "bytes": len(form["file"][2]),
                "created_at": CREATED,
                "filename": form["file"][0],
                "purpose": form["purpose"],
            }
            if seconds := form.get("expires_after[seconds]"):
                created["expires_at"] = int(time.time()) + int(seconds)
            server.files[created["id"]] = created
        return 200, created

    def _list(self, request: dict[str, Any]) -> Reply:
        query = request["query"]
        files = [
            f for f in self.server.files.values() if query.get("purpose") in {None, f["purpose"]}
        ]
        if query.get("order") == "desc":
            files.reverse()
        ids = [file["id"] for file in files]
        start = ids.index(query["after"]) + 1 if "after" in query else 0
        end = start + int(query.get("limit", 1000))
        return 200, {"object": "list", "data": files[start:end], "has_more": end < len(files)}

    def _one(self, request: dict[str, Any]) -> Reply:
        file_id = request["path"].rpartition("/")[2]
        if file_id not in self.server.files:
            return 404, {"error": {"message": f"No such object: {file_id}", "code": "not_found"}}
        if self.command == "DELETE":
            del self.server.files[file_id]
            return 200, {"id": file_id, "object": "file", "deleted": True}
        return 200, self.server.files[file_id]

    def _chat(self, request: dict[str, Any]) -> Reply:
        choice = {"index": 0, "finish_reason": "stop"}
        reply = {"id": "c", "created": CREATED, "model": "deepseek-flash"}
        if not request["json"].get("stream"):
            message = {"role": "assistant", "content": "Read."}
            return 200, {
                **reply,
                "object": "chat.completion",
                "choices": [{**choice, "message": message}],
            }
        chunk = {**choice, "delta": {"role": "assistant", "content": "Read."}}
        return 200, f"data: {json.dumps({**reply, 'choices': [chunk]})}\n\ndata: [DONE]\n\n"

    def _send(self, status: int, reply: Any) -> None:
        content = reply if isinstance(reply, str) else json.dumps(reply)
        is_stream = content.startswith("data:")
        self.send_response(status)
        self.send_header("content-type", "text/event-stream" if is_stream else "application/json")
        self.send_header("content-length", str(len(content.encode())))
        self.send_header("cf-aig-log-id", "01JADMCQQQBWH3NXZ5GCRN98DP")
        self.end_headers()
        self.wfile.write(content.encode())
