"""The format of completions that Cloudflare resells from Fireworks, as in its catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

JSON = dict[str, Any]


def fireworks_chunks(chunks: Iterator[JSON]) -> Iterator[JSON]:
    """Set `usage` to null in every chunk, and add a last chunk with the usage and no choices."""
    for chunk in chunks:
        usage = chunk.get("usage")
        renamed = fireworks_response(chunk) | {"usage": None}
        yield renamed
        if usage is not None:
            yield renamed | {"choices": [], "usage": usage}


def fireworks_response(payload: JSON) -> JSON:
    """Convert a completion to the names and keys of the catalogue."""
    return payload | {
        "model": f"accounts/fireworks/models/{payload['model']}",
        "choices": [choice | {"raw_output": None} for choice in payload["choices"]],
    }
