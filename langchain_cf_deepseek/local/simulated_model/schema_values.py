"""Values that satisfy a JSON schema and use what the user wrote."""

from __future__ import annotations

import re
from typing import Any

from langchain_cf_deepseek.local.simulated_model.patterns import matches, sample
from langchain_cf_deepseek.local.simulated_model.text_extraction import Reading, numbers_in, words

Schema = dict[str, Any]

MAX_ITEMS = 100
MAX_DEPTH = 4
"""How deep a schema that contains itself is followed."""

_FORMATS = {
    "date": (r"\d{4}-\d{2}-\d{2}", "2026-01-01"),
    "date-time": (r"\d{4}-\d{2}-\d{2}T[\d:.]+(?:Z|[-+]\d{2}:\d{2})", "2026-01-01T00:00:00Z"),
    "time": (r"\d{2}:\d{2}:\d{2}", "12:00:00"),
    "duration": (r"P(?:\d+[YMWD])*(?:T(?:\d+[HMS])+)?", "P1D"),
    "email": (r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", "ada@example.com"),
    "hostname": (r"\b[\w-]+(?:\.[\w-]+)+\b", "example.com"),
    "uri": (r"https?://[^\s\"'<>]+", "https://example.com/"),
    "uuid": (
        r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "00000000-0000-4000-8000-000000000000",
    ),
    "ipv4": (r"\b(?:\d{1,3}\.){3}\d{1,3}\b", "127.0.0.1"),
    "ipv6": (r"\b(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{1,4}\b", "::1"),
}
"""Format -> how it looks in a text, and what to say when the text has none."""

_WHOLE_TEXT = words(
    "query question text prompt message search content sentence task request instruction body todo"
    " description summary detail details note comment reason thought topic subject"
)
"""Words of a parameter that takes what the user wrote, as it is written."""

_NAMES = words(
    "name city location place country town address region person customer company author language"
    " currency origin destination style team owner product title"
)
"""Words of a parameter that takes a name."""


def takes_name(parameter: str) -> bool:
    """Whether a parameter takes the name of something, a city for instance."""
    return bool(words(parameter) & _NAMES)


class Filler:
    """Fills one schema from one reading."""

    def __init__(self, schema: Schema, reading: Reading, *, complete: bool) -> None:
        """Prepare to fill a schema.

        Args:
            schema: The schema; `$ref` is looked up in it.
            reading: What the user wrote.
            complete: Fill properties too that are neither required nor mentioned.
        """
        self._root = schema
        self._reading = reading
        self._complete = complete

    def fill(self) -> Any:
        """Make a value for the whole schema."""
        return self._value(self._root, "", 0)

    def _value(self, schema: Schema | bool, name: str, depth: int) -> Any:
        if depth > MAX_DEPTH and _nullable(schema):
            return None
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._choice(schema["enum"])
        match _kind(schema):
            case "object":
                value: Any = self._object(schema, depth)
            case "array":
                value = self._array(schema, name, depth)
            case "integer" | "number" as kind:
                value = self._number(schema, name, whole=kind == "integer")
            case "boolean":
                value = self._boolean(schema, name)
            case "null":
                value = None
            case _:
                value = self._string(schema, name)
        return value

    def _resolved(self, schema: Schema | bool) -> Schema:
        """Follow references, and take the first alternative that is more than null."""
        schema = _mapping(schema)
        for _ in range(MAX_DEPTH):
            if "$ref" in schema:
                target: Any = self._root
                for part in schema["$ref"].removeprefix("#").strip("/").split("/"):
                    target = _mapping(target).get(part, {}) if part else target
                rest = {key: schema[key] for key in schema if key != "$ref"}
                schema = {**_mapping(target), **rest}
            elif "allOf" in schema:
                rest = {key: schema[key] for key in schema if key != "allOf"}
                for part in schema["allOf"]:
                    rest = _merged(rest, self._resolved(part))
                schema = rest
            elif options := schema.get("anyOf") or schema.get("oneOf"):
                useful = [option for option in options if option != {"type": "null"}]
                rest = {key: schema[key] for key in schema if key not in {"anyOf", "oneOf"}}
                values = [option["const"] for option in map(_mapping, useful) if "const" in option]
                if values and len(values) == len(useful):
                    return {**rest, "enum": values}
                schema = {**rest, **_mapping((useful or options)[0])}
            else:
                break
        return schema

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        required = schema.get("required", ())
        filled: dict[str, Any] = {}
        parts = {**schema.get("properties", {})}
        parts |= {name: {} for name in required if name not in parts}
        for name, part in parts.items():
            declined = self._reading.declines(name)
            if name in required and declined and _nullable(part):
                filled[name] = None
            elif name in required or (not declined and self._worth_filling(name, depth)):
                filled[name] = self._value(part, name, depth + 1)
        return filled

    def _worth_filling(self, name: str, depth: int) -> bool:
        return depth < MAX_DEPTH and (self._complete or self._reading.mentions(name))

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        items = self._resolved(schema.get("items") or {})
        least, most = schema.get("minItems", 0), schema.get("maxItems", MAX_ITEMS)
        filled = self._listed(items)[:most]
        wanted = least if depth >= MAX_DEPTH else min(max(least, 1), most)
        while len(filled) < wanted:
            filled.append(self._value(items, name, depth + 1))
        return filled

    def _listed(self, items: Schema) -> list[Any]:
        """Take everything from the text that fits the items of an array."""
        reading = self._reading
        kind = _kind(items)
        if "enum" in items:
            return [option for option in items["enum"] if reading.mentions(str(option))]
        if kind in {"integer", "number"}:
            taken, reading.numbers = reading.numbers, []
            return [_bounded(number, items, whole=kind == "integer") for number in taken]
        if kind == "string" and not items.keys() & {"format", "pattern", "maxLength"}:
            if reading.quotations:
                taken_words, reading.quotations = reading.quotations, []
            else:
                taken_words, reading.names = reading.names, []
            return list(taken_words)
        return []

    def _choice(self, options: list[Any]) -> Any:
        mentioned = (option for option in options if self._reading.mentions(str(option)))
        return next(mentioned, options[0])

    def _number(self, schema: Schema, name: str, *, whole: bool) -> float:
        reading = self._reading
        assigned = numbers_in(reading.assigned(name) or "")
        if assigned:
            number = assigned[0]
            if number in reading.numbers:
                reading.numbers.remove(number)
        elif reading.numbers:
            number = reading.numbers.pop(0)
        else:
            default = schema.get("default")
            number = default if isinstance(default, int | float) else 1
        return _bounded(number, schema, whole=whole)

    def _boolean(self, schema: Schema, name: str) -> bool:
        reading = self._reading
        assigned = reading.assigned(name)
        if assigned is not None:
            return assigned.lower() in {"true", "yes", "on", "1"}
        if reading.declines(name):
            return False
        return reading.mentions(name) or schema.get("default") is True

    def _string(self, schema: Schema, name: str) -> str:
        reading = self._reading
        if schema.get("format") in _FORMATS:
            looks, otherwise = _FORMATS[schema["format"]]
            match = re.search(looks, reading.text)
            return match[0] if match else otherwise
        if "pattern" in schema:
            fitting = (word for word in reading.text.split() if matches(schema["pattern"], word))
            return next(fitting, None) or sample(schema["pattern"]) or ""
        text = reading.assigned(name) or self._words_for(schema, name)
        text = text[: schema.get("maxLength")]
        return text.ljust(schema.get("minLength", 0), ".")

    def _words_for(self, schema: Schema, name: str) -> str:
        """Find words for a string: as they stand in the text, or else about it."""
        reading = self._reading
        hints = words(name) or words(schema.get("title", ""))
        named = bool(hints & _NAMES)
        if reading.quotations:
            return reading.quotations.pop(0)
        if hints & _WHOLE_TEXT and not named:
            return reading.text
        if reading.names:
            return reading.names.pop(0)
        default = schema.get("default")
        if isinstance(default, str):
            return default
        about = f"{schema.get('description') or name or 'text'}: {reading.topic}"
        return reading.results or (reading.topic if named else about)


def _kind(schema: Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((option for option in kind if option != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    return str(kind)


def _nullable(schema: Schema | bool) -> bool:
    schema = _mapping(schema)
    options = [schema, *schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return any("null" in _as_list(_mapping(option).get("type")) for option in options)


def _mapping(value: Any) -> Schema:
    """Read `true`, which allows everything, as the empty schema."""
    return value if isinstance(value, dict) else {}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _merged(left: Schema, right: Schema) -> Schema:
    """Join two parts of an `allOf`."""
    return {
        **left,
        **right,
        "properties": {**left.get("properties", {}), **right.get("properties", {})},
        "required": [*left.get("required", ()), *right.get("required", ())],
    }


def _bounded(number: float, schema: Schema, *, whole: bool) -> float:
    """Move a number into the range that a schema allows."""
    least, most = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    step = schema.get("multipleOf", 1 if whole else None)
    nudge = step or 0.5
    if above is not None and number <= above:
        number = above + nudge
    if below is not None and number >= below:
        number = below - nudge
    if least is not None:
        number = max(number, least)
    if most is not None:
        number = min(number, most)
    if step and number % step:
        number = (number // step) * step
        if least is not None and number < least:
            number += step
    return int(number) if whole else number
