"""The files that DeepSeek accepts: their kinds and sizes, and the text that is parsed from them."""

from __future__ import annotations

import base64
import codecs
import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

Kind = Literal["image", "document", "text"]

MIB = 1024 * 1024


@dataclass(frozen=True)
class FileLimits:
    """How large files can be, and how many are kept for a key.

    https://api-docs.deepseek.com/zh-cn/guides/files_api
    """

    image: int = 64 * MIB
    """Bytes of an image."""
    document: int = 100 * MIB
    """Bytes of a PDF, Word or PowerPoint file."""
    text: int = 32 * MIB
    """Bytes of a plain text, table or e-book."""
    files: int = 10_000
    """How many files are kept."""
    total_bytes: int = 25 * 1024 * MIB
    """Bytes of all files that are kept."""


_IMAGES = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "image/webp"),
)
_DOCUMENT_SUFFIXES = {".doc", ".docx", ".ppt", ".pptx"}
_TEXT_SUFFIXES = {".xls", ".xlsx", ".epub", ".mobi", ".azw", ".azw3", ".fb2"}
_CONTROL_CHARACTERS = re.compile(rb"[\x00-\x08\x0e-\x1a]")
_PDF_TEXT = re.compile(
    rb"\[((?:[^\[\]\\]|\\.)*)\]\s*TJ|(\((?:[^()\\]|\\.)*\))\s*(?:Tj|')", re.DOTALL
)
_PDF_STRING = re.compile(rb"\(((?:[^()\\]|\\.)*)\)", re.DOTALL)
_PDF_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


def image_type(content: bytes) -> str | None:
    """Return the media type of an image; None for other files."""
    return next((type_ for start, type_ in _IMAGES if start.match(content)), None)


def kind_of(filename: str, content: bytes) -> Kind | None:
    """Return the kind of a file, of images and plain text by content; None if it is unsupported."""
    suffix = PurePath(filename).suffix.lower()
    if image_type(content):
        return "image"
    if content.startswith(b"%PDF-") or suffix in _DOCUMENT_SUFFIXES:
        return "document"
    if suffix in _TEXT_SUFFIXES or _is_utf_16(content):
        return "text"
    if content and not _CONTROL_CHARACTERS.search(content):
        return "text"
    return None


def data_url(content: bytes) -> str:
    """Return an image as a data URL."""
    return f"data:{image_type(content)};base64,{base64.b64encode(content).decode()}"


def text_of(filename: str, content: bytes) -> str:
    """Return the text of a plain text or of an uncompressed PDF; otherwise a note for the test."""
    if content.startswith(b"%PDF-"):
        text = _pdf_text(content)
    elif _is_utf_16(content):
        text = content.decode("utf-16", errors="replace")
    else:
        text = "" if _CONTROL_CHARACTERS.search(content) else content.decode(errors="replace")
    note = f"The local gateway cannot read {filename}: script its text with `document`."
    return text.strip() or note


def _is_utf_16(content: bytes) -> bool:
    return content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def _pdf_text(content: bytes) -> str:
    lines = []
    for array, string in _PDF_TEXT.findall(content):
        lines.append(b"".join(map(_unescaped, _PDF_STRING.findall(array or string))))
    return b"\n".join(lines).decode("latin-1")


def _unescaped(text: bytes) -> bytes:
    return re.sub(rb"\\(.)", lambda match: _PDF_ESCAPES.get(match[1], match[1]), text)
