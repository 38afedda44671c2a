"""The requests of the Files API on the OpenAI SDK's `files` resource: clients, retries, errors."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import openai
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import override

from langchain_cf_deepseek._errors.bodies import is_error, parse_json_or_text
from langchain_cf_deepseek._errors.responses import (
    API_EXTENSION,
    ROUTING_EXTENSION,
    build_error,
    error_from_response,
)
from langchain_cf_deepseek._errors.rules import Api
from langchain_cf_deepseek._http.clients import HttpClients
from langchain_cf_deepseek._http.connection_errors import typed_connection_errors
from langchain_cf_deepseek._http.http_library import http, library_of
from langchain_cf_deepseek._http.retries import RetryState
from langchain_cf_deepseek._version import __version__
from langchain_cf_deepseek.errors import (
    CFDeepSeekAPIError,
    CFDeepSeekConnectionError,
    CFDeepSeekError,
    CFDeepSeekRateLimitError,
    CFDeepSeekTimeoutError,
)

Operation = Literal["create", "list", "retrieve", "delete"]
"""A method of the SDK's resource."""

_OWN_HEADERS = {
    "Accept": "application/json",
    "User-Agent": f"langchain-cf-deepseek/{__version__}",
}
# Those of the body, and the one by which the SDK returns a response unread.
_KEPT_HEADERS = (
    "Host",
    "Content-Type",
    "Content-Length",
    "Transfer-Encoding",
    "X-Stainless-Raw-Response",
)

_MAYBE_STORED = (
    "DeepSeek may have parsed and billed the file all the same: look for it with `list()` before "
    "you upload it again."
)
# Failures in which no byte of a file left this machine.
_NOT_CONNECTED = ("ConnectError", "ConnectTimeout", "PoolTimeout")


class UploadedFile(BaseModel):
    """A file that DeepSeek keeps; the SDK's `FileObject` knows neither its purposes nor its expiry.

    Keys that DeepSeek may add are kept in `model_extra`. Only `id` is sure to be there.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    id: str = Field(min_length=1)
    """The id that messages refer to, `file-api-...`."""

    filename: str | None = None
    """The name it was uploaded with."""

    bytes: int | None = None
    """The size of the file."""

    purpose: str | None = None
    """What it was uploaded for: `text_recognition`, `rich_layout_recognition`, `user_data`."""

    created_at: int | None = None
    """When it was uploaded, in seconds since 1970."""

    expires_at: int | None = None
    """When DeepSeek deletes it, in seconds since 1970; `None`: never."""

    @property
    def part(self) -> dict[str, Any]:
        """The content block for a message: `HumanMessage([file.part, {"type": "text", ...}])`.

        DeepSeek describes this part in words only, so its shape is an assumption.
        """
        return {"type": "file", "file_id": self.id}

    @property
    def is_expired(self) -> bool:
        """Whether DeepSeek has deleted it by now."""
        return self.expires_at is not None and self.expires_at <= time.time()


@dataclass(frozen=True)
class FilesCall:
    """One call of the Files API: what is asked, and with which settings of the model."""

    operation: Operation
    base_url: str
    headers: Mapping[str, str]
    query: Mapping[str, Any]
    timeout: Any
    max_retries: int
    http_clients: tuple[Any, Any]
    """The caller's own HTTP clients, sync and async; `None` for those of this package."""

    arguments: dict[str, Any] = field(default_factory=dict)
    content: Any = None
    """The open file of an upload."""


class FilesClient:
    """Sends the calls of one `GatewayFiles`."""

    def __init__(self) -> None:
        self._clients = HttpClients()

    def send(self, call: FilesCall) -> Any:
        """Return the file of a call, the JSON of a page with its files, or `None` for a deletion.

        Raises:
            CFDeepSeekError: No response arrived, it reports an error, or it is malformed.
        """
        retries = RetryState(call.max_retries)
        while True:
            try:
                with self._clients.acquire(call.http_clients[0]) as client, _typed_errors(call):
                    sdk = _SyncSdk(client, call)
                    method = getattr(sdk.files.with_raw_response, call.operation)
                    return _read(call, method(**_sdk_arguments(call)).http_response)
            except CFDeepSeekError as error:
                if not _may_repeat(call, error) or not retries.should_retry(error):
                    raise
            time.sleep(retries.delay)

    async def asend(self, call: FilesCall) -> Any:
        """`send` for an event loop."""
        retries = RetryState(call.max_retries)
        while True:
            try:
                async with self._clients.aacquire(call.http_clients[1]) as client:
                    with _typed_errors(call):
                        # Importing the SDK's resource reads from disk.
                        sdk = await asyncio.to_thread(_create_async_sdk, client, call)
                        method = getattr(sdk.files.with_raw_response, call.operation)
                        return _read(call, (await method(**_sdk_arguments(call))).http_response)
            except CFDeepSeekError as error:
                if not _may_repeat(call, error) or not retries.should_retry(error):
                    raise
            await asyncio.sleep(retries.delay)

    def close(self) -> None:
        """Close the connections of sync calls."""
        self._clients.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        await self._clients.aclose()


def _sdk_arguments(call: FilesCall) -> dict[str, Any]:
    arguments = dict(call.arguments)
    if call.content is not None:
        call.content.seek(0)  # an attempt before can have read it
    timeout = call.timeout
    if timeout is not None:
        is_settings = hasattr(timeout, "as_dict")
        arguments["timeout"] = (
            http.Timeout(**timeout.as_dict()) if is_settings else http.Timeout(timeout)
        )
    return arguments | {"extra_query": dict(call.query)}


def _may_repeat(call: FilesCall, error: CFDeepSeekError) -> bool:
    """Return whether a failed call can be sent again; an upload could be parsed and paid twice."""
    if call.operation != "create":
        return True
    return error.is_retryable and (
        isinstance(error, CFDeepSeekRateLimitError) or _was_not_sent(error)
    )


def _was_not_sent(error: CFDeepSeekError) -> bool:
    return type(error.__cause__).__name__ in _NOT_CONNECTED


@contextmanager
def _typed_errors(call: FilesCall) -> Iterator[None]:
    """Raise the SDK's errors as this package's."""
    try:
        with _sdk_errors_converted():
            yield
    except (CFDeepSeekConnectionError, CFDeepSeekAPIError) as error:
        if call.operation == "create" and not _was_not_sent(error):
            # Retries of LangChain ask for this too.
            error.is_retryable = False
            is_timeout = isinstance(error, CFDeepSeekTimeoutError)
            error.hint = ("Raise `timeout`. " if is_timeout else "") + _MAYBE_STORED
        raise


@contextmanager
def _sdk_errors_converted() -> Iterator[None]:
    try:
        yield
    except openai.APIStatusError as error:
        if isinstance(error, CFDeepSeekError):
            raise
        raise error_from_response(error.response) from None
    except openai.APIConnectionError as error:
        if isinstance(error, CFDeepSeekError) or error.__cause__ is None:
            raise
        request, cause = error.request, error.__cause__
    else:
        return
    # Outside the handler: there, the cause would become its own context.
    with typed_connection_errors(request):
        raise cause


def _read(call: FilesCall, response: Any) -> Any:
    """Return what a response with a status of success holds: a file, or the JSON of a page.

    Raises:
        CFDeepSeekError: It reports an error, or it is malformed.
    """
    body = parse_json_or_text(response.content)
    if isinstance(body, Mapping) and not body.get("error"):
        if call.operation == "list" and isinstance(body.get("data"), list):
            with suppress(ValidationError):
                return {**body, "data": [UploadedFile.model_validate(row) for row in body["data"]]}
        elif call.operation == "delete" and body.get("deleted") is True:
            return None
        elif call.operation in {"create", "retrieve"}:
            with suppress(ValidationError):
                return UploadedFile.model_validate(body)
    if isinstance(body, Mapping) and is_error(body):
        raise error_from_response(response, body=body)
    raise build_error(
        CFDeepSeekAPIError,
        "the response is not one of DeepSeek's Files API",
        response,
        hint="Check `base_url`: does the gateway forward this path?",
    )


def _replace_headers(request: Any, client: Any, call: FilesCall) -> None:
    """Replace the SDK's headers, credentials and platform included, by those of the model."""
    headers = type(request.headers)(client.headers)
    kept = {name: request.headers[name] for name in _KEPT_HEADERS if name in request.headers}
    for source in (kept, _OWN_HEADERS, call.headers):
        headers.update(source)
    request.headers = headers
    api: Api = "file" if call.operation in {"retrieve", "delete"} else "files"
    extensions = {ROUTING_EXTENSION: "provider-native", API_EXTENSION: api}
    request.extensions = {**request.extensions, **extensions}


def _sdk_settings(client: Any, call: FilesCall) -> dict[str, Any]:
    # The key is required, and never sent: `_replace_headers` removes it.
    return {
        "api_key": "replaced",
        "base_url": call.base_url,
        "http_client": client,
        "max_retries": 0,
    }


class _SyncSdk(openai.OpenAI):
    """The SDK's client with the headers of the model; nothing of OPENAI_* reaches a request."""

    def __init__(self, client: Any, call: FilesCall) -> None:
        super().__init__(**_sdk_settings(client, call))
        self._call, self._http = call, client

    @property
    @override
    def default_headers(self) -> dict[str, Any]:
        return {}

    @override
    def _prepare_options(self, options: Any) -> Any:
        # A redirect could carry the credentials to another host.
        options.follow_redirects = False
        return options

    @override
    def _prepare_request(self, request: Any) -> None:
        _replace_headers(request, self._http, self._call)


class _AsyncSdk(openai.AsyncOpenAI):
    """`_SyncSdk` for an event loop."""

    def __init__(self, client: Any, call: FilesCall) -> None:
        super().__init__(**_sdk_settings(client, call))
        self._call, self._http = call, client

    @property
    @override
    def default_headers(self) -> dict[str, Any]:
        return {}

    @override
    async def _prepare_options(self, options: Any) -> Any:
        options.follow_redirects = False
        return options

    @override
    async def _prepare_request(self, request: Any) -> None:
        _replace_headers(request, self._http, self._call)
        if self._call.content is not None:
            request.stream = _threaded_stream(library_of(type(request)))(request.stream)


def _create_async_sdk(client: Any, call: FilesCall) -> _AsyncSdk:
    sdk = _AsyncSdk(client, call)
    _ = sdk.files.with_raw_response
    return sdk


_END = b""


@cache
def _threaded_stream(library: Any) -> Any:
    """Return the class of a body whose pieces are read in a thread: a file read blocks the loop."""

    class ThreadedStream(library.AsyncByteStream):  # type: ignore[misc]
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            pieces = iter(self._stream)
            while piece := await asyncio.to_thread(next, pieces, _END):
                yield piece

    return ThreadedStream
