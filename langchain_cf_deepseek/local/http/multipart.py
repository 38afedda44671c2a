"""Multipart bodies: the parts of an upload, in the order in which they were sent."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Any

MAX_RECORDED_FILE = 64 * 1024
"""Up to this size the content of a file is recorded."""


@dataclass(frozen=True)
class Part:
    """One part: a field, or a file if it has a name."""

    name: str
    content: bytes
    filename: str | None
    content_type: str | None

    @property
    def text(self) -> str:
        """The value of a field."""
        return self.content.decode(errors="replace")

    @property
    def record(self) -> Any:
        """The value of a field; of a file what a test wants to compare."""
        if self.filename is None:
            return self.text
        return {
            "filename": self.filename,
            "content_type": self.content_type,
            "bytes": len(self.content),
            "sha256": hashlib.sha256(self.content).hexdigest(),
            "content": self.content if len(self.content) <= MAX_RECORDED_FILE else None,
        }


def parse_multipart(raw: bytes, content_type: str) -> list[Part] | None:
    """Split a body into its parts; returns None if it is not multipart, malformed or truncated."""
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_boundary()
    if header.get_content_type() != "multipart/form-data" or not boundary:
        return None
    delimiter = b"\r\n--" + boundary.encode()
    first, *middle, last = (b"\r\n" + raw).split(delimiter)
    parts = [_part(piece.removeprefix(b"\r\n")) for piece in middle]
    if first.strip() or not last.startswith(b"--") or None in parts:
        return None
    return [part for part in parts if part is not None]


def _part(piece: bytes) -> Part | None:
    head, found, content = piece.partition(b"\r\n\r\n")
    headers = BytesHeaderParser().parsebytes(head)
    name = headers.get_param("name", header="content-disposition")
    if not found or not isinstance(name, str):
        return None
    content_type = headers.get_content_type() if "content-type" in headers else None
    return Part(name, content, headers.get_filename(), content_type)
