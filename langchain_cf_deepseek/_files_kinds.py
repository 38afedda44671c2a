"""The kinds of files that DeepSeek's Files API takes, found by content and name, and their limits.

https://api-docs.deepseek.com/guides/files_api
"""

import io
import mimetypes
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from langchain_cf_deepseek._surrogates import join_surrogates

_MIB = 1024 * 1024
_HEAD_BYTES = 4096


@dataclass(frozen=True)
class _Limits:
    """What DeepSeek documents for a kind: its size, and how long its upload can take."""

    noun: str
    max_mib: int
    upload_seconds: float


_IMAGE = _Limits("image", 64, 600.0)
_OFFICE = _Limits("PDF, Word and PowerPoint", 100, 120.0)
_OTHER = _Limits("plain text, tables and e-books", 32, 600.0)

_LIMITS_OF = {
    **dict.fromkeys((".jpg", ".jpeg", ".png", ".gif", ".webp"), _IMAGE),
    **dict.fromkeys((".pdf", ".doc", ".docx", ".ppt", ".pptx"), _OFFICE),
    **dict.fromkeys((".xls", ".xlsx", ".csv", ".tsv"), _OTHER),
    **dict.fromkeys((".epub", ".mobi", ".azw", ".azw3", ".fb2", ".txt"), _OTHER),
}

# Python's own table differs between systems and lacks e-books.
_MIME_TYPES = {
    ".pdf": "application/pdf",
    ".doc": "application/msword",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".ppt": "application/vnd.ms-powerpoint",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".xls": "application/vnd.ms-excel",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".epub": "application/epub+zip",
    ".mobi": "application/x-mobipocket-ebook",
    ".txt": "text/plain",
    ".csv": "text/csv",
    ".webp": "image/webp",
}
SUFFIX_OF_MIME_TYPE = {mime_type: suffix for suffix, mime_type in _MIME_TYPES.items()}
"""The suffix of a file by its mime type."""

# Offset, bytes and suffix.
_SIGNATURES = (
    (0, b"\xff\xd8\xff", ".jpg"),
    (0, b"\x89PNG\r\n\x1a\n", ".png"),
    (0, b"GIF8", ".gif"),
    (8, b"WEBP", ".webp"),
    (60, b"BOOKMOBI", ".mobi"),
)
_ZIP_ENTRIES = (("word/", ".docx"), ("ppt/", ".pptx"), ("xl/", ".xlsx"))
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # the older formats of Word, PowerPoint and Excel
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_CONTROL_CHARACTERS = bytes(set(range(32)) - set(b"\t\n\f\r\x1b"))


@dataclass(frozen=True)
class OpenedFile:
    """A file ready to be sent; its limits are checked."""

    content: BinaryIO
    name: str
    mime_type: str
    upload_seconds: float

    @property
    def is_image(self) -> bool:
        """Whether it is an image, which is sent as `user_data`."""
        return self.mime_type.startswith("image/")


def open_file(source: Any, filename: str | None) -> OpenedFile:
    """Open a file to be uploaded, and check its kind and size; a path is not read into memory.

    Args:
        source: A path, or the content.
        filename: Its name for DeepSeek; `None`: that of the path, or one made of the kind.

    Raises:
        ValueError: There is no such file, or DeepSeek does not take it.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        content: BinaryIO = io.BytesIO(source)
        name = filename or ""
    elif isinstance(source, str | os.PathLike):
        content = _open_path(Path(source))
        name = filename or Path(source).name
    else:
        msg = f"must be a path or bytes, not {type(source).__name__}."
        raise ValueError(msg)  # noqa: TRY004 - the value is what is wrong
    try:
        return _checked(content, join_surrogates(PurePath(name).name))
    except ValueError:
        content.close()
        raise


def _open_path(path: Path) -> BinaryIO:
    if path.is_dir():
        msg = f"{str(path)!r} is a folder: use `upload_folder`."
        raise ValueError(msg)
    try:
        return path.open("rb")
    except OSError as error:
        msg = f"{str(path)!r} cannot be read: {error.strerror}."
        raise ValueError(msg) from error


def _checked(content: BinaryIO, name: str) -> OpenedFile:
    size = content.seek(0, io.SEEK_END)
    content.seek(0)
    shown = repr(name) if name else "the file"
    if not size:
        msg = f"{shown} is empty."
        raise ValueError(msg)
    suffix = _find_suffix(content, PurePath(name).suffix.lower())
    content.seek(0)
    if suffix is None:
        msg = (
            f"{shown} is of no kind that DeepSeek takes: images (JPEG, PNG, GIF, WebP), PDF, Word, "
            "PowerPoint, Excel, e-books and plain text. If it is one of them, pass a `filename` "
            "with its suffix."
        )
        raise ValueError(msg)
    limits = _LIMITS_OF.get(suffix, _OTHER)
    if size > limits.max_mib * _MIB:
        msg = (
            f"{shown} has {size / _MIB:.1f} MiB, but DeepSeek's limit for {limits.noun} is "
            f"{limits.max_mib} MiB: split it."
        )
        raise ValueError(msg)
    mime_type = _MIME_TYPES.get(suffix) or mimetypes.guess_type(f"a{suffix}")[0] or "text/plain"
    return OpenedFile(content, name or f"document{suffix}", mime_type, limits.upload_seconds)


def _find_suffix(content: BinaryIO, named: str) -> str | None:
    """Return the suffix of a file's kind: by content, else by name; `None` for other kinds."""
    head = content.read(_HEAD_BYTES)
    for offset, signature, suffix in _SIGNATURES:
        if head[offset:].startswith(signature):
            return suffix
    if b"%PDF-" in head[:1024]:
        return ".pdf"
    if head.startswith(b"PK"):
        return _find_zip_suffix(content) or (named if named in _LIMITS_OF else None)
    if head.startswith(_OLE):
        return named if named in _LIMITS_OF else None
    is_text = head.startswith(_UTF_16) or head.translate(None, _CONTROL_CHARACTERS) == head
    if named in _LIMITS_OF:
        return named
    return (named or ".txt") if is_text else None


def _find_zip_suffix(content: BinaryIO) -> str | None:
    try:
        with zipfile.ZipFile(content) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None  # its name decides
    if "META-INF/container.xml" in names:
        return ".epub"
    found = (suffix for start, suffix in _ZIP_ENTRIES if any(n.startswith(start) for n in names))
    return next(found, None)
