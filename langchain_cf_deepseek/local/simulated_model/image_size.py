"""The pixel size of an image, read from its first bytes."""

from __future__ import annotations

import base64
import binascii
import re
import struct

_JPEG_SIZE = re.compile(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]..\x08(..)(..)", re.DOTALL)


def pixel_size(data_url: str) -> tuple[int, int] | None:
    """Read width and height of a PNG, GIF or JPEG image; returns None for other formats."""
    _, _, encoded = data_url.partition("base64,")
    try:
        data = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return None
    if data.startswith(b"\x89PNG") and len(data) >= 24:  # noqa: PLR2004
        return struct.unpack(">II", data[16:24])
    if data.startswith(b"GIF8") and len(data) >= 10:  # noqa: PLR2004
        return struct.unpack("<HH", data[6:10])
    match = _JPEG_SIZE.search(data) if data.startswith(b"\xff\xd8") else None
    if match:
        return int.from_bytes(match[2]), int.from_bytes(match[1])
    return None
