"""How answers look that Cloudflare resells from Fireworks, as its catalogue shows them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

JSON = dict[str, Any]


def fireworks_chunks(chunks: Iterator[JSON]) -> Iterator[JSON]:
    """Give every chunk `usage: null`, and a closing chunk without choices that holds the usage."""
    for chunk in chunks:
        usage = chunk.get("usage")
        renamed = fireworks_response(chunk) | {"usage": None}
        yield renamed
        if usage is not None:
            yield renamed | {"choices": [], "usage": usage}


def fireworks_response(payload: JSON) -> JSON:
    """Give an answer the names and keys of the catalogue."""
    return payload | {
        "model": f"accounts/fireworks/models/{payload['model']}",
        "choices": [choice | {"raw_output": None} for choice in payload["choices"]],
    }
