"""JSON schemas of tools and results, in the subset of JSON Schema that DeepSeek accepts.

https://api-docs.deepseek.com/guides/tool_calls
"""

import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, cast

from langchain_core.tools import BaseTool
from langchain_core.tools.base import create_schema_from_function
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel

Json = dict[str, Any]

# Bounds that DeepSeek's constrained decoding does not support; a result can violate them.
_UNSUPPORTED_KEYWORDS = frozenset(
    {"minLength", "maxLength", "minItems", "maxItems", "discriminator"}
)
_SUPPORTED_FORMATS = frozenset({"email", "hostname", "ipv4", "ipv6", "uuid"})

# Keywords whose value maps the user's names to schemas. Apart from `items`, `anyOf`, `oneOf` and
# `allOf`, the values of all other keywords are data.
_SCHEMA_MAPS = frozenset({"properties", "$defs", "$def", "definitions"})

_TYPE_NAMES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_MAX_NAME_LENGTH = 128


class UnsupportedSchemaError(ValueError):
    """Strict mode does not support a schema; the text names the field and the reason."""


def make_tools_strict(tools: list[Json]) -> list[Json]:
    """Return all function tools with `strict`: DeepSeek rejects a mixed set.

    Raises:
        UnsupportedSchemaError: A schema cannot be made strict without changing what it means.
    """
    return [_make_tool_strict(tool) if "function" in tool else tool for tool in tools]


def remove_strict(tools: list[Json]) -> list[Json]:
    """Return function tools without `strict`."""
    return [_remove_strict(tool) if "function" in tool else tool for tool in tools]


def described_tool(original: Any, tool: Json, *, strict: bool | None) -> Json:
    """Return LangChain's description of a tool, with the recursion that LangChain removes.

    Args:
        original: The tool as the caller passed it.
        tool: LangChain's description of it.
        strict: Whether to constrain calls to the schema; `None` keeps the tool's own setting.
    """
    if "function" not in tool:
        return tool
    function = dict(tool["function"])
    if (schema := _schema_with_references(original)) and _is_recursive(schema):
        function["parameters"] = _with_object_at_root(schema)
    if strict is not None:
        function["strict"] = strict
    return {**tool, "function": function}


def json_schema_of(schema: Any) -> Json:
    """Return the JSON schema of a class or function, with its recursion."""
    full = _schema_with_references(schema)
    return full if full and _is_recursive(full) else convert_to_json_schema(schema)


def valid_tool_name(name: str) -> str:
    """Return a tool name that DeepSeek accepts for a schema with a name such as `Box[int]`."""
    valid = re.sub(r"[^a-zA-Z0-9_-]+", "_", name)
    if valid == name and 0 < len(name) <= _MAX_NAME_LENGTH:
        return name
    digest = sha256(name.encode(errors="replace")).hexdigest()[:8]
    return f"{valid.strip('_')[: _MAX_NAME_LENGTH - 9] or 'tool'}_{digest}"


def _schema_with_references(tool: Any) -> Json | None:
    if isinstance(tool, BaseTool):
        tool = cast("Any", tool.tool_call_schema)
    if isinstance(tool, dict):
        return tool if "$defs" in tool else None
    if isinstance(tool, type):
        return dict(tool.model_json_schema()) if issubclass(tool, BaseModel) else None
    if callable(tool):
        model: Any = create_schema_from_function(
            tool.__name__,
            tool,
            parse_docstring=True,
            error_on_invalid_docstring=False,
            include_injected=False,
        )
        return dict(model.model_json_schema())
    return None


def _is_recursive(schema: Json) -> bool:
    definitions = schema.get("$defs") or {}
    references = {name: set(_find_references(body)) for name, body in definitions.items()}
    for name, direct in references.items():
        reachable: set[str] = set()
        new = direct
        while new:
            reachable |= new
            new = {to for other in new for to in references.get(other, ())} - reachable
        if name in reachable:
            return True
    return False


def _find_references(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for entry in schema:
            yield from _find_references(entry)
    elif isinstance(schema, Mapping):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference.rpartition("/")[2]
        for value in schema.values():
            yield from _find_references(value)


def _with_object_at_root(schema: Json) -> Json:
    """Return the parameters of a tool with the referenced object in the place of a reference."""
    reference = schema.get("$ref")
    if isinstance(reference, str):
        referenced = schema.get("$defs", {}).get(reference.rpartition("/")[2])
        schema = {**schema, **(referenced or {})}
    return {
        key: value for key, value in schema.items() if key not in ("$ref", "title", "description")
    }


def _make_tool_strict(tool: Json) -> Json:
    function = {**tool["function"], "strict": True}
    if function.get("parameters"):
        where = f"tool {function['name']!r}"
        parameters = function["parameters"]
        if isinstance(parameters, dict) and "$ref" in parameters:
            parameters = _with_object_at_root(parameters)
        function["parameters"] = _make_strict(parameters, where, is_root=True)
    return {**tool, "function": function}


def _remove_strict(tool: Json) -> Json:
    function = {key: value for key, value in tool["function"].items() if key != "strict"}
    return {**tool, "function": function}


def _make_strict(schema: Any, where: str, *, is_root: bool = False) -> Any:
    """Return a copy of a JSON schema with every object closed and every property required."""
    if not isinstance(schema, Mapping):
        raise _unsupported(where, "a schema without a type")
    strict = {key: value for key, value in schema.items() if key not in _UNSUPPORTED_KEYWORDS}
    if "oneOf" in strict:
        if "anyOf" in strict:
            raise _unsupported(where, "`oneOf` beside `anyOf`")
        strict["anyOf"] = strict.pop("oneOf")
    if "allOf" in strict:
        strict = _merge_all_of(strict, where)
    if isinstance(strict.get("format"), str) and strict["format"] not in _SUPPORTED_FORMATS:
        del strict["format"]
    if not is_root:
        strict = _with_type(strict, where)
    for key in _SCHEMA_MAPS & strict.keys():
        if isinstance(strict[key], Mapping):
            strict[key] = {
                name: _make_strict(field, f"{where}, field {name!r}")
                for name, field in strict[key].items()
            }
    if isinstance(strict.get("anyOf"), list):
        alternatives = [_make_strict(entry, where) for entry in strict["anyOf"]]
        strict["anyOf"] = [flat for entry in alternatives for flat in _flatten(entry, where)]
    return _close_object(_with_items(strict, where), where, is_root=is_root)


def _flatten(entry: Json, where: str) -> list[Json]:
    """Return an alternative of `anyOf` as DeepSeek accepts it: one type each, not nested."""
    if isinstance(entry.get("anyOf"), list):
        alternatives: list[Json] = entry["anyOf"]
        return alternatives
    if "$ref" in entry:
        raise _unsupported(where, "a reference in `anyOf`")
    if isinstance(entry.get("type"), list):
        return [{**entry, "type": kind} for kind in entry["type"]]
    return [entry]


def _merge_all_of(schema: Json, where: str) -> Json:
    parts = schema["allOf"]
    if not isinstance(parts, list) or len(parts) != 1 or not isinstance(parts[0], Mapping):
        raise _unsupported(where, "`allOf`")
    rest = {key: value for key, value in schema.items() if key != "allOf"}
    return {**parts[0], **rest}


def _with_type(schema: Json, where: str) -> Json:
    """Return a schema with a type, which it derives from its constants where it has none."""
    constants = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if not isinstance(constants, list):
        if not schema.keys() & {"type", "anyOf", "$ref"}:
            raise _unsupported(where, "a schema without a type")
        return schema
    if any(type(constant) not in _TYPE_NAMES for constant in constants):
        raise _unsupported(where, "a constant that is a list or an object")
    kinds = list(dict.fromkeys(_TYPE_NAMES[type(constant)] for constant in constants))
    if "type" in schema and (len(kinds) == 1 or isinstance(schema["type"], list)):
        return schema
    if len(kinds) == 1:
        return {**schema, "type": kinds[0]}
    rest = {key: value for key, value in schema.items() if key not in ("enum", "type")}
    alternatives = [
        {"type": kind, "enum": [c for c in constants if _TYPE_NAMES[type(c)] == kind]}
        if kind != "null"
        else {"type": "null"}
        for kind in kinds
    ]
    return {**rest, "anyOf": alternatives}


def _with_items(schema: Json, where: str) -> Json:
    if "prefixItems" in schema or isinstance(schema.get("items"), list):
        raise _unsupported(where, "a tuple")
    if "items" in schema:
        return {**schema, "items": _make_strict(schema["items"], where)}
    if "array" in _types(schema):
        raise _unsupported(where, "a list without a type of its items")
    return schema


def _close_object(schema: Json, where: str, *, is_root: bool) -> Json:
    if schema.get("additionalProperties") not in (None, False):
        raise _unsupported(where, "an object with arbitrary keys")
    if isinstance(schema.get("properties"), dict) and (schema["properties"] or is_root):
        return {
            **schema,
            "required": list(schema["properties"]),
            "additionalProperties": False,
        }
    if "object" in _types(schema) and not is_root:
        raise _unsupported(where, "an object with arbitrary keys")
    return schema


def _types(schema: Json) -> list[Any]:
    kind = schema.get("type")
    return kind if isinstance(kind, list) else [kind]


def _unsupported(where: str, reason: str) -> UnsupportedSchemaError:
    return UnsupportedSchemaError(f"{where}: DeepSeek's strict mode does not support {reason}")
