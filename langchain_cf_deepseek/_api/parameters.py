"""The parameters of a request, and the JSON type of each.

DeepSeek rejects a value of another type without naming the parameter. Ranges are left to DeepSeek:
its errors name them, and they change. https://api-docs.deepseek.com/api/create-chat-completion
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

PARAMETERS = frozenset(
    {
        "extra_body",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "model",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "response_format",
        "safety_check",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "thinking",
        "title",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user_id",
    }
)


def check_parameters(body: Mapping[str, Any]) -> None:
    """Check that every parameter has a type that DeepSeek accepts.

    Raises:
        ValueError: A parameter has another type; the text names it.
    """
    for name, (is_valid, expected) in _TYPES.items():
        if name in body and not is_valid(body[name]):
            msg = f"`{name}` must be {expected}, not {body[name]!r:.200}."
            raise ValueError(msg)
    for index, tool in enumerate(body.get("tools", ())):
        for path, value, is_valid, expected in _tool_fields(tool):
            if not is_valid(value):
                msg = f"`tools[{index}]{path}` must be {expected}, not {value!r:.200}."
                raise ValueError(msg)


_Predicate = Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    # An integer can be larger than every float.
    return (_is_integer(value) or isinstance(value, float)) and abs(value) <= sys.float_info.max


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_unsigned(bits: int) -> _Predicate:
    return lambda value: _is_integer(value) and 0 <= value < 2**bits


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_bool_or_none(value: Any) -> bool:
    return value is None or _is_bool(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: Any) -> bool:
    return value is None or _is_text(value)


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_stop(value: Any) -> bool:
    return _is_text(value) or (_is_list(value) and all(map(_is_text, value)))


def _is_stream_options(value: Any) -> bool:
    return _is_dict(value) and _is_bool_or_none(value.get("include_usage"))


def _is_thinking(value: Any) -> bool:
    return value.get("budget_tokens") is None or _is_unsigned(64)(value["budget_tokens"])


def _is_title(value: Any) -> bool:
    return _is_dict(value) and _is_bool(value.get("enabled"))


_NUMBER = (_is_number, "a number")
_COUNT = (_is_unsigned(32), "a whole number of at least 0")
_BOOL = (_is_bool, "a boolean")
_TYPES: dict[str, tuple[_Predicate, str]] = {
    "frequency_penalty": _NUMBER,
    "logprobs": _BOOL,
    "max_tokens": _COUNT,
    "parallel_tool_calls": _BOOL,
    "presence_penalty": _NUMBER,
    "safety_check": (_is_dict, "'low', 'high' or DeepSeek's {'level': ...}"),
    "seed": (_is_unsigned(64), "a whole number of at least 0"),
    "stop": (_is_stop, "a string or a list of strings"),
    "stream_options": (_is_stream_options, "a dict whose `include_usage` is a boolean"),
    "temperature": _NUMBER,
    "thinking": (_is_thinking, "a dict whose `budget_tokens` is a whole number"),
    "title": (_is_title, "a boolean or DeepSeek's {'enabled': ...}"),
    "tools": (_is_list, "a list of tools"),
    "top_logprobs": (_is_unsigned(8), "a whole number of at least 0"),
    "top_p": _NUMBER,
    "user_id": (_is_text, "a string"),
}


def _tool_fields(tool: Any) -> Iterator[tuple[str, Any, _Predicate, str]]:
    yield "", tool, _is_dict, "a dict"
    yield ".type", tool.get("type"), _is_text, "a string"
    if tool["type"] == "function" or "function" in tool:
        function = tool.get("function")
        yield ".function", function, _is_dict, "a dict"
        yield ".function.name", function.get("name"), _is_text, "a string"
        description, strict = function.get("description"), function.get("strict")
        yield ".function.description", description, _is_text_or_none, "a string"
        yield ".function.strict", strict, _is_bool_or_none, "a boolean"
