"""Inline documents in messages: found, and replaced by the ids of uploaded files."""

import asyncio
import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage, convert_to_messages
from langchain_core.prompt_values import ChatPromptValue, PromptValue
from langchain_core.runnables import Runnable, RunnableConfig
from typing_extensions import override

from langchain_cf_deepseek._errors.invalid_requests import refused_before_sending
from langchain_cf_deepseek._files_api import UploadedFile
from langchain_cf_deepseek._files_kinds import SUFFIX_OF_MIME_TYPE
from langchain_cf_deepseek._files_once import AsyncUpload, Upload

_BLOCK_TYPES = frozenset({"file", "input_file", "document", "media", "text-plain"})
_DATA_URL = re.compile(r"data:(?P<mime_type>[^;,]*)[^,]*?(?P<is_base64>;base64)?,", re.IGNORECASE)
# The chat model sends images itself, and refuses audio and video.
_NO_DOCUMENTS = ("image/", "audio/", "video/")


@dataclass(frozen=True)
class InlineFile:
    """A file in a message."""

    message: int
    block: int
    source: Any
    """Its bytes, or its path."""

    filename: str | None


def as_messages(given: Any) -> list[BaseMessage] | None:
    """Return the messages of a model's input; `None` for a text, which holds no file."""
    if isinstance(given, str):
        return None
    if isinstance(given, PromptValue):
        return given.to_messages() if isinstance(given, ChatPromptValue) else None
    if isinstance(given, Mapping) and "messages" in given:
        return as_messages(given["messages"])
    if isinstance(given, BaseMessage):
        return [given]
    if not isinstance(given, Sequence):
        msg = f"`attach` takes messages, a prompt value or a text, not {type(given).__name__}."
        raise ValueError(msg)  # noqa: TRY004 - the value is what is wrong
    return convert_to_messages(given)


def like(given: Any, messages: list[BaseMessage]) -> Any:
    """Return `messages` in the form that they were given in."""
    if isinstance(given, ChatPromptValue):
        return ChatPromptValue(messages=messages)
    if isinstance(given, Mapping):
        return {**given, "messages": like(given["messages"], messages)}
    return messages[0] if isinstance(given, BaseMessage) else messages


def find_files(messages: list[BaseMessage]) -> list[InlineFile]:
    """Return the inline documents of user messages and tool results.

    A path is followed in user messages only: a tool must not choose which file leaves this machine.

    Raises:
        ValueError: The data of one is not base64.
    """
    return [
        InlineFile(i, j, *found)
        for i, message in enumerate(messages)
        if isinstance(message, HumanMessage | ToolMessage) and isinstance(message.content, list)
        for j, block in enumerate(message.content)
        if isinstance(block, dict)
        and (found := _find(block, f"messages[{i}].content[{j}]"))
        and (isinstance(found[0], bytes) or isinstance(message, HumanMessage))
    ]


def replace_files(
    messages: list[BaseMessage], uploaded: Mapping[tuple[int, int], UploadedFile]
) -> list[BaseMessage]:
    """Return copies of the messages with parts for the uploaded files, by message and block."""
    replaced = list(messages)
    for i in {i for i, _ in uploaded}:
        content = [
            uploaded[i, j].part if (i, j) in uploaded else block
            for j, block in enumerate(messages[i].content)
        ]
        replaced[i] = messages[i].model_copy(update={"content": content})
    return replaced


def _find(block: dict[Any, Any], where: str) -> tuple[Any, str | None] | None:
    """Return the source and name of the file in a block, if it holds one."""
    if block.get("type") not in _BLOCK_TYPES:
        return None
    inner = next((block[k] for k in ("file", "source") if isinstance(block.get(k), dict)), block)
    if inner.get("file_id") or inner.get("type") in {"text", "content"} or "text" in inner:
        return None
    mime_type = next(
        (m for k in ("mime_type", "media_type", "mimeType") if isinstance(m := inner.get(k), str)),
        "",
    )
    data = next((inner[k] for k in ("base64", "file_data", "data") if inner.get(k)), None)
    url = inner.get("url") or inner.get("file_url")
    if data is None and isinstance(url, str) and url[:5].lower() == "data:":
        data = url
    if isinstance(data, str) and (head := _DATA_URL.match(data)):
        mime_type = mime_type or head["mime_type"]
        if not head["is_base64"]:
            msg = f"{where}: the data URL of a file must be base64."
            raise ValueError(msg)
        data = data[head.end() :]
    if mime_type.startswith(_NO_DOCUMENTS) or inner.get("source_type") == "text":
        return None
    name = _find_name(block, inner, mime_type)
    if isinstance(data, str):
        return _decoded(data, where), name
    if isinstance(data, bytes | bytearray):
        return bytes(data), name
    path = inner.get("path")
    if path is None and isinstance(url, str) and url[:7].lower() == "file://":
        path = url2pathname(unquote(urlsplit(url).path, errors="surrogateescape"))
    return (path, name) if path else None


def _find_name(block: Mapping[Any, Any], inner: Mapping[Any, Any], mime_type: str) -> str | None:
    extras = block.get("extras")
    places = [inner, block, *(place for place in [extras] if isinstance(place, dict))]
    names = (place.get(k) for place in places for k in ("filename", "file_name", "name", "title"))
    name = next((name for name in names if name and isinstance(name, str)), None)
    suffix = SUFFIX_OF_MIME_TYPE.get(mime_type.partition(";")[0].strip().lower())
    if suffix is None or inner.get("path") or (name and "." in name):
        return name
    return (name or "document") + suffix


def _decoded(data: str, where: str) -> bytes:
    text = re.sub(r"\s", "", data).translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        msg = f"{where}: the data of the file is not base64."
        raise ValueError(msg) from error


@refused_before_sending()
def _read_messages(given: Any) -> tuple[list[BaseMessage], list[InlineFile]]:
    messages = as_messages(given) or []
    return messages, find_files(messages)


class Attach(Runnable[Any, Any]):
    """`GatewayFiles.attach`: a function of messages, and a runnable."""

    def __init__(self, upload: Upload, aupload: AsyncUpload, max_concurrency: int) -> None:
        self._upload, self._aupload = upload, aupload
        self._max_concurrency = max_concurrency

    def __call__(self, messages: Any) -> Any:
        """Return `messages` with ids in place of their inline documents."""
        return self.invoke(messages)

    @override
    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return self._call_with_config(self._attach, input, config)

    @override
    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return await self._acall_with_config(self._aattach, input, config)

    def _attach(self, given: Any) -> Any:
        messages, found = _read_messages(given)
        results = [self._upload(file.source, file.filename) for file in found]
        return _attached(given, messages, found, results)

    async def _aattach(self, given: Any) -> Any:
        messages, found = await asyncio.to_thread(_read_messages, given)
        slots = asyncio.Semaphore(self._max_concurrency)

        async def upload(file: InlineFile) -> UploadedFile:
            async with slots:
                return await self._aupload(file.source, file.filename)

        # All of them end before the first error is raised, so that their ids are kept.
        results = await asyncio.gather(*map(upload, found), return_exceptions=True)
        return _attached(given, messages, found, results)


def _attached(
    given: Any,
    messages: list[BaseMessage],
    found: list[InlineFile],
    results: Sequence[UploadedFile | BaseException],
) -> Any:
    uploaded: dict[tuple[int, int], UploadedFile] = {}
    for file, result in zip(found, results, strict=True):
        if isinstance(result, BaseException):
            raise result
        uploaded[file.message, file.block] = result
    return like(given, replace_files(messages, uploaded)) if uploaded else given
