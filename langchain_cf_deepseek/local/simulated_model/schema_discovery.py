"""JSON objects in a text, and the JSON schema that they are or satisfy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from langchain_cf_deepseek.local.simulated_model.schema_values import Schema

_DECODER = json.JSONDecoder()


def json_objects(text: str) -> Iterator[tuple[dict[str, Any], int, int]]:
    """Yield the JSON objects in a text, each with its start and end."""
    start = text.find("{")
    while start >= 0:
        try:
            found, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            yield found, start, end
        start = text.find("{", end)


def without_json(text: str) -> str:
    """Return a text without its JSON objects."""
    for _, start, end in reversed(list(json_objects(text))):
        text = text[:start] + text[end:]
    return text


def schema_in(found: dict[str, Any]) -> Schema | None:
    """Return the JSON schema in an object: the object itself, or as chat APIs wrap it."""
    for candidate in (found, found.get("schema"), found.get("json_schema")):
        if isinstance(candidate, dict) and isinstance(candidate.get("properties"), dict):
            return candidate
    return None


def schema_of(example: Any) -> Schema:
    """Return a schema that an example satisfies."""
    if isinstance(example, dict):
        properties = {key: schema_of(value) for key, value in example.items()}
        return {"type": "object", "properties": properties, "required": list(example)}
    if isinstance(example, list):
        return {"type": "array", "items": schema_of(example[0]) if example else {}}
    kinds = {bool: "boolean", int: "integer", float: "number", type(None): "null"}
    return {"type": kinds.get(type(example), "string")}
