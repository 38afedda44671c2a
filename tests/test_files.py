"""DeepSeek's Files API: uploads, limits, errors, and documents in messages sent by their ids."""

import asyncio
import base64
import inspect
import io
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from blockbuster import blockbuster_ctx
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue
from pydantic import ValidationError

from langchain_cf_deepseek import errors
from langchain_cf_deepseek.files import GatewayFiles, UploadedFile
from tests.conftest import PICTURE, Ask
from tests.files_server import CREATED, FilesServer, serving

PDF = b"%PDF-1.4 a report"
BASE64 = base64.b64encode(PDF).decode()
FIRST, SECOND = "file-api-" + "0" * 32, "file-api-" + "0" * 31 + "1"
QUESTION = {"type": "text", "text": "What does it say?"}
MAYBE_STORED = "may have parsed and billed the file all the same: look for it with `list()`"

Call = Callable[..., Any]


@pytest.fixture
def server() -> Iterator[FilesServer]:
    with serving() as running:
        yield running


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    """Call a method of `GatewayFiles`, or its twin in an event loop of its own."""

    async def collect(files: GatewayFiles, method: str, *args: Any, **kwargs: Any) -> Any:
        result = getattr(files, f"a{method}")(*args, **kwargs)
        if inspect.isawaitable(result):
            result = await result
        return [row async for row in result] if hasattr(result, "__aiter__") else result

    def ask(files: GatewayFiles, method: str, *args: Any, **kwargs: Any) -> Any:
        if request.param == "async":
            return asyncio.run(collect(files, method, *args, **kwargs))
        result = getattr(files, method)(*args, **kwargs)
        is_lazy = method in {"list", "upload_folder"}
        return [*result] if is_lazy else result

    return ask


def _zip(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return content.getvalue()


def _ids(files: Any) -> list[str]:
    return [file.id for file in files]


def test_an_upload_sends_purpose_and_expiry_before_the_file(
    server: FilesServer, call: Call, tmp_path: Path
) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(PDF * 20_000)
    file = call(server.client(), "upload", path, expires_after=3600)
    assert list(server.uploads[0].items()) == [
        ("purpose", "text_recognition"),
        ("expires_after[anchor]", "created_at"),
        ("expires_after[seconds]", "3600"),
        ("file", ("report.pdf", "application/pdf", PDF * 20_000)),
    ]
    assert file == UploadedFile.model_validate(server.files[FIRST])
    assert (file.id, file.bytes, file.created_at) == (FIRST, 20_000 * len(PDF), CREATED)
    assert file.part == {"type": "file", "file_id": FIRST}


def test_an_upload_sends_the_headers_of_the_model_and_nothing_of_openai(
    server: FilesServer, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "BASE_URL"):
        monkeypatch.setenv(f"OPENAI_{name}", "http://openai.invalid/of-openai")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Of-OpenAI: 1")
    settings = {
        "gateway_token": "a-gateway-token",
        "gateway": {"metadata": {"team": "search"}, "cache_ttl": 60, "request_timeout_ms": 9},
        "default_headers": {"X-Mine": "yes"},
        "default_query": {"q": "1"},
    }
    call(server.client(settings), "upload", PDF)
    (request,) = server.requests
    technical = re.compile("host|accept-encoding|connection|content-.*")
    headers = {n: v for n, v in request["headers"].items() if not technical.fullmatch(n)}
    assert headers == {
        "accept": "application/json",
        "authorization": "Bearer a-deepseek-key",
        "cf-aig-authorization": "Bearer a-gateway-token",
        "cf-aig-max-attempts": "1",
        "cf-aig-metadata": '{"team":"search"}',
        "cf-aig-skip-cache": "true",
        "user-agent": headers["user-agent"],
        "x-mine": "yes",
        "x-stainless-raw-response": "true",
    }
    assert headers["user-agent"].startswith("langchain-cf-deepseek/")
    assert request["query"] == {"q": "1"}


def test_a_key_stored_in_the_gateway_needs_no_authorization(server: FilesServer) -> None:
    server.client({"api_key": None, "gateway_token": "a-gateway-token"}).upload(PDF)
    assert "authorization" not in server.requests[0]["headers"]


def test_a_path_is_not_read_into_memory_at_once(
    server: FilesServer, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(PDF + bytes(3_000_000))
    sizes: list[int] = []
    real_open = Path.open

    class Watched(io.BufferedReader):
        def read(self, size: int | None = -1, /) -> bytes:
            sizes.append(len(data := super().read(size)))
            return data

    def watched(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        opened: Any = real_open(self, mode, *args, **kwargs)
        return Watched(opened.detach()) if self == path else opened

    monkeypatch.setattr(Path, "open", watched)
    call(server.client(), "upload", path)
    assert server.files[FIRST]["bytes"] == sum(sizes[1:])
    assert max(sizes) <= 2**16


def test_a_list_asks_for_each_page_when_it_gets_there(server: FilesServer, call: Call) -> None:
    files = server.client()
    for number in range(5):
        files.upload(b"Number %d" % number)
    server.requests.clear()
    found = call(files, "list", purpose="text_recognition", limit=2, order="desc")
    assert _ids(found) == sorted(server.files, reverse=True)
    assert [request["query"].get("after") for request in server.requests] == [
        None,
        "file-api-" + "0" * 31 + "3",
        SECOND,
    ]
    server.requests.clear()
    assert next(iter(files.list(limit=2))).id == FIRST
    assert len(server.requests) == 1


def test_a_list_that_repeats_its_pages_is_an_error(server: FilesServer, call: Call) -> None:
    page = {"object": "list", "data": [{"id": FIRST}], "has_more": True}
    server.faults += [(200, page), (200, page)]
    with pytest.raises(errors.CFDeepSeekAPIError, match="the same page again"):
        call(server.client(), "list")


def test_a_file_is_found_and_deleted_by_its_id_or_itself(server: FilesServer, call: Call) -> None:
    files = server.client()
    file = files.upload(PDF)
    assert call(files, "get", FIRST) == file
    assert call(files, "delete", file) is None
    for method in ("get", "delete"):
        with pytest.raises(errors.CFDeepSeekFileNotFoundError, match="upload it again"):
            call(files, method, FIRST)


@pytest.mark.parametrize("method", ["list", "get", "delete"])
def test_calls_other_than_an_upload_are_repeated_like_chat(
    server: FilesServer, call: Call, method: str
) -> None:
    files = server.client()
    file = files.upload(PDF)
    server.requests.clear()
    server.faults += ["cut", (503, {"error": {"message": "busy"}})]
    call(files, method, *([] if method == "list" else [file]))
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("cut", errors.CFDeepSeekConnectionError),
        (1.0, errors.CFDeepSeekTimeoutError),
        ((502, {"error": {"message": "bad gateway"}}), errors.CFDeepSeekAPIError),
        ((408, {"error": {"message": "too slow"}}), errors.CFDeepSeekTimeoutError),
        ((200, "<html>"), errors.CFDeepSeekAPIError),
        ((200, {"object": "file"}), errors.CFDeepSeekAPIError),
    ],
)
def test_a_broken_upload_says_that_it_may_be_billed_and_is_not_repeated(
    server: FilesServer, call: Call, fault: Any, error: type[errors.CFDeepSeekError]
) -> None:
    server.faults.append(fault)
    with pytest.raises(error, match=re.escape(MAYBE_STORED)) as caught:
        call(server.client(), "upload", PDF, timeout=0.3)
    assert not caught.value.is_retryable
    assert len(server.requests) == 1
    assert "a-deepseek-key" not in repr(vars(caught.value)) + str(caught.value)


def test_an_upload_over_the_rate_limit_is_repeated(server: FilesServer, call: Call) -> None:
    server.faults.append((429, {"error": {"message": "slow down"}}))
    assert call(server.client(), "upload", PDF).id == FIRST
    assert [form["file"][2] for form in server.uploads] == [PDF, PDF]


def test_an_upload_that_reaches_no_server_raises_without_the_hint_at_billing(call: Call) -> None:
    with serving() as server:
        files = server.client({"max_retries": 0})
    with pytest.raises(errors.CFDeepSeekConnectionError) as caught:
        call(files, "upload", PDF)
    assert MAYBE_STORED not in str(caught.value)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ((401, {"error": {"message": "bad key"}}), errors.CFDeepSeekAuthenticationError),
        (
            (402, {"error": {"message": "Insufficient Balance"}}),
            errors.CFDeepSeekInsufficientFundsError,
        ),
        (
            (400, {"error": {"message": "Full", "code": "file_quota"}}),
            errors.CFDeepSeekInvalidRequestError,
        ),
        (
            (429, {"error": {"message": "Full", "code": "file_quota"}}),
            errors.CFDeepSeekInvalidRequestError,
        ),
        ((302, ""), errors.CFDeepSeekInvalidRequestError),
        ((404, ""), errors.CFDeepSeekInvalidRequestError),  # not passed on by the gateway
    ],
)
def test_errors_are_those_of_chat(
    server: FilesServer, call: Call, reply: Any, error: type[errors.CFDeepSeekError]
) -> None:
    server.faults.append(reply)
    with pytest.raises(error) as caught:
        call(server.client(), "upload", PDF)
    assert caught.value.gateway["log_id"]
    assert len(server.requests) == 1


@pytest.mark.parametrize("routing", ["unified", "compat"])
def test_files_need_provider_native_routing(server: FilesServer, routing: Any) -> None:
    llm = server.llm(routing=routing, cloudflare_api_token="a-cloudflare-token")
    with pytest.raises(errors.CFDeepSeekInvalidRequestError, match='routing="provider-native"'):
        GatewayFiles.of(llm)
    with pytest.raises(ValidationError, match='routing="provider-native"'):
        GatewayFiles(llm=llm)


@pytest.mark.parametrize(
    ("file", "settings", "expected_error"),
    [
        (b"", {}, "file: the file is empty"),
        (b"\x7fELF\x00\x01", {}, "of no kind that DeepSeek takes"),
        (_zip("a.exe"), {"filename": "a.zip"}, "of no kind that DeepSeek takes"),
        ("nowhere.pdf", {}, "'nowhere.pdf' cannot be read"),
        (".", {}, "use `upload_folder`"),
        (42, {}, "file: must be a path or bytes, not int"),
        (PDF, {"purpose": "vision"}, "`purpose`: Input should be 'text_recognition'"),
        (PDF, {"expires_after": 3599}, "`expires_after`: Input should be greater"),
        (PDF, {"expires_after": 2_592_001}, "`expires_after`: Input should be less"),
        (PDF, {"timeout": -1}, "`timeout` must be seconds"),
    ],
)
def test_a_file_or_argument_that_deepseek_does_not_take_is_refused_before_sending(
    server: FilesServer, call: Call, file: Any, settings: dict[str, Any], expected_error: str
) -> None:
    with pytest.raises(errors.CFDeepSeekInvalidRequestError, match=re.escape(expected_error)):
        call(server.client(), "upload", file, **settings)
    assert server.requests == []


@pytest.mark.parametrize(
    ("head", "name", "mib"),
    [
        (PICTURE, "a.pdf", 64),
        (PDF, "a.txt", 100),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a.ppt", 100),
        (b"a,b\n", "a.csv", 32),
        (b"plain", "notes.md", 32),
    ],
)
def test_a_file_over_the_limit_of_its_kind_is_refused_before_sending(
    server: FilesServer, tmp_path: Path, head: bytes, name: str, mib: int
) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        file.write(head.ljust(4096))
        file.truncate(mib * 2**20 + 1)  # takes no room on the disk
    with pytest.raises(errors.CFDeepSeekInvalidRequestError, match=f"is {mib} MiB: split it"):
        server.client().upload(path)
    assert server.requests == []


@pytest.mark.parametrize(
    ("content", "filename", "sent"),
    [
        (PICTURE, None, ("user_data", "document.png", "image/png")),
        (
            _zip("word/document.xml"),
            None,
            (
                "text_recognition",
                "document.docx",
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            ),
        ),
        (
            _zip("META-INF/container.xml"),
            "b.epub",
            ("text_recognition", "b.epub", "application/epub+zip"),
        ),
        ("中文".encode("gbk"), None, ("text_recognition", "document.txt", "text/plain")),
        (b"a,b", "../t.csv", ("text_recognition", "t.csv", "text/csv")),
    ],
)
def test_kind_and_purpose_follow_from_content_and_name(
    server: FilesServer, content: bytes, filename: str | None, sent: tuple[str, ...]
) -> None:
    server.client().upload(content, filename=filename)
    (form,) = server.uploads
    assert (form["purpose"], *form["file"][:2]) == sent


INLINE: list[Any] = [
    {"type": "file", "base64": BASE64, "mime_type": "application/pdf"},
    {"type": "file", "source_type": "base64", "data": BASE64, "mime_type": "application/pdf"},
    {"type": "file", "url": f"data:application/pdf;base64,{BASE64}"},
    {
        "type": "file",
        "file": {"file_data": f"data:application/pdf;base64,{BASE64}", "filename": "a.pdf"},
    },
    {"type": "input_file", "file_data": BASE64, "filename": "a.pdf"},
    {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": BASE64},
    },
    {"type": "media", "mime_type": "application/pdf", "data": PDF},
    {"type": "media", "mime_type": "application/pdf", "data": BASE64.rstrip("=")},
]


@pytest.mark.parametrize("block", INLINE)
def test_an_inline_document_of_any_form_goes_by_its_id(
    server: FilesServer, ask: Ask, block: dict[str, Any]
) -> None:
    files = server.client()
    message = HumanMessage([block, QUESTION])
    before = pickle.dumps(message)
    answer = ask(files.attach | files.llm, [message])
    assert answer.text == "Read."
    assert [form["file"][2] for form in server.uploads] == [PDF]
    assert server.bodies[0]["messages"] == [
        {"role": "user", "content": [{"type": "file", "file_id": FIRST}, QUESTION]}
    ]
    assert pickle.dumps(message) == before


def test_a_path_in_a_user_message_is_uploaded_and_in_a_tool_result_is_not(
    server: FilesServer, call: Call, tmp_path: Path
) -> None:
    path = tmp_path / "a report.pdf"
    path.write_bytes(PDF)
    blocks: list[Any] = [
        {"type": "file", "path": str(path)},
        {"type": "file", "url": path.as_uri()},
    ]
    inline: Any = {
        "type": "file",
        "base64": base64.b64encode(b"%PDF-2").decode(),
        "mime_type": "application/pdf",
    }
    result = ToolMessage([*blocks, inline], tool_call_id="a")
    asked, answered = call(
        server.client(max_concurrency=1), "attach", [HumanMessage(blocks), result]
    )
    assert asked.content == [{"type": "file", "file_id": FIRST}] * 2
    assert answered.content == [*blocks, {"type": "file", "file_id": SECOND}]
    assert [form["file"][0] for form in server.uploads] == ["a report.pdf", "document.pdf"]


def test_attach_leaves_what_is_no_inline_document_as_it_is(server: FilesServer, call: Call) -> None:
    picture = base64.b64encode(PICTURE).decode()
    content: list[Any] = [
        "text",
        QUESTION,
        {"type": "image", "base64": picture, "mime_type": "image/png"},
        {"type": "file", "base64": picture, "mime_type": "image/png"},
        {"type": "file", "file_id": FIRST},
        {"type": "file", "url": "https://example.com/a.pdf"},
        {"type": "media", "mime_type": "audio/wav", "data": "AAAA"},
        {"type": "document", "source": {"type": "text", "data": "Cats."}},
        {"type": "text-plain", "text": "Dogs."},
    ]
    messages = [SystemMessage("Be brief."), HumanMessage(content), AIMessage("Yes.")]
    for given in (messages, ChatPromptValue(messages=messages), StringPromptValue(text="Hi"), "Hi"):
        assert call(server.client(), "attach", given) is given
    assert server.requests == []


def test_attach_returns_the_form_it_was_given(server: FilesServer, call: Call) -> None:
    message = HumanMessage([INLINE[0]])
    attached = HumanMessage([{"type": "file", "file_id": FIRST}])
    files = server.client()
    assert call(files, "attach", message) == attached
    assert call(files, "attach", [("user", [INLINE[0]])]) == [attached]
    assert call(files, "attach", {"messages": [message], "n": 1}) == {
        "messages": [attached],
        "n": 1,
    }
    prompt = ChatPromptValue(messages=[message])
    assert call(files, "attach", prompt) == ChatPromptValue(messages=[attached])
    assert len(server.uploads) == 1


def _about(*contents: bytes) -> HumanMessage:
    blocks: list[Any] = [
        {"type": "file", "base64": base64.b64encode(content).decode()} for content in contents
    ]
    return HumanMessage(blocks)


def test_a_content_is_uploaded_once_by_calls_at_the_same_time(server: FilesServer) -> None:
    server.delay = 0.2
    files = server.client()
    found = files.attach.batch([[_about(PDF)], [_about(PDF)], [_about(PDF)]])
    found += asyncio.run(files.attach.abatch([[_about(PDF)], [_about(b"other"), _about(PDF)]]))
    copied = pickle.loads(pickle.dumps(files))
    found.append(copied.attach([_about(PDF)]))
    assert [row[-1].content[0]["file_id"] for row in found] == [FIRST] * 6
    assert len(server.uploads) == 2


def test_a_deleted_or_expired_file_is_uploaded_again(server: FilesServer) -> None:
    files = server.client()
    expired = {**UploadedFile(id="file-api-old", expires_at=1).model_dump(), "object": "file"}
    server.faults.append((200, expired))
    ids = [files.attach(_about(PDF)).content[0]["file_id"] for _ in range(2)]
    files.delete(ids[1])
    ids.append(files.attach(_about(PDF)).content[0]["file_id"])
    assert ids == ["file-api-old", FIRST, FIRST]


def test_what_was_uploaded_before_an_error_is_kept(server: FilesServer, call: Call) -> None:
    files = server.client(max_concurrency=1)
    message = _about(b"first", b"second")
    server.faults += [0.0, (400, {"error": {"message": "cannot be parsed"}})]
    with pytest.raises(errors.CFDeepSeekInvalidRequestError, match="cannot be parsed"):
        call(files, "attach", message)
    assert [b["file_id"] for b in call(files, "attach", message).content] == [FIRST, SECOND]
    assert [form["file"][2] for form in server.uploads] == [b"first", b"second", b"second"]


def test_async_attach_uploads_several_at_the_same_time(server: FilesServer) -> None:
    server.delay = 0.3
    files = server.client(max_concurrency=3)
    asyncio.run(files.aattach(_about(*(b"text %d" % n for n in range(7)))))
    assert (server.most_at_once, len(server.uploads)) == (3, 7)


def test_attach_names_the_block_whose_data_is_not_base64(server: FilesServer, call: Call) -> None:
    broken: list[Any] = [QUESTION, {"type": "file", "base64": "?!", "mime_type": "a/b"}]
    message = HumanMessage(broken)
    with pytest.raises(
        errors.CFDeepSeekInvalidRequestError, match=re.escape("messages[0].content[1]: the data")
    ):
        call(server.client(), "attach", [message])


def test_a_folder_is_uploaded_although_one_of_its_files_fails(
    server: FilesServer, call: Call, tmp_path: Path
) -> None:
    for name, content in {"a.txt": b"A", "b.txt": b"B", "c.bin": b"\0", ".hidden": b"H"}.items():
        (tmp_path / name).write_bytes(content)
    files = server.client()
    assert len(files.upload_folder(tmp_path)) == 3
    for _ in range(2):  # the second time nothing is sent
        found = {path.name: file for path, file in call(files, "upload_folder", tmp_path)}
        assert sorted(found) == ["a.txt", "b.txt", "c.bin"]
        assert isinstance(found["c.bin"], errors.CFDeepSeekInvalidRequestError)
        assert {found["a.txt"].id, found["b.txt"].id} == {FIRST, SECOND}
    assert len(server.uploads) == 2
    with pytest.raises(errors.CFDeepSeekInvalidRequestError, match="is not a folder"):
        call(files, "upload_folder", tmp_path / "a.txt")


def test_a_lost_file_is_a_clear_error_of_chat(server: FilesServer, ask: Ask) -> None:
    server.faults.append((400, {"error": {"message": f"File {FIRST} has expired"}}))
    with pytest.raises(errors.CFDeepSeekFileNotFoundError, match="upload it again"):
        ask(server.llm(), [HumanMessage([{"type": "file", "file_id": FIRST}])])


def test_the_repr_of_files_shows_no_credential(server: FilesServer) -> None:
    files = server.client(purpose="rich_layout_recognition")
    url = f"{files.llm.base_url}/files"
    assert repr(files) == (
        f"GatewayFiles(url={url!r}, purpose='rich_layout_recognition', expires_after=None, "
        "uploaded=0)"
    )


@pytest.mark.parametrize(("content", "seconds"), [(PDF, 120.0), (b"text", 600.0), (PICTURE, 600.0)])
def test_an_upload_waits_for_sending_and_for_silent_parsing(
    server: FilesServer, content: bytes, seconds: float
) -> None:
    bounds: list[dict[str, float]] = []

    def watch(request: Any) -> None:
        bounds.append(request.extensions["timeout"])

    with openai.DefaultHttpxClient(event_hooks={"request": [watch]}) as http_client:
        files = server.client({"http_client": http_client, "request_timeout": 3})
        files.upload(content)
        files.get(FIRST)
        files.upload(content, timeout=(1, 2))
    assert bounds == [
        {"connect": 5.0, "read": seconds + 600, "write": seconds, "pool": 5.0},
        {"connect": 3, "read": 3, "write": 3, "pool": 3},
        {"connect": 1, "read": 2, "write": None, "pool": None},
    ]


def test_a_client_of_httpx_supplied_by_the_caller_is_used(server: FilesServer) -> None:
    with httpx.Client() as http_client:
        files = server.client({"http_client": http_client})
        assert files.upload(PDF).id == FIRST
        assert _ids(files.list()) == [FIRST]


def test_no_async_call_blocks_its_loop(server: FilesServer, tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(PDF * 10_000)
    files = server.client()

    async def use() -> None:
        await files.aupload(path)
        with blockbuster_ctx():
            await files.aupload(path)
            await files.aattach(HumanMessage([{"type": "file", "path": str(path)}]))
            async for _, file in await files.aupload_folder(tmp_path):
                assert isinstance(file, UploadedFile)
            async for file in files.alist():
                await files.adelete(file)

    asyncio.run(use())
    assert (len(server.uploads), server.files) == (3, {})
