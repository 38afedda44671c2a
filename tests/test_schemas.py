"""Tool schemas are sent as DeepSeek accepts them; strict mode is dropped where unsupported."""

import json
import re
from datetime import date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest
from langchain_core.tools import tool
from pydantic import AnyUrl, BaseModel, Field, create_model

from langchain_cf_deepseek._api.json_schemas import valid_tool_name
from langchain_cf_deepseek.local import LocalGateway
from tests.conftest import Ask

T = TypeVar("T")

JSON_BOX: dict[str, Any] = {
    "description": "A box.",
    "type": "object",
    "properties": {"content": {"type": "integer"}},
    "required": ["content"],
}


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Size(Enum):
    SMALL = 1
    LARGE = "l"


class Node(BaseModel):
    """A node."""

    value: str
    children: list["Node"] = []


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]

STRICT: dict[str, tuple[Any, dict[str, Any]]] = {
    "a datetime": (datetime, {"type": "string"}),
    "a date": (date, {"type": "string"}),
    "a timedelta": (timedelta, {"type": "string"}),
    "bytes": (bytes, {"type": "string"}),
    "a URL": (AnyUrl, {"type": "string"}),
    "a path": (Path, {"type": "string"}),
    "an optional text": (str | None, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
    "constants of two types": (
        Literal["a", 1] | None,
        {
            "anyOf": [
                {"type": "string", "enum": ["a"]},
                {"type": "integer", "enum": [1]},
                {"type": "null"},
            ]
        },
    ),
}


def _without_titles(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != "title"}


@pytest.mark.parametrize("case", STRICT)
def test_strict_schema_of_a_field_keeps_its_meaning(gw: LocalGateway, ask: Ask, case: str) -> None:
    kind, expected = STRICT[case]
    bound: Any = gw.chat_model().bind_tools([create_model("F", a=(kind, ...))], strict=True)
    ask(bound, "Hi")
    function = gw.requests[-1].body["tools"][0]["function"]
    assert function["strict"] is True
    assert _without_titles(function["parameters"]["properties"]["a"]) == expected


RAW: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "oneOf": (
        {"oneOf": [{"type": "string"}, {"type": "null"}], "discriminator": {"propertyName": "x"}},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
    ),
    "one part of allOf": ({"allOf": [{"type": "string"}]}, {"type": "string"}),
    "an enum without a type": ({"enum": ["a", "b"]}, {"enum": ["a", "b"], "type": "string"}),
    "a const without a type": ({"const": 1}, {"const": 1, "type": "integer"}),
    "types among choices": (
        {"anyOf": [{"type": ["string", "null"]}, {"type": "integer"}]},
        {"anyOf": [{"type": "string"}, {"type": "null"}, {"type": "integer"}]},
    ),
    "null in a string enum": (
        {"type": "string", "enum": ["a", None]},
        {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]},
    ),
    "data that looks like schemas": (
        {
            "type": "object",
            "properties": {
                "default": {"type": "string", "default": "minLength"},
                "oneOf": {"type": "string", "examples": [{"oneOf": 1, "format": "x"}]},
                "enum": {"type": "integer"},
                "format": {"type": "string", "format": "date"},
            },
            "default": {"minLength": 1, "format": "x", "oneOf": []},
        },
        {
            "type": "object",
            "properties": {
                "default": {"type": "string", "default": "minLength"},
                "oneOf": {"type": "string", "examples": [{"oneOf": 1, "format": "x"}]},
                "enum": {"type": "integer"},
                "format": {"type": "string"},
            },
            "default": {"minLength": 1, "format": "x", "oneOf": []},
            "required": ["default", "oneOf", "enum", "format"],
            "additionalProperties": False,
        },
    ),
}


def _tool(parameters: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "parameters": parameters, "strict": True}}


def _with_field(field: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": field}}


@pytest.mark.parametrize("case", RAW)
def test_strict_schema_keeps_the_meaning(gw: LocalGateway, ask: Ask, case: str) -> None:
    field, expected = RAW[case]
    ask(gw.chat_model(), "Hi", tools=[_tool(_with_field(field))])
    function = gw.requests[-1].body["tools"][0]["function"]
    assert (function["strict"], function["parameters"]["properties"]["a"]) == (True, expected)


LOOSE: dict[str, tuple[dict[str, Any], str]] = {
    "anything": ({}, "a schema without a type"),
    "a bare list": ({"type": "array"}, "a list without a type of its items"),
    "a list of anything": ({"type": "array", "items": {}}, "a schema without a type"),
    "a tuple": ({"type": "array", "prefixItems": [{"type": "string"}]}, "a tuple"),
    "a bare dict": ({"type": "object"}, "an object with arbitrary keys"),
    "a dict": (
        {"type": "object", "additionalProperties": {"type": "string"}},
        "an object with arbitrary keys",
    ),
    "parts of allOf": ({"allOf": [{"type": "string"}, {"type": "string"}]}, "`allOf`"),
    "a reference among choices": (
        {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        "a reference in `anyOf`",
    ),
    "a negation": ({"not": {"type": "string"}}, "a schema without a type"),
    "a constant object": ({"const": {"a": 1}}, "a constant that is a list or an object"),
}


@pytest.mark.parametrize("case", LOOSE)
def test_strict_mode_is_dropped_with_a_warning_for_an_unsupported_schema(
    gw: LocalGateway, ask: Ask, case: str
) -> None:
    field, reason = LOOSE[case]
    told = f"tool 'f', field 'a': DeepSeek's strict mode does not support {reason}: the tools are"
    with pytest.warns(UserWarning, match=re.escape(told)):
        ask(gw.chat_model(), "Hi", tools=[_tool(_with_field(field))])
    function = gw.requests[-1].body["tools"][0]["function"]
    assert function == {"name": "f", "parameters": _with_field(field)}


def test_strict_schema_of_a_union_of_models(gw: LocalGateway, ask: Ask) -> None:
    bound: Any = gw.chat_model().bind_tools([create_model("F", a=(Pet, ...))], strict=True)
    ask(bound, "Hi")
    field = gw.requests[-1].body["tools"][0]["function"]["parameters"]["properties"]["a"]
    assert [pet["properties"]["kind"]["const"] for pet in field["anyOf"]] == ["cat", "dog"]


@tool
def plant(root: Node) -> str:
    """Plant a tree."""
    return root.value


def grow(root: Node) -> str:
    """Grow a tree."""
    return root.value


@pytest.mark.parametrize("strict", [None, True])
@pytest.mark.parametrize(
    "recursive", [Node, plant, grow, {"title": "Node", **Node.model_json_schema()}]
)
def test_recursive_schema_keeps_its_recursion(
    gw: LocalGateway, ask: Ask, recursive: Any, strict: bool | None
) -> None:
    bound: Any = gw.chat_model().bind_tools([recursive], strict=strict)
    ask(bound, "Hi")
    function = gw.requests[-1].body["tools"][0]["function"]
    assert function.get("strict") is strict
    node = function["parameters"]["$defs"]["Node"]
    assert node["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}


def test_json_mode_keeps_the_recursion_of_a_schema(gw: LocalGateway, ask: Ask) -> None:
    gw.reply(content='{"value": "a", "children": []}')
    ask(gw.chat_model(), "Hi", response_format=Node)
    text = gw.requests[-1].body["messages"][0]["content"]
    assert json.loads(text.partition("\n")[2]) == Node.model_json_schema()


@pytest.mark.parametrize("name", ["Box[int]", "a b", "天气", "", "x" * 200, "größe", "é" * 200])
def test_tool_name_is_made_valid(name: str) -> None:
    valid = valid_tool_name(name)
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", valid)
    assert valid_tool_name(valid) == valid


@pytest.mark.parametrize("name", ["f", "get-weather_2", "x" * 128])
def test_tool_name_that_is_valid_stays(name: str) -> None:
    assert valid_tool_name(name) == name


class Box(BaseModel, Generic[T]):
    """A box."""

    content: T


@pytest.mark.parametrize("title", [None, "Two words", "天气"])
def test_structured_output_with_any_schema_name_is_requested_and_found(
    gw: LocalGateway, title: str | None
) -> None:
    schema = Box[int] if title is None else {**JSON_BOX, "title": title}
    result: Any = gw.chat_model().with_structured_output(schema).invoke("The content is 7.")
    assert type(result) is (Box[int] if title is None else dict)
    name = gw.requests[-1].body["tools"][0]["function"]["name"]
    assert name == valid_tool_name(title or "Box[int]")
