"""DeepSeek's Files API: uploads, limits, silent parsing, expiry, and files in chat."""

import hashlib
import re
import time
from typing import Any

import httpx
import pytest
from openai import OpenAI

from langchain_cf_deepseek.local import Assumptions, FileLimits, LocalGateway, Routing, application
from tests.conftest import PICTURE as PNG
from tests.local_gateway.conftest import Caller, StartGateway
from tests.local_gateway.test_deepseek import OFF, error_of, message_of

PDF = (
    b"%PDF-1.4\n4 0 obj <</Length 80>> stream\nBT /F1 12 Tf (The launch code is \\(4711\\).) Tj "
    b"[(It was cho) -20 (sen by lot.)] TJ ET\nendstream endobj\n%%EOF"
)
TEXT = "The harbour opens at dawn. Ships wait outside."
RECOGNITION = {"purpose": "text_recognition"}
EXPIRY = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}


class Files:
    """Sends requests of the Files API."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.gateway = caller.gateway

    def request(
        self, method: str, path: str = "files", routing: Routing = "provider-native", **kwargs: Any
    ) -> httpx.Response:
        url = f"{self.gateway.base_url(routing)}/{path}"
        return self.caller.http.request(method, url, headers=self.caller.headers(routing), **kwargs)

    def upload(
        self,
        content: bytes = TEXT.encode(),
        name: str = "harbour.txt",
        fields: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> httpx.Response:
        data = RECOGNITION if fields is None else fields
        return self.request("POST", data=data, files={"file": (name, content)}, **kwargs)

    def id(self, *args: Any, **kwargs: Any) -> str:
        response = self.upload(*args, **kwargs)
        assert response.status_code == 200, response.text
        return str(response.json()["id"])

    def ask(self, id_: str, question: str | None = "When does the harbour open?") -> httpx.Response:
        parts: list[dict[str, Any]] = [{"type": "file", "file_id": id_}]
        if question is not None:
            parts.append({"type": "text", "text": question})
        return self.caller.post(messages=[{"role": "user", "content": parts}], thinking=OFF)


@pytest.fixture
def files(ask: Caller) -> Files:
    return Files(ask)


def with_limits(http: httpx.Client, **limits: int) -> tuple[LocalGateway, Files]:
    gateway = LocalGateway(file_limits=FileLimits(**limits))
    return gateway, Files(Caller(gateway, http))


def test_an_upload_returns_the_file(files: Files) -> None:
    before = int(time.time())
    file = files.upload(fields=RECOGNITION | EXPIRY).json()
    assert re.fullmatch(r"file-api-[0-9a-f]{32}", file["id"])
    assert before <= file["created_at"] <= time.time()
    assert file == {
        "id": file["id"],
        "object": "file",
        "bytes": len(TEXT),
        "created_at": file["created_at"],
        "filename": "harbour.txt",
        "purpose": "text_recognition",
        "expires_at": file["created_at"] + 3600,
    }
    assert files.request("GET", f"files/{file['id']}").json() == file
    assert "expires_at" not in files.upload().json()


def test_an_upload_is_recorded_field_by_field_in_the_order_sent(files: Files) -> None:
    content = b"\x00\r\n--" + PNG
    files.upload(PNG + content, "a b.png", {"purpose": "user_data"} | EXPIRY)
    body = files.gateway.requests[-1].body
    assert list(body.items()) == [
        ("purpose", "user_data"),
        *EXPIRY.items(),
        (
            "file",
            {
                "filename": "a b.png",
                "content_type": "image/png",
                "bytes": len(PNG + content),
                "sha256": hashlib.sha256(PNG + content).hexdigest(),
                "content": PNG + content,
            },
        ),
    ]


def test_a_large_file_is_recorded_without_its_content(files: Files) -> None:
    content = b"long " * 20_000
    files.upload(content)
    record = files.gateway.requests[-1].body["file"]
    assert (record["bytes"], record["content"]) == (100_000, None)


def test_the_latest_requests_are_kept_up_to_a_size(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "MAX_RECORDED_BYTES", 5000)
    for number in range(4):
        files.upload(b"x" * 2000, f"{number}.txt")
    assert [request.body["file"]["filename"] for request in files.gateway.requests] == [
        "2.txt",
        "3.txt",
    ]
    files.upload(b"x" * 9000, "large.txt")
    assert [request.body["file"]["filename"] for request in files.gateway.requests] == ["large.txt"]


@pytest.mark.parametrize(
    ("name", "content", "fields"),
    [
        ("a.pdf", PDF, {"purpose": "rich_layout_recognition"}),
        ("a.docx", b"PK\x03\x04\x00", RECOGNITION),
        ("a.PPT", b"\xd0\xcf\x11\xe0\x00", RECOGNITION),
        ("a.xlsx", b"PK\x03\x04\x00", RECOGNITION),
        ("a.epub", b"PK\x03\x04\x00", RECOGNITION),
        ("a.csv", b"a,b\n1,2", RECOGNITION),
        ("a.png", PNG, RECOGNITION),
        ("picture", PNG, {"purpose": "user_data"}),
    ],
)
def test_a_supported_kind_of_file_is_accepted(
    files: Files, name: str, content: bytes, fields: dict[str, str]
) -> None:
    assert files.upload(content, name, fields).json()["filename"] == name


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "The field 'purpose' is required and must precede 'file'"),
        (
            {"purpose": "assistants"},
            (
                "Invalid 'purpose': expected one of user_data, text_recognition, "
                "rich_layout_recognition"
            ),
        ),
        ({"purpose": "user_data"}, "The purpose 'user_data' is only supported for images."),
        (
            RECOGNITION | {"expires_after[seconds]": "3600"},
            "'expires_after[anchor]' and 'expires_after[seconds]' must be set together",
        ),
        (
            RECOGNITION | {"expires_after[anchor]": "created_at"},
            "'expires_after[anchor]' and 'expires_after[seconds]' must be set together",
        ),
        (
            RECOGNITION | EXPIRY | {"expires_after[anchor]": "now"},
            "Invalid 'expires_after[anchor]': expected 'created_at'",
        ),
        *(
            (
                RECOGNITION | EXPIRY | {"expires_after[seconds]": seconds},
                "Invalid 'expires_after[seconds]': expected 3600 to 2592000",
            )
            for seconds in ("3599", "2592001", "1e5")
        ),
    ],
)
def test_an_upload_with_an_invalid_field_is_refused(
    files: Files, fields: dict[str, str], message: str
) -> None:
    assert error_of(files.upload(fields=fields)) == message
    assert files.request("GET").json()["data"] == []


def test_an_upload_with_the_purpose_after_the_file_is_refused(files: Files) -> None:
    parts = {"file": ("a.txt", b"text"), "purpose": (None, b"text_recognition")}
    response = files.request("POST", files=parts)
    assert error_of(response) == "The field 'purpose' is required and must precede 'file'"


@pytest.mark.parametrize(
    "body", [{"json": {}}, {"content": b"--x", "headers": {}}, {"data": {"purpose": "user_data"}}]
)
def test_an_upload_that_is_not_multipart_is_refused(files: Files, body: dict[str, Any]) -> None:
    body.pop("headers", None)
    response = files.request("POST", **body)
    assert (response.status_code, response.text) == (400, "Invalid multipart body")


def test_an_upload_without_a_file_is_refused(files: Files) -> None:
    response = files.request("POST", files={"purpose": (None, b"user_data")})
    assert error_of(response) == "Missing required field 'file'"


def test_an_unsupported_kind_of_file_is_refused(files: Files) -> None:
    response = files.upload(b"MZ\x00\x01", "run.exe")
    assert error_of(response) == "The type of the file 'run.exe' is not supported."


@pytest.mark.parametrize(
    ("name", "content"), [("a.png", PNG), ("a.pdf", PDF), ("a.txt", b"a" * 70)]
)
def test_a_file_above_the_limit_of_its_kind_is_refused(
    http: httpx.Client, name: str, content: bytes
) -> None:
    kind = {".png": "image", ".pdf": "document", ".txt": "text"}[name[1:]]
    gateway, files = with_limits(http, **{kind: len(content) - 1})
    with gateway:
        refused = error_of(files.upload(content, name))
    size = len(content)
    assert refused == f"The file '{name}' is too large: {size} bytes, at most {size - 1}."


def test_the_documented_limits_are_the_defaults() -> None:
    mib = 2**20
    assert FileLimits() == FileLimits(64 * mib, 100 * mib, 32 * mib, 10_000, 25 * 1024 * mib)


@pytest.mark.parametrize("limits", [{"files": 1}, {"total_bytes": len(TEXT) + 5}])
def test_a_quota_that_is_used_up_refuses_uploads_until_a_file_is_deleted(
    http: httpx.Client, limits: dict[str, int]
) -> None:
    gateway, files = with_limits(http, **limits)
    with gateway:
        first = files.id()
        refused = files.upload()
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "file_quota")
        files.request("DELETE", f"files/{first}")
        files.id()


def test_files_are_listed_page_by_page(files: Files) -> None:
    texts = [files.id(name=f"{number}.txt") for number in range(3)]
    image = files.id(PNG, "a.png", {"purpose": "user_data"})

    def listed(query: str) -> tuple[list[str], Any, Any, bool]:
        page = files.request("GET", f"files?{query}").json()
        assert page["object"] == "list"
        ids = [file["id"] for file in page["data"]]
        return ids, page.get("first_id"), page.get("last_id"), page["has_more"]

    assert listed("") == ([image, *texts[::-1]], image, texts[0], False)
    assert listed("order=asc&limit=2") == (texts[:2], texts[0], texts[1], True)
    assert listed(f"order=asc&limit=2&after={texts[1]}") == (
        [texts[2], image],
        texts[2],
        image,
        False,
    )
    assert listed("purpose=user_data") == ([image], image, image, False)
    assert listed("purpose=rich_layout_recognition") == ([], None, None, False)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=0", "Invalid 'limit': expected 1 to 1000"),
        ("limit=1001", "Invalid 'limit': expected 1 to 1000"),
        ("limit=many", "Invalid 'limit': expected 1 to 1000"),
        ("order=up", "Invalid 'order': expected 'asc' or 'desc'"),
        ("after=file-api-0", "Invalid 'after': the file 'file-api-0' does not exist"),
    ],
)
def test_a_list_with_an_invalid_query_is_refused(files: Files, query: str, message: str) -> None:
    assert error_of(files.request("GET", f"files?{query}")) == message


def test_a_deleted_file_is_gone(files: Files) -> None:
    id_ = files.id()
    deleted = files.request("DELETE", f"files/{id_}").json()
    assert deleted == {"id": id_, "object": "file", "deleted": True}
    for response in (files.request("GET", f"files/{id_}"), files.request("DELETE", f"files/{id_}")):
        assert response.status_code == 404
        assert response.json()["error"]["message"] == f"The file '{id_}' was deleted."
    assert error_of(files.ask(id_)) == f"The file '{id_}' was deleted."


def test_an_expired_file_is_gone(files: Files) -> None:
    kept, expiring = files.id(), files.id(fields=RECOGNITION | EXPIRY)
    files.gateway.expire_files()
    assert [file["id"] for file in files.request("GET").json()["data"]] == [kept]
    assert files.request("GET", f"files/{expiring}").status_code == 404
    assert error_of(files.ask(expiring)) == f"The file '{expiring}' has expired."


def test_a_file_that_never_existed_is_refused(files: Files) -> None:
    message = "The file 'file-api-0' does not exist or was not created under this account."
    assert error_of(files.ask("file-api-0")) == message
    assert files.request("GET", "files/file-api-0").status_code == 404


def test_a_reset_drops_all_files(files: Files) -> None:
    id_ = files.id()
    files.gateway.reset()
    assert files.request("GET", f"files/{id_}").status_code == 404


def test_parsing_is_silent_and_goes_on_after_the_client_has_left(files: Files) -> None:
    files.gateway.document("harbour.txt", seconds=0.5)
    with pytest.raises(httpx.ReadTimeout):
        files.upload(timeout=0.1)
    assert files.request("GET").json()["data"] == []
    deadline = time.monotonic() + 10
    while not files.request("GET").json()["data"] and time.monotonic() < deadline:
        time.sleep(0.05)
    (file,) = files.request("GET").json()["data"]
    assert (file["filename"], file["bytes"]) == ("harbour.txt", len(TEXT))


@pytest.mark.parametrize(
    ("name", "content", "script", "question", "quoted"),
    [
        (
            "harbour.txt",
            TEXT.encode(),
            None,
            "When does the harbour open?",
            "The harbour opens at dawn.",
        ),
        ("a.pdf", PDF, None, "What is the launch code?", "The launch code is (4711)."),
        (
            "scan.pdf",
            b"%PDF-1.7\n\x00",
            "Rent is due in May.",
            "When is rent due?",
            "Rent is due in May.",
        ),
    ],
)
def test_the_simulated_model_quotes_a_document(
    files: Files, name: str, content: bytes, script: str | None, question: str, quoted: str
) -> None:
    if script is not None:
        files.gateway.document(name, script)
    message = message_of(files.ask(files.id(content, name), question))
    assert message["content"] == f"You told me: {quoted}"


def test_a_document_that_cannot_be_read_says_how_to_script_it(files: Files) -> None:
    content = message_of(files.ask(files.id(b"PK\x03\x04\x00", "plan.docx"), None))["content"]
    assert "cannot read plan.docx: script its text with `document`" in content


def test_a_document_counts_as_prompt_tokens(files: Files) -> None:
    short, long = files.id(b"short", "a.txt"), files.id(b"word " * 2000, "b.txt")
    few, many = (files.ask(id_).json()["usage"]["prompt_tokens"] for id_ in (short, long))
    assert many - few > 2000


@pytest.mark.parametrize("nested", [False, True])
def test_an_uploaded_image_is_seen(files: Files, nested: bool) -> None:
    id_ = files.id(PNG, "a.png", {"purpose": "user_data"})
    ref = {"file": {"file_id": id_}} if nested else {"file_id": id_}
    content = [{"type": "file", **ref}, {"type": "text", "text": "What is this?"}]
    message = message_of(files.caller.post(messages=[{"role": "user", "content": content}]))
    assert message["content"].startswith("I see 1 image: an image of")


def test_a_file_in_another_message_than_the_users_is_refused(files: Files) -> None:
    content = [{"type": "file", "file_id": files.id()}]
    messages = [{"role": "system", "content": content}, {"role": "user", "content": "Hi"}]
    response = files.caller.post(messages=messages)
    assert error_of(response) == "Files are only supported in user messages"


@pytest.mark.parametrize("routing", ["unified", "compat"])
def test_files_are_only_on_the_provider_native_path(files: Files, routing: Routing) -> None:
    response = files.request("GET", "files", routing)
    expected = {"unified": 404, "compat": 400}[routing]
    assert response.status_code == expected


def test_a_gateway_that_does_not_forward_the_paths_responds_as_to_an_unknown_one(
    start_gateway: StartGateway,
) -> None:
    files = Files(start_gateway(assumptions=Assumptions(deepseek_paths=False)))
    paths = ("files", "files/file-api-0", "v1/tools/search")
    responses = [files.request("POST", path) for path in paths]
    assert [(each.status_code, each.content) for each in responses] == [(404, b"")] * 3


def test_the_sdk_of_openai_uploads_lists_reads_and_deletes(gw: LocalGateway) -> None:
    token = {"cf-aig-authorization": f"Bearer {gw.gateway_token}"}
    client = OpenAI(base_url=gw.base_url(), api_key=gw.api_key, default_headers=token)
    with client:
        expiry: Any = {"anchor": "created_at", "seconds": 7200}
        purpose: Any = "text_recognition"
        file = client.files.create(file=("a.pdf", PDF), purpose=purpose, expires_after=expiry)
        assert list(gw.requests[-1].body)[-1] == "file"
        assert file.expires_at == file.created_at + 7200
        assert [each.id for each in client.files.list(limit=1)] == [file.id]
        assert client.files.retrieve(file.id) == file
        assert client.files.delete(file.id).deleted


def test_an_upload_is_in_the_log(gw: LocalGateway, files: Files) -> None:
    files.upload()
    url = f"{gw.url}/client/v4/accounts/{gw.account_id}/ai-gateway/gateways/local/logs"
    rows = files.caller.http.get(url, headers=files.caller.headers("unified")).json()["result"]
    row = {name: rows[0][name] for name in ("path", "provider", "status_code", "cost")}
    assert row == {"path": "files", "provider": "deepseek", "status_code": 200, "cost": 0}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_plain_text_is_read_in_its_encoding(files: Files, encoding: str) -> None:
    id_ = files.id("Die Tür öffnet um neun.".encode(encoding), "a.txt")
    message = message_of(files.ask(id_, "Um neun öffnet die Tür?"))
    assert message["content"] == "You told me: Die Tür öffnet um neun."


def test_a_failure_replaces_the_response_to_an_upload(files: Files) -> None:
    files.gateway.fail_next("deepseek-rate")
    assert files.upload().status_code == 429
    assert files.request("GET").json()["data"] == []


def test_documents_cannot_be_scripted_with_an_upstream() -> None:
    gateway = LocalGateway(upstream="http://127.0.0.1:9")
    with pytest.raises(TypeError, match="Documents cannot be scripted"):
        gateway.document("a.txt")
