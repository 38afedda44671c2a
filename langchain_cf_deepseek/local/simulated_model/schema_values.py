"""Values that satisfy a JSON schema and use what the user wrote."""

from __future__ import annotations

import re
from typing import Any

from langchain_cf_deepseek.local.simulated_model.text_extraction import (
    ParsedText,
    numbers_in,
    words,
)

Schema = dict[str, Any]

MAX_ITEMS = 100
MAX_DEPTH = 4
"""How many levels of a recursive schema are filled."""

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
"""Format -> its pattern in a text, and the value for a text without a match."""

_PATTERN_ITEM = re.compile(r"(\\.|\[[^\]]+\]|\([^()]*\)(?=[?*])|.)(?:\{(\d+)[^}]*\}|([?*])|\+)?")
_ESCAPES = {"d": "1", "w": "a", "s": " "}

_WHOLE_TEXT = words(
    "query question text prompt message search content sentence task request instruction body todo"
    " description summary detail details note comment reason thought topic subject"
)
"""Words of a parameter whose value is the user's text."""

_NAMES = words(
    "name city location place country town address region person customer company author language"
    " currency origin destination style team owner product title"
)
"""Words of a parameter whose value is a name."""


def is_name_parameter(parameter: str) -> bool:
    """Whether the value of a parameter is a name, of a city for instance."""
    return bool(words(parameter) & _NAMES)


class Filler:
    """Fills one schema from one text."""

    def __init__(self, schema: Schema, text: ParsedText, *, complete: bool) -> None:
        """Prepare to fill a schema.

        Args:
            schema: The schema; `$ref` is resolved in it.
            text: The user's text.
            complete: Also fill properties that are neither required nor mentioned.
        """
        self._root = schema
        self._text = text
        self._complete = complete

    def fill(self) -> Any:
        """Build a value for the whole schema."""
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
        """Resolve references, and choose the first alternative that is not null."""
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
            declined = self._text.declines(name)
            if name in required and declined and _nullable(part):
                filled[name] = None
            elif name in required or (not declined and self._should_fill(name, depth)):
                filled[name] = self._value(part, name, depth + 1)
        return filled

    def _should_fill(self, name: str, depth: int) -> bool:
        return depth < MAX_DEPTH and (self._complete or self._text.mentions(name))

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        items = self._resolved(schema.get("items") or {})
        minimum, maximum = schema.get("minItems", 0), schema.get("maxItems", MAX_ITEMS)
        filled = self._items_in_text(items)[:maximum]
        length = minimum if depth >= MAX_DEPTH else min(max(minimum, 1), maximum)
        while len(filled) < length:
            filled.append(self._value(items, name, depth + 1))
        return filled

    def _items_in_text(self, items: Schema) -> list[Any]:
        """Take everything from the text that can be an item of an array."""
        source = self._text
        kind = _kind(items)
        if "enum" in items:
            return [option for option in items["enum"] if source.mentions(str(option))]
        if kind in {"integer", "number"}:
            taken, source.numbers = source.numbers, []
            return [_bounded(number, items, whole=kind == "integer") for number in taken]
        if kind == "string" and not items.keys() & {"format", "pattern", "maxLength"}:
            if source.quotations:
                taken_words, source.quotations = source.quotations, []
            else:
                taken_words, source.names = source.names, []
            return list(taken_words)
        return []

    def _choice(self, options: list[Any]) -> Any:
        mentioned = (option for option in options if self._text.mentions(str(option)))
        return next(mentioned, options[0])

    def _number(self, schema: Schema, name: str, *, whole: bool) -> float:
        source = self._text
        assigned = numbers_in(source.assigned_value(name) or "")
        if assigned:
            number = assigned[0]
            if number in source.numbers:
                source.numbers.remove(number)
        elif source.numbers:
            number = source.numbers.pop(0)
        else:
            default = schema.get("default")
            number = default if isinstance(default, int | float) else 1
        return _bounded(number, schema, whole=whole)

    def _boolean(self, schema: Schema, name: str) -> bool:
        source = self._text
        assigned = source.assigned_value(name)
        if assigned is not None:
            return assigned.lower() in {"true", "yes", "on", "1"}
        if source.declines(name):
            return False
        return source.mentions(name) or schema.get("default") is True

    def _string(self, schema: Schema, name: str) -> str:
        source = self._text
        if schema.get("format") in _FORMATS:
            pattern, default = _FORMATS[schema["format"]]
            match = re.search(pattern, source.text)
            return match[0] if match else default
        if "pattern" in schema:
            matching = (word for word in source.text.split() if _matches(schema["pattern"], word))
            return next(matching, None) or _sample(schema["pattern"])
        text = source.assigned_value(name) or self._words_for(schema, name)
        text = text[: schema.get("maxLength")]
        return text.ljust(schema.get("minLength", 0), ".")

    def _words_for(self, schema: Schema, name: str) -> str:
        """Find words for a string in the text, or else describe the text."""
        source = self._text
        hints = words(name) or words(schema.get("title", ""))
        named = bool(hints & _NAMES)
        if source.quotations:
            return source.quotations.pop(0)
        if hints & _WHOLE_TEXT and not named:
            return source.text
        if source.names:
            return source.names.pop(0)
        default = schema.get("default")
        if isinstance(default, str):
            return default
        about = f"{schema.get('description') or name or 'text'}: {source.topic}"
        return source.results or (source.topic if named else about)


def _matches(pattern: str, text: str) -> bool:
    """Whether a text matches; False for a pattern that Python does not support."""
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return False


def _sample(pattern: str) -> str:
    """Build a short text from the literals, classes and counts of a simple pattern.

    Returns an empty text for any other pattern.
    """
    text = ""
    for item, count, is_optional in _PATTERN_ITEM.findall(pattern.strip("^$")):
        first = item.removeprefix("[") or item
        escaped = first[1:2]
        char = _ESCAPES.get(escaped, escaped) if first[0] == "\\" else first[0]
        text += "" if is_optional else ("a" if item == "." else char) * int(count or 1)
    return text if _matches(pattern, text) else ""


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
    """Convert `true`, which allows everything, to the empty schema."""
    return value if isinstance(value, dict) else {}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _merged(left: Schema, right: Schema) -> Schema:
    """Merge two parts of an `allOf`."""
    return {
        **left,
        **right,
        "properties": {**left.get("properties", {}), **right.get("properties", {})},
        "required": [*left.get("required", ()), *right.get("required", ())],
    }


def _bounded(number: float, schema: Schema, *, whole: bool) -> float:
    """Move a number into the range that a schema allows."""
    minimum, maximum = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    step = schema.get("multipleOf", 1 if whole else None)
    nudge = step or 0.5
    if above is not None and number <= above:
        number = above + nudge
    if below is not None and number >= below:
        number = below - nudge
    if minimum is not None:
        number = max(number, minimum)
    if maximum is not None:
        number = min(number, maximum)
    if step and number % step:
        number = (number // step) * step
        if minimum is not None and number < minimum:
            number += step
    return int(number) if whole else number
