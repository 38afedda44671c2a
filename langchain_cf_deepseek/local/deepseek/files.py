"""DeepSeek's Files API: uploads are parsed silently, kept until they expire, and used by id.

https://api-docs.deepseek.com/zh-cn/guides/files_api
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from langchain_cf_deepseek.local.deepseek.documents import FileLimits, kind_of, text_of
from langchain_cf_deepseek.local.exchange import Call, GatewayResponse, RefusedError, json_response
from langchain_cf_deepseek.local.faults.error_bodies import deepseek_refusal
from langchain_cf_deepseek.local.http.multipart import Part, parse_multipart

JSON = dict[str, Any]

PURPOSES = ("user_data", "text_recognition", "rich_layout_recognition")
MIN_EXPIRY, MAX_EXPIRY = 3600, 2_592_000
MAX_PAGE = 1000
_ANCHOR, _SECONDS = "expires_after[anchor]", "expires_after[seconds]"


@dataclass(frozen=True)
class ScriptedDocument:
    """How the file of one name is parsed."""

    text: str | None
    """None means the text that is found in it."""
    seconds: float


@dataclass
class StoredFile:
    """One file that is kept."""

    row: JSON
    """The file as the API returns it."""
    content: bytes
    text: str

    @property
    def is_expired(self) -> bool:
        """Whether the file was to be deleted by now."""
        expires_at = self.row.get("expires_at")
        return expires_at is not None and expires_at <= time.time()


class Files:
    """The files of the one DeepSeek key."""

    def __init__(self, limits: FileLimits) -> None:
        self._limits = limits
        self._files: dict[str, StoredFile] = {}
        self._deleted: set[str] = set()
        self._lock = threading.Lock()
        self.scripted: dict[str, ScriptedDocument] = {}
        """By file name."""

    async def respond(self, call: Call) -> GatewayResponse:
        """Respond to a call of the Files API."""
        _, _, id_ = call.endpoint.partition("/")
        if call.request.method == "POST":
            return await self._upload(call)
        if not id_:
            return json_response(200, self._list(parse_qs(call.request.query)))
        file = self.find(id_, HTTPStatus.NOT_FOUND)
        if call.request.method == "GET":
            return json_response(200, file.row)
        with self._lock:
            self._files.pop(id_, None)
            self._deleted.add(id_)
        return json_response(200, {"id": id_, "object": "file", "deleted": True})

    def find(self, id_: str, status: int) -> StoredFile:
        """Return a file that is still kept.

        Args:
            id_: Its id.
            status: The status of the refusal if it is not.

        Raises:
            RefusedError: The file has expired, was deleted, or never existed. DeepSeek's texts for
                that are not published.
        """
        with self._lock:
            file, is_deleted = self._files.get(id_), id_ in self._deleted
        if is_deleted:
            raise deepseek_refusal(status, f"The file '{id_}' was deleted.")
        if file is None:
            message = f"The file '{id_}' does not exist or was not created under this account."
            raise deepseek_refusal(status, message)
        if file.is_expired:
            raise deepseek_refusal(status, f"The file '{id_}' has expired.")
        return file

    def expire(self) -> None:
        """Let all files that have an expiry expire now."""
        with self._lock:
            for file in self._files.values():
                if "expires_at" in file.row:
                    file.row["expires_at"] = int(time.time())

    async def _upload(self, call: Call) -> GatewayResponse:
        parts = parse_multipart(call.raw, call.request.headers.get("content-type", ""))
        if parts is None:
            raise RefusedError(GatewayResponse(400, b"Invalid multipart body", "text/plain"))
        purpose, seconds, part = _fields(parts)
        filename = part.filename or ""
        self._check(filename, part.content, purpose)
        scripted = self.scripted.get(filename, ScriptedDocument(None, 0))
        # DeepSeek sends no byte meanwhile; if the client leaves, it keeps the file all the same.
        await asyncio.sleep(scripted.seconds)
        row: JSON = {
            "id": f"file-api-{uuid.uuid4().hex}",
            "object": "file",
            "bytes": len(part.content),
            "created_at": int(time.time()),
            "filename": filename,
            "purpose": purpose,
        }
        if seconds is not None:
            row["expires_at"] = row["created_at"] + seconds
        text = text_of(filename, part.content) if scripted.text is None else scripted.text
        with self._lock:
            self._check_quota(len(part.content))
            self._files[row["id"]] = StoredFile(row, part.content, text)
        return json_response(200, row)

    def _check(self, filename: str, content: bytes, purpose: str) -> None:
        kind = kind_of(filename, content)
        if kind is None:
            raise deepseek_refusal(400, f"The type of the file '{filename}' is not supported.")
        limit: int = getattr(self._limits, kind)
        if len(content) > limit:
            message = f"The file '{filename}' is too large: {len(content)} bytes, at most {limit}."
            raise deepseek_refusal(400, message)
        if purpose == "user_data" and kind != "image":
            raise deepseek_refusal(400, "The purpose 'user_data' is only supported for images.")
        with self._lock:
            self._check_quota(len(content))

    def _check_quota(self, size: int) -> None:
        kept = [file for file in self._files.values() if not file.is_expired]
        total = sum(len(file.content) for file in kept) + size
        if len(kept) >= self._limits.files or total > self._limits.total_bytes:
            raise deepseek_refusal(400, "The quota of files is used up.", code="file_quota")

    def _list(self, query: Mapping[str, list[str]]) -> JSON:
        purpose, after = (query.get(name, [""])[0] for name in ("purpose", "after"))
        order, limit = query.get("order", ["desc"])[0], query.get("limit", [str(MAX_PAGE)])[0]
        if order not in {"asc", "desc"}:
            raise deepseek_refusal(400, "Invalid 'order': expected 'asc' or 'desc'")
        if not limit.isdecimal() or not 1 <= int(limit) <= MAX_PAGE:
            raise deepseek_refusal(400, f"Invalid 'limit': expected 1 to {MAX_PAGE}")
        with self._lock:
            rows = [file.row for file in self._files.values() if not file.is_expired]
        if order == "desc":
            rows.reverse()
        ids = [row["id"] for row in rows]
        if after and after not in ids:
            raise deepseek_refusal(400, f"Invalid 'after': the file '{after}' does not exist")
        rows = rows[ids.index(after) + 1 if after else 0 :]
        rows = [row for row in rows if not purpose or row["purpose"] == purpose]
        page = rows[: int(limit)]
        ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {}
        return {"object": "list", "data": page, **ends, "has_more": len(page) < len(rows)}


def _fields(parts: list[Part]) -> tuple[str, int | None, Part]:
    """Return purpose, seconds until expiry and file of an upload."""
    names = [part.name for part in parts]
    values = {part.name: part for part in parts}
    file = values.get("file")
    if file is None or file.filename is None:
        raise deepseek_refusal(400, "Missing required field 'file'")
    if "purpose" not in names or names.index("purpose") > names.index("file"):
        raise deepseek_refusal(400, "The field 'purpose' is required and must precede 'file'")
    purpose = values["purpose"].text
    if purpose not in PURPOSES:
        raise deepseek_refusal(400, f"Invalid 'purpose': expected one of {', '.join(PURPOSES)}")
    if (_ANCHOR in values) != (_SECONDS in values):
        raise deepseek_refusal(400, f"'{_ANCHOR}' and '{_SECONDS}' must be set together")
    if _ANCHOR not in values:
        return purpose, None, file
    seconds = values[_SECONDS].text
    if values[_ANCHOR].text != "created_at":
        raise deepseek_refusal(400, f"Invalid '{_ANCHOR}': expected 'created_at'")
    if not seconds.isdecimal() or not MIN_EXPIRY <= int(seconds) <= MAX_EXPIRY:
        raise deepseek_refusal(400, f"Invalid '{_SECONDS}': expected {MIN_EXPIRY} to {MAX_EXPIRY}")
    return purpose, int(seconds), file
