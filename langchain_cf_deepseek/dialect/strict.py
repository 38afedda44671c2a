"""Tools made strict: schemas that DeepSeek's constrained decoding takes.

https://api-docs.deepseek.com/guides/tool_calls
"""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

_UNSUPPORTED = frozenset({"minLength", "maxLength", "minItems", "maxItems"})

# Keywords whose value maps names of the user's to schemas.
_NAMED_SCHEMAS = frozenset({"properties", "$defs", "$def", "definitions"})


def strict_tools(tools: list[Json]) -> list[Json]:
    """Return function tools made strict, all of them: DeepSeek refuses a mixed set."""
    return [_strict_tool(tool) if "function" in tool else tool for tool in tools]


def loose_tools(tools: list[Json]) -> list[Json]:
    """Return function tools without `strict`."""
    return [_loose_tool(tool) if "function" in tool else tool for tool in tools]


def _strict_tool(tool: Json) -> Json:
    function = {**tool["function"], "strict": True}
    if function.get("parameters"):
        function["parameters"] = _strict_schema(function["parameters"])
    return {**tool, "function": function}


def _loose_tool(tool: Json) -> Json:
    function = {key: value for key, value in tool["function"].items() if key != "strict"}
    return {**tool, "function": function}


def _strict_schema(schema: Any) -> Any:
    """Return a copy of a JSON schema with every object closed and every property required."""
    if isinstance(schema, list):
        return [_strict_schema(entry) for entry in schema]
    if not isinstance(schema, Mapping):
        return schema
    strict = {
        key: (
            {name: _strict_schema(named) for name, named in value.items()}
            if key in _NAMED_SCHEMAS
            else _strict_schema(value)
        )
        for key, value in schema.items()
        if key not in _UNSUPPORTED
    }
    if isinstance(strict.get("properties"), dict):
        strict["required"] = list(strict["properties"])
        strict["additionalProperties"] = False
    return strict
