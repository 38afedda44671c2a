"""JSON schemas of tools and answers, in the part of the language that DeepSeek takes.

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

# Bounds that DeepSeek's constrained decoding does not know; an answer may break them.
_DROPPED = frozenset({"minLength", "maxLength", "minItems", "maxItems", "discriminator"})
_FORMATS = frozenset({"email", "hostname", "ipv4", "ipv6", "uuid"})

# Keywords whose value maps names of the user's to schemas. Values under all others but these and
# `items`, `anyOf`, `oneOf` and `allOf` are data.
_NAMED_SCHEMAS = frozenset({"properties", "$defs", "$def", "definitions"})

_TYPE_NAMES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_MAX_NAME_LENGTH = 128


class LooseSchemaError(ValueError):
    """A schema says something that strict mode cannot; the text names the field and the reason."""


def strict_tools(tools: list[Json]) -> list[Json]:
    """Return function tools made strict, all of them: DeepSeek refuses a mixed set.

    Raises:
        LooseSchemaError: A schema cannot be made strict without changing what it means.
    """
    return [_strict_tool(tool) if "function" in tool else tool for tool in tools]


def loose_tools(tools: list[Json]) -> list[Json]:
    """Return function tools without `strict`."""
    return [_loose_tool(tool) if "function" in tool else tool for tool in tools]


def described_tool(original: Any, tool: Json, *, strict: bool | None) -> Json:
    """Return a tool as LangChain describes it, with the recursion that LangChain cuts off.

    Args:
        original: What the user gave.
        tool: What LangChain made of it.
        strict: Whether to constrain calls to the schema; `None` as the tool says.
    """
    if "function" not in tool:
        return tool
    function = dict(tool["function"])
    if (schema := _full_schema(original)) and _is_recursive(schema):
        function["parameters"] = _with_object_at_root(schema)
    if strict is not None:
        function["strict"] = strict
    return {**tool, "function": function}


def json_schema_of(schema: Any) -> Json:
    """Return the JSON schema of a class or function, recursion kept."""
    full = _full_schema(schema)
    return full if full and _is_recursive(full) else convert_to_json_schema(schema)


def valid_tool_name(name: str) -> str:
    """Return a name that DeepSeek takes for a tool; a schema may be called `Box[int]`."""
    valid = re.sub(r"[^a-zA-Z0-9_-]+", "_", name)
    if valid == name and 0 < len(name) <= _MAX_NAME_LENGTH:
        return name
    digest = sha256(name.encode(errors="replace")).hexdigest()[:8]
    return f"{valid.strip('_')[: _MAX_NAME_LENGTH - 9] or 'tool'}_{digest}"


def _full_schema(tool: Any) -> Json | None:
    if isinstance(tool, BaseTool):
        tool = cast("Any", tool.tool_call_schema)
    if isinstance(tool, dict):
        return tool if "$defs" in tool else None
    if isinstance(tool, type):
        return dict(tool.model_json_schema()) if issubclass(tool, BaseModel) else None
    if callable(tool):
        made: Any = create_schema_from_function(
            tool.__name__,
            tool,
            parse_docstring=True,
            error_on_invalid_docstring=False,
            include_injected=False,
        )
        return dict(made.model_json_schema())
    return None


def _is_recursive(schema: Json) -> bool:
    definitions = schema.get("$defs") or {}
    leads_to = {name: set(_references(body)) for name, body in definitions.items()}
    for name, ahead in leads_to.items():
        seen: set[str] = set()
        new = set(ahead)
        while new:
            seen |= new
            new = {to for other in new for to in leads_to.get(other, ())} - seen
        if name in seen:
            return True
    return False


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for entry in schema:
            yield from _references(entry)
    elif isinstance(schema, Mapping):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference.rpartition("/")[2]
        for value in schema.values():
            yield from _references(value)


def _with_object_at_root(schema: Json) -> Json:
    """Return the parameters of a tool, which DeepSeek takes as an object and not as a reference."""
    reference = schema.get("$ref")
    if isinstance(reference, str):
        named = schema.get("$defs", {}).get(reference.rpartition("/")[2])
        schema = {**schema, **(named or {})}
    return {
        key: value for key, value in schema.items() if key not in ("$ref", "title", "description")
    }


def _strict_tool(tool: Json) -> Json:
    function = {**tool["function"], "strict": True}
    if function.get("parameters"):
        where = f"tool {function['name']!r}"
        function["parameters"] = _strict_schema(
            _with_root(function["parameters"]), where, root=True
        )
    return {**tool, "function": function}


def _with_root(schema: Any) -> Any:
    return _with_object_at_root(schema) if isinstance(schema, dict) and "$ref" in schema else schema


def _loose_tool(tool: Json) -> Json:
    function = {key: value for key, value in tool["function"].items() if key != "strict"}
    return {**tool, "function": function}


def _strict_schema(schema: Any, where: str, *, root: bool = False) -> Any:
    """Return a copy of a JSON schema with every object closed and every property required."""
    if not isinstance(schema, Mapping):
        raise _loose(where, "any value")
    strict = {key: value for key, value in schema.items() if key not in _DROPPED}
    if "oneOf" in strict:
        if "anyOf" in strict:
            raise _loose(where, "`oneOf` beside `anyOf`")
        strict["anyOf"] = strict.pop("oneOf")
    if "allOf" in strict:
        strict = _merged_parts(strict, where)
    if isinstance(strict.get("format"), str) and strict["format"] not in _FORMATS:
        del strict["format"]
    if not root:
        strict = _with_type(strict, where)
    for key in _NAMED_SCHEMAS & strict.keys():
        if isinstance(strict[key], Mapping):
            strict[key] = {
                name: _strict_schema(named, f"{where}, field {name!r}")
                for name, named in strict[key].items()
            }
    if isinstance(strict.get("anyOf"), list):
        choices = [_strict_schema(entry, where) for entry in strict["anyOf"]]
        strict["anyOf"] = [choice for entry in choices for choice in _choices(entry, where)]
    return _closed(_with_items(strict, where), where, root=root)


def _choices(entry: Json, where: str) -> list[Json]:
    """Return a choice as DeepSeek takes it: of one type, and no choice or reference itself."""
    if isinstance(entry.get("anyOf"), list):
        choices: list[Json] = entry["anyOf"]
        return choices
    if "$ref" in entry:
        raise _loose(where, "a reference among choices")
    if isinstance(entry.get("type"), list):
        return [{**entry, "type": kind} for kind in entry["type"]]
    return [entry]


def _merged_parts(schema: Json, where: str) -> Json:
    parts = schema["allOf"]
    if not isinstance(parts, list) or len(parts) != 1 or not isinstance(parts[0], Mapping):
        raise _loose(where, "`allOf`")
    rest = {key: value for key, value in schema.items() if key != "allOf"}
    return {**parts[0], **rest}


def _with_type(schema: Json, where: str) -> Json:
    """Return a schema with a type; constants have one each."""
    constants = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if not isinstance(constants, list):
        if not schema.keys() & {"type", "anyOf", "$ref"}:
            raise _loose(where, "any value")
        return schema
    if any(type(constant) not in _TYPE_NAMES for constant in constants):
        raise _loose(where, "a constant that is a list or an object")
    kinds = list(dict.fromkeys(_TYPE_NAMES[type(constant)] for constant in constants))
    if "type" in schema and (len(kinds) == 1 or isinstance(schema["type"], list)):
        return schema
    if len(kinds) == 1:
        return {**schema, "type": kinds[0]}
    rest = {key: value for key, value in schema.items() if key not in ("enum", "type")}
    choices = [
        {"type": kind, "enum": [c for c in constants if _TYPE_NAMES[type(c)] == kind]}
        if kind != "null"
        else {"type": "null"}
        for kind in kinds
    ]
    return {**rest, "anyOf": choices}


def _with_items(schema: Json, where: str) -> Json:
    if "prefixItems" in schema or isinstance(schema.get("items"), list):
        raise _loose(where, "a tuple")
    if "items" in schema:
        return {**schema, "items": _strict_schema(schema["items"], where)}
    if "array" in _types(schema):
        raise _loose(where, "a list of anything")
    return schema


def _closed(schema: Json, where: str, *, root: bool) -> Json:
    if schema.get("additionalProperties") not in (None, False):
        raise _loose(where, "an object with keys of any name")
    if isinstance(schema.get("properties"), dict) and (schema["properties"] or root):
        return {
            **schema,
            "required": list(schema["properties"]),
            "additionalProperties": False,
        }
    if "object" in _types(schema) and not root:
        raise _loose(where, "an object with keys of any name")
    return schema


def _types(schema: Json) -> list[Any]:
    kind = schema.get("type")
    return kind if isinstance(kind, list) else [kind]


def _loose(where: str, reason: str) -> LooseSchemaError:
    return LooseSchemaError(f"{where}: DeepSeek's strict mode has no form for {reason}")
