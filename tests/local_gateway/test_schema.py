"""Values for a schema: they satisfy it, and they use the text."""

from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Optional
from uuid import UUID

import pytest
from pydantic import AnyUrl, BaseModel, Field

from langchain_cf_deepseek.local.simulated_model.image_size import pixel_size
from langchain_cf_deepseek.local.simulated_model.schema_values import Filler
from langchain_cf_deepseek.local.simulated_model.text_extraction import ParsedText


def fill(schema: dict[str, Any], text: str = "", *, complete: bool = True) -> Any:
    return Filler(schema, ParsedText(text), complete=complete).fill()


def listed(items: dict[str, Any], **limits: int) -> dict[str, Any]:
    return properties(x={"type": "array", "items": items, **limits})


def properties(**parts: Any) -> dict[str, Any]:
    return {"type": "object", "properties": parts, "required": list(parts)}


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    street: str = Field(min_length=30, max_length=40)
    zip_code: str = Field(pattern=r"^\d{5}(-\d{4})?$")


class Node(BaseModel):
    value: int
    left: Optional["Node"]
    children: list["Node"]


class Everything(BaseModel):
    name: str
    color: Color
    kind: Literal["a"]
    choice: Literal["x", "y"] = "y"
    count: Annotated[int, Field(gt=10, lt=20, multiple_of=6)]
    ratio: Annotated[float, Field(gt=0, lt=1)]
    percent: Annotated[float, Field(ge=5, le=7)]
    price: Decimal
    on: bool
    day: date
    key: UUID
    link: AnyUrl
    address: Address
    either: int | str
    maybe: int | None
    tags: list[str] = Field(min_length=2, max_length=3)
    numbers: list[int]
    pair: Annotated[list[float], Field(min_length=2, max_length=2)]
    mapping: dict[str, int]
    anything: Any
    node: Node


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Ada paints 7 red houses, 15 blue ones and 0.5 of a third, in Paris, 12345-6789.",
        'name="Bob" count: 12 on: yes "first" "second" "third" "fourth" 2025-02-03',
        "-1 -2 -3 100 200 300 1e9",
    ],
)
@pytest.mark.parametrize("complete", [True, False])
def test_a_filled_schema_is_valid(text: str, complete: bool) -> None:
    filled = fill(Everything.model_json_schema(), text, complete=complete)
    assert Everything.model_validate(filled).model_dump(mode="json", exclude_unset=True)


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        (properties(city={"type": "string"}), "Weather in New York, NY today?", "New York, NY"),
        (properties(city={"type": "string"}), "city: Rome, not Oslo", "Rome"),
        (properties(city={"type": "string"}), "city='New York'", "New York"),
        (properties(user_name={"type": "string"}), "user name: Ada", "Ada"),
        (properties(name={"type": "string"}), "Create 「你好」 now", "你好"),
        (properties(x={"type": "string", "default": "d"}), "no idea", "d"),
        (properties(x={"type": "string", "format": "email"}), "to a@b.co please", "a@b.co"),
        (properties(x={"type": "string", "format": "email"}), "", "ada@example.com"),
        (properties(x={"type": "string", "pattern": "^[A-Z]-\\d+$"}), "see B-12 .", "B-12"),
        (properties(x={"type": "string", "pattern": "^[A-Z]{2}\\d$"}), "", "AA1"),
        (properties(x={"type": "string", "pattern": "\\p{L}"}), "abc", ""),
        (properties(x={"type": "string", "enum": ["up", "down"]}), "go down", "down"),
        (properties(x={"type": "string", "enum": ["up", "down"]}), "go", "up"),
        (properties(x={"const": 7}), "", 7),
        (properties(x={"type": "integer"}), "x = 5, y = 6", 5),
        (properties(x={"type": "integer"}), "", 1),
        (properties(x={"type": "integer", "default": 9}), "", 9),
        (properties(x={"type": "integer", "minimum": 3, "multipleOf": 4}), "2", 4),
        (properties(x={"type": "boolean"}), "x: yes", True),
        (properties(urgent={"type": "boolean"}), "this is urgent", True),
        (properties(urgent={"type": "boolean"}), "not urgent", False),
        (properties(x={"type": ["null", "integer"]}), "4", 4),
        (properties(x={"type": "null"}), "", None),
        (properties(x=True), "", "x: "),
        (properties(x={"oneOf": [{"type": "null"}, {"type": "integer"}]}), "4", 4),
        (properties(x={"anyOf": [{"type": "null"}]}), "", None),
        (properties(x={"anyOf": [True, {"type": "integer"}]}), "", "x: "),
        (properties(x={"$ref": "#/properties/x/nowhere/0"}), "", "x: "),
        ({"type": "object", "required": ["x"]}, "", "x: "),
        (properties(x={"items": {"type": "integer"}}), "1, 2 and 3", [1, 2, 3]),
        (
            listed({"enum": ["a1", "b1", "c1"]}),
            "b1 c1",
            ["b1", "c1"],
        ),
        (
            listed({"type": "string"}),
            "Rome and Oslo",
            ["Rome", "Oslo"],
        ),
        (
            listed({"type": "string"}, maxItems=1),
            "'a' 'b'",
            ["a"],
        ),
        (properties(x={"type": "array", "maxItems": 0}), "", []),
        (
            properties(x={"allOf": [properties(a={"const": 1}), properties(b={"const": 2})]}),
            "",
            {"a": 1, "b": 2},
        ),
        ({**properties(x={"$ref": "#/$defs/y"}), "$defs": {"y": {"const": 3}}}, "", 3),
    ],
)
def test_values_come_from_the_text_where_it_has_them(
    schema: dict[str, Any], text: str, value: Any
) -> None:
    assert list(fill(schema, text).values()) == [value]


def test_a_reference_to_the_whole_schema_ends_somewhere() -> None:
    filled = fill({"type": "object", "properties": {"more": {"$ref": "#"}, "n": {"const": 1}}})
    depth = 0
    while filled:
        assert filled.pop("n") == 1
        filled, depth = filled.get("more"), depth + 1
    assert depth == 4


def test_a_reference_to_itself_is_given_up() -> None:
    assert fill({"$ref": "#"}) == "text: "


def test_what_the_text_declines_is_left_out_or_null() -> None:
    nullable = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    schema = {
        "type": "object",
        "properties": {"setup": {"type": "string"}, "punchline": nullable},
        "required": ["setup"],
    }
    assert fill(schema, "A joke, no punchline.").keys() == {"setup"}
    schema["required"] = ["setup", "punchline"]
    assert fill(schema, "A joke without a punchline.")["punchline"] is None


def test_optional_parts_are_filled_when_mentioned_or_when_complete() -> None:
    schema = {"type": "object", "properties": {"unit": {"enum": ["celsius"]}, "days": {"const": 1}}}
    assert fill(schema, "in which unit?", complete=False) == {"unit": "celsius"}
    assert fill(schema, "in which unit?") == {"unit": "celsius", "days": 1}


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        (r"^\d{3}-\d{4}$", "111-1111"),
        ("[a-f0-9]+", "a"),
        (r"^[\d\s]{2,}/\w\s.?[.]$", "11/a ."),
        (r"^\d{5}(-\d{4})?$", "11111"),
        (r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$", ""),
        ("^(?:foo|bar)$", ""),
        ("[", ""),
        ("a)", ""),
        ("\\", ""),
    ],
)
def test_simple_patterns_are_sampled_and_others_left_empty(pattern: str, value: str) -> None:
    assert fill(properties(x={"type": "string", "pattern": pattern})) == {"x": value}


@pytest.mark.parametrize(
    ("data", "size"),
    [
        ("data:image/jpeg;base64,/9j/4AAQ/8AACwgABAAFAwAA", (5, 4)),
        ("data:image/jpeg;base64,/9j/4AAQ", None),
        ("data:image/gif;base64,R0lGODlhBwAGAA==", (7, 6)),
        ("data:image/webp;base64,UklGRg==", None),
        ("data:,hello", None),
    ],
)
def test_pixel_sizes_are_read_from_the_first_bytes(data: str, size: tuple[int, int] | None) -> None:
    assert pixel_size(data) == size
