"""DeepSeek's Files API through the gateway: documents and images that messages refer to by id.

On the OpenAI SDK's own `files` resource, with a chat model's credentials, gateway options and HTTP
clients, and this package's retries and errors. https://api-docs.deepseek.com/guides/files_api
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from os import PathLike
from typing import Annotated, Any, Literal, Self, TypeAlias

from openai import DEFAULT_MAX_RETRIES
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, field_validator

from langchain_cf_deepseek._errors.invalid_requests import invalid_request, refused_before_sending
from langchain_cf_deepseek._files_api import (
    FilesCall,
    FilesClient,
    Operation,
    UploadedFile,
)
from langchain_cf_deepseek._files_attach import Attach
from langchain_cf_deepseek._files_folder import FolderUpload, list_folder
from langchain_cf_deepseek._files_kinds import OpenedFile, open_file
from langchain_cf_deepseek._files_once import AsyncUpload, Source, Upload, Uploads
from langchain_cf_deepseek._headers import merge_headers
from langchain_cf_deepseek._redaction import construct
from langchain_cf_deepseek._routing import checked_url
from langchain_cf_deepseek._settings import check_timeout
from langchain_cf_deepseek._wire_requests import endpoint_of
from langchain_cf_deepseek.chat_models import ChatCloudflareDeepSeek
from langchain_cf_deepseek.errors import CFDeepSeekAPIError

__all__ = ["FolderUpload", "GatewayFiles", "Purpose", "UploadedFile"]

Purpose: TypeAlias = Literal["text_recognition", "rich_layout_recognition", "user_data"]
"""What a file is uploaded for.

`text_recognition`: a document as text, its figures dropped. `rich_layout_recognition`: text with
its figures as images in place, which cost input tokens and count as images of the request.
`user_data`: an image as it is. Which purpose DeepSeek takes for Excel, e-books and plain
text is not documented.
"""

_CONNECT_SECONDS = 5.0
_PARSING_SECONDS = 600.0
"""How long a silent server is waited for, beyond the time of an upload; not documented."""


def _seconds(value: Any) -> Any:
    return int(value.total_seconds()) if isinstance(value, timedelta) else value


_Expiry = Annotated[int, Field(ge=3600, le=2_592_000), BeforeValidator(_seconds)]


class _Upload(BaseModel):
    """The arguments of an upload, checked; by default those of `GatewayFiles`."""

    model_config = ConfigDict(frozen=True, strict=True)

    purpose: Purpose | None
    expires_after: _Expiry | None

    def body(self, file: OpenedFile) -> dict[str, Any]:
        """Return the arguments of the SDK: it sends them in this order, `file` last."""
        default = "user_data" if file.is_image else "text_recognition"
        body: dict[str, Any] = {"purpose": self.purpose or default}
        if self.expires_after is not None:
            body["expires_after"] = {"anchor": "created_at", "seconds": self.expires_after}
        return body | {"file": (file.name, file.content, file.mime_type)}


class _Page(BaseModel):
    """The arguments of `list`."""

    model_config = ConfigDict(strict=True)

    purpose: Purpose | None
    limit: Annotated[int, Field(ge=1, le=1000)] | None
    order: Literal["asc", "desc"] | None


# A response from the gateway's cache would tell of files as they were.
_NO_CACHE = {"skip_cache": True, "cache_ttl": None, "cache_key": None}
# The gateway must neither give up on silent parsing nor pay for it twice.
_ONE_ATTEMPT = {
    "request_timeout_ms": None,
    "max_attempts": 1,
    "retry_delay_ms": None,
    "backoff": None,
}


class GatewayFiles(BaseModel):
    """The files that DeepSeek keeps for one API key.

    Example:
        ```python
        from langchain_cf_deepseek import ChatCloudflareDeepSeek
        from langchain_cf_deepseek.files import GatewayFiles

        llm = ChatCloudflareDeepSeek(model="deepseek-flash")
        files = GatewayFiles.of(llm, expires_after=24 * 3600)
        reader = files.attach | llm  # uploads the documents in messages, once each
        ```

    Methods with an async twin (`aupload`, ...) are the same there. Connections are opened on first
    use and closed with this object, or by `close` and `aclose`. An object can be used in any
    thread, event loop or process.

    That Cloudflare forwards `/files` is an assumption: only chat is documented for its gateway. If
    yours does not, set `base_url` to a custom provider for https://api.deepseek.com.

    Raises:
        pydantic.ValidationError: A setting is malformed.
        CFDeepSeekInvalidRequestError: An argument or file is one that DeepSeek does not take;
            nothing was sent.
        CFDeepSeekFileNotFoundError: The file expired, was deleted, or belongs to another account.
        CFDeepSeekError: Any other failure of a request. One that broke an upload is not retryable:
            DeepSeek may have parsed and billed the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    llm: ChatCloudflareDeepSeek = Field(repr=False)
    """The model whose credentials, gateway and HTTP settings are used."""

    base_url: str | None = None
    """Replaces the model's address, up to (not including) `/files`."""

    purpose: Purpose | None = None
    """What files are uploaded for; `None`: `user_data` for images, else `text_recognition`."""

    expires_after: _Expiry | None = None
    """Seconds (or a `timedelta`) after which DeepSeek deletes a file: one hour to 30 days.

    `None`: it is kept until it is deleted.
    """

    timeout: Any = None
    """Bounds of an upload: seconds, a (connect, read) pair or a `Timeout` of the HTTP library.

    DeepSeek sends no byte while it parses a file, so the read bound covers upload (120 s for PDF,
    Word and PowerPoint, else 600 s; the gateway can hold the file back meanwhile) and parsing (600
    s). `None`: those. With the extra `fast`, async calls have no bound for writing.
    """

    max_concurrency: int = Field(default=4, ge=1)
    """How many files `aattach` and `upload_folder` upload at the same time."""

    _client: FilesClient = PrivateAttr(default_factory=FilesClient)
    _uploads: Uploads = PrivateAttr(default_factory=Uploads)

    def __init__(self, **settings: Any) -> None:
        construct(super().__init__, **settings)

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str | None) -> str | None:
        example = "https://ai.example.com/deepseek"
        return value and checked_url(value, "`base_url`", example=example)

    @field_validator("timeout")
    @classmethod
    def _check_timeout(cls, value: Any) -> Any:
        check_timeout(value, "timeout")
        return value

    @field_validator("llm")
    @classmethod
    def _check_routing(cls, value: ChatCloudflareDeepSeek) -> ChatCloudflareDeepSeek:
        if value.routing != "provider-native":
            msg = (
                f"`routing` {value.routing!r} has no Files API: use a model with "
                'routing="provider-native" (CLOUDFLARE_AI_GATEWAY_ROUTING).'
            )
            raise ValueError(msg)
        return value

    @classmethod
    @refused_before_sending()
    def of(cls, llm: ChatCloudflareDeepSeek, **settings: Any) -> Self:
        """Return the files of the DeepSeek key that a chat model uses.

        Args:
            llm: The model, with `provider-native` routing: Cloudflare's other endpoints have no
                Files API.
            **settings: Fields of this class.

        Raises:
            CFDeepSeekInvalidRequestError: The model has another routing, or a setting is malformed.
        """
        return cls(llm=llm, **settings)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        yield "url", f"{self._base_url}/files"
        yield from ((name, getattr(self, name)) for name in ("purpose", "expires_after"))
        yield "uploaded", len(self._uploads)

    def upload(
        self,
        file: Source,
        *,
        purpose: Purpose | None = None,
        filename: str | None = None,
        expires_after: int | timedelta | None = None,
        timeout: Any = None,
    ) -> UploadedFile:
        """Upload a file; returns after DeepSeek has parsed it.

        Args:
            file: A path, read while it is sent, or the content. Images up to 64 MiB; PDF, Word and
                PowerPoint up to 100 MiB; plain text, tables and e-books up to 32 MiB.
            purpose: Instead of the field of this name.
            filename: The name for DeepSeek; by default that of the path.
            expires_after: Instead of the field of this name.
            timeout: Instead of the field of this name.

        Raises:
            CFDeepSeekInvalidRequestError: The file or an argument is refused; nothing was sent.
            CFDeepSeekConnectionError: The connection broke, or (`CFDeepSeekTimeoutError`) no
                response came in time. The upload is not repeated: the file may have been parsed and
                billed, and is then found by `list`.
        """
        settings = self._upload_settings(purpose, expires_after, timeout)
        content = _open(file, filename)
        with content.content:
            return self._send_file(content, settings, timeout)

    async def aupload(
        self,
        file: Source,
        *,
        purpose: Purpose | None = None,
        filename: str | None = None,
        expires_after: int | timedelta | None = None,
        timeout: Any = None,  # noqa: ASYNC109 - of the HTTP library
    ) -> UploadedFile:
        """`upload` for an event loop."""
        settings = self._upload_settings(purpose, expires_after, timeout)
        content = await asyncio.to_thread(_open, file, filename)
        with content.content:
            return await self._asend_file(content, settings, timeout)

    def list(
        self,
        *,
        purpose: Purpose | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
    ) -> Iterator[UploadedFile]:
        """Return an iterator over all files, which asks for a page when it gets there.

        Args:
            purpose: Only files of this purpose; whatever the field of this name is.
            limit: Files of a page, 1 to 1000; `None`: DeepSeek's default.
            order: By time of upload.
        """
        return self._iter_files(self._list_call(purpose, limit, order))

    def alist(
        self,
        *,
        purpose: Purpose | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
    ) -> AsyncIterator[UploadedFile]:
        """`list` for an event loop."""
        return self._aiter_files(self._list_call(purpose, limit, order))

    def get(self, file: UploadedFile | str) -> UploadedFile:
        """Return what DeepSeek knows of a file; neither it nor its text can be downloaded.

        Args:
            file: The file, or its id.
        """
        result: UploadedFile = self._client.send(self._call("retrieve", file_id=_id_of(file)))
        return result

    async def aget(self, file: UploadedFile | str) -> UploadedFile:
        """`get` for an event loop."""
        result: UploadedFile = await self._client.asend(
            self._call("retrieve", file_id=_id_of(file))
        )
        return result

    def delete(self, file: UploadedFile | str) -> None:
        """Delete a file.

        Args:
            file: The file, or its id.
        """
        file_id = _id_of(file)
        self._client.send(self._call("delete", file_id=file_id))
        self._uploads.forget(file_id)

    async def adelete(self, file: UploadedFile | str) -> None:
        """`delete` for an event loop."""
        file_id = _id_of(file)
        await self._client.asend(self._call("delete", file_id=file_id))
        self._uploads.forget(file_id)

    @property
    def attach(self) -> "Attach":
        """Uploads the inline documents of messages: `files.attach(messages)`, `files.attach | llm`.

        Returns the messages with `{"type": "file", "file_id": ...}` in place of each document, as
        new messages in the form they were given in: a list, one message, a prompt value, or a dict
        with `messages`. A text passes through, as do images, which the chat model sends itself.

        Documents are LangChain's `file` blocks with `base64`, `path` or a `file://` URL (a path in
        user messages only, so that a tool cannot choose one; do not attach messages whose blocks
        strangers write), OpenAI's `file` and `input_file`, Anthropic's `document` and Google's
        `media`, in user messages and tool results. Whether DeepSeek reads documents in tool results
        is not documented.

        A content is uploaded once for this object, whatever its name, and what was uploaded before
        an error is kept for the next call. Async, several are uploaded at the same time.
        """
        return Attach(*self._uploaders(), self.max_concurrency)

    async def aattach(self, messages: Any) -> Any:
        """`attach` for an event loop."""
        return await self.attach.ainvoke(messages)

    def upload_folder(
        self,
        path: str | PathLike[str],
        pattern: str = "*",
        *,
        purpose: Purpose | None = None,
        expires_after: int | timedelta | None = None,
        timeout: Any = None,
    ) -> "FolderUpload":
        """Return an iterable that uploads the files of a folder, with a length for progress bars.

        It yields a (path, file) pair for each, in the order in which they are ready. A failure is a
        (path, error) pair, and does not stop the others. Iterating again repeats only what failed.

        `for path, file in tqdm(files.upload_folder("reports", "**/*.pdf")): ...`

        Args:
            path: The folder.
            pattern: Which of its files, as in `Path.glob`; hidden ones are left out.
            purpose: Instead of the field of this name.
            expires_after: Instead of the field of this name.
            timeout: Instead of the field of this name.
        """
        uploaders = self._uploaders(purpose, expires_after, timeout)
        return FolderUpload(list_folder(path, pattern), *uploaders, self.max_concurrency)

    async def aupload_folder(
        self,
        path: str | PathLike[str],
        pattern: str = "*",
        *,
        purpose: Purpose | None = None,
        expires_after: int | timedelta | None = None,
        timeout: Any = None,  # noqa: ASYNC109 - of the HTTP library
    ) -> "FolderUpload":
        """`upload_folder` for an event loop.

        `async for path, file in await files.aupload_folder("reports"): ...`
        """
        uploaders = self._uploaders(purpose, expires_after, timeout)
        paths = await asyncio.to_thread(list_folder, path, pattern)
        return FolderUpload(paths, *uploaders, self.max_concurrency)

    def close(self) -> None:
        """Close the connections of sync calls; the next call opens new ones."""
        self._client.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop; the next call opens new ones."""
        await self._client.aclose()

    @property
    def _base_url(self) -> str:
        return self.base_url or self.llm.endpoint.removesuffix("/chat/completions")

    @refused_before_sending()
    def _upload_settings(self, purpose: Any, expires_after: Any, timeout: Any) -> _Upload:
        check_timeout(timeout, "timeout")
        return _Upload(
            purpose=self.purpose if purpose is None else purpose,
            expires_after=self.expires_after if expires_after is None else expires_after,
        )

    def _upload_call(self, file: OpenedFile, settings: _Upload, timeout: Any) -> FilesCall:
        bounds = next((bound for bound in (timeout, self.timeout) if bound is not None), None)
        if bounds is None:
            upload = file.upload_seconds
            bounds = (_CONNECT_SECONDS, upload + _PARSING_SECONDS, upload, _CONNECT_SECONDS)
        return self._call("create", timeout=bounds, content=file.content, **settings.body(file))

    @refused_before_sending()
    def _call(
        self, operation: Operation, *, timeout: Any = None, content: Any = None, **arguments: Any
    ) -> FilesCall:
        llm = self.llm
        endpoint = endpoint_of(llm)
        gateway = llm.gateway.merge(_NO_CACHE)
        leaves_retries = gateway.max_attempts is not None
        if operation == "create":
            gateway = gateway.merge(_ONE_ATTEMPT)
        default_retries = 0 if leaves_retries else DEFAULT_MAX_RETRIES
        return FilesCall(
            operation=operation,
            base_url=self._base_url,
            headers=merge_headers(endpoint.headers, llm.default_headers, gateway.headers),
            query=llm.default_query or {},
            timeout=llm.request_timeout if timeout is None else timeout,
            max_retries=default_retries if llm.max_retries is None else llm.max_retries,
            http_clients=(llm.http_client, llm.http_async_client),
            arguments=arguments,
            content=content,
        )

    def _send_file(self, file: OpenedFile, settings: _Upload, timeout: Any) -> UploadedFile:
        result: UploadedFile = self._client.send(self._upload_call(file, settings, timeout))
        return result

    async def _asend_file(self, file: OpenedFile, settings: _Upload, bounds: Any) -> UploadedFile:
        result: UploadedFile = await self._client.asend(self._upload_call(file, settings, bounds))
        return result

    def _uploaders(
        self, purpose: Any = None, expires_after: Any = None, timeout: Any = None
    ) -> tuple[Upload, AsyncUpload]:
        """Return functions that upload a content unless these settings were used for it before."""
        settings = self._upload_settings(purpose, expires_after, timeout)

        def upload(source: Source, filename: str | None) -> UploadedFile:
            file = _open(source, filename)
            with file.content:
                key = _digest(file), settings
                return self._uploads.once(key, lambda: self._send_file(file, settings, timeout))

        async def aupload(source: Source, filename: str | None) -> UploadedFile:
            file = await asyncio.to_thread(_open, source, filename)
            with file.content:
                key = await asyncio.to_thread(_digest, file), settings
                return await self._uploads.aonce(
                    key, lambda: self._asend_file(file, settings, timeout)
                )

        return upload, aupload

    @refused_before_sending()
    def _list_call(self, purpose: Any, limit: Any, order: Any) -> FilesCall:
        page = _Page(purpose=purpose, limit=limit, order=order)
        return self._call("list", **page.model_dump(exclude_none=True))

    def _iter_files(self, call: FilesCall | None) -> Iterator[UploadedFile]:
        while call is not None:
            page = self._client.send(call)
            yield from page["data"]
            call = _next_page(call, page)

    async def _aiter_files(self, call: FilesCall | None) -> AsyncIterator[UploadedFile]:
        while call is not None:
            page = await self._client.asend(call)
            for file in page["data"]:
                yield file
            call = _next_page(call, page)


@refused_before_sending("file")
def _open(file: Any, filename: str | None) -> OpenedFile:
    return open_file(file, filename)


def _digest(file: OpenedFile) -> str:
    return hashlib.file_digest(file.content, "sha256").hexdigest()  # type: ignore[arg-type]  # the stub wants writable files


def _id_of(file: UploadedFile | str) -> str:
    file_id = file.id if isinstance(file, UploadedFile) else file
    if not isinstance(file_id, str) or not re.fullmatch(r"[\w-][\w.-]{0,127}", file_id, re.ASCII):
        msg = "`file` must be the id of a file, such as 'file-api-...', or what `upload` returned."
        raise invalid_request(msg)
    return file_id


def _next_page(call: FilesCall, page: Any) -> FilesCall | None:
    """Return the call for the next page; `None` after the last one.

    Raises:
        CFDeepSeekAPIError: The server ignores which page was asked for.
    """
    if not page.get("has_more") or not page["data"]:
        return None
    after = page["data"][-1].id
    if after == call.arguments.get("after"):
        msg = "the list of files has the same page again"
        raise CFDeepSeekAPIError(msg, origin="deepseek", hint="Raise `limit`.")
    return replace(call, arguments={**call.arguments, "after": after})
