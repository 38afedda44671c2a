"""Tool calls that a server did not parse, and whose markup is in the text instead.

Each generation of DeepSeek's models writes tool calls in another markup, which the servers that run
them (vLLM, SGLang, NIM, DeepSeek's own) sometimes fail to parse.
https://github.com/vllm-project/vllm/issues/45603 and
https://github.com/sgl-project/sglang/issues/32539
"""

import re
from collections.abc import Collection
from typing import Any

from langchain_cf_deepseek._api.json_text import DECODER

# The bars of special tokens: full-width, doubled, or ASCII after a careless detokenizer.
_BARS = r"[|\uff5c\u2016\u2223\u2225\uffe8]+"
_TAG = re.compile(
    rf"""
    <\s*(?P<closing>/)?\s*
    (?:
        (?P<dsml>{_BARS}\s*(?P<closing_inside>/)?\s*DSML[^<>]*)  # V3.2 on: <|DSML|invoke name="f">
      | (?P<token>(?:{_BARS}\s*tool|tool\u2581)[^<>]*)           # V3: <|tool_calls_begin|>
      | (?:\w+:)?(?:function|tool)[_\ ]calls?\s*                 # without bars and their word
      | (?:\w+:)?(?P<invoke>invoke)(?:\s+name\s*=[^<>]*)?
      | function\s*=[^<>]*
    )
    (?:>|\Z)
    | \[(?P<end>END_)?TOOL_(?:REQUEST|CALLS)\]
    """,
    re.IGNORECASE | re.VERBOSE,
)
_NAME = re.compile(r"""(?:name\s*=\s*|function\s*=\s*)["']?(?P<name>[\w-]+)""")

# Code and quotations, which explain markup: a fence of any length, closed or truncated, backticks,
# HTML, indented and quoted lines.
_CODE = re.compile(
    r"""
    ^[ ]{0,3}(?P<fence>`{3,}|~{3,})[^\n]*\n.*?(?:^[ ]{0,3}(?P=fence)[`~]*[ \t]*$|\Z)
    | <(?P<html>pre|code)\b[^>]*>.*?</(?P=html)>
    | ^(?:[ ]{4}|\t|[ ]{0,3}>[ ])[^\n]*
    | ``[^\n]+?`` | `[^`\n]+`
    """,
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)
_FENCED_CALL = re.compile(r"```\w*\n(.*)```", re.DOTALL)

# End tokens that a server did not remove: <|end_of_sentence|>, <|im_end|>.
_END_TOKENS = re.compile(rf"(?:\s*<{_BARS}[^<>]*(?:end|eos|eot)[^<>]*>)+\s*\Z", re.IGNORECASE)

# A tool call's own end token: <|tool_calls_end|>.
_TOOL_END_TOKEN = re.compile(rf"<{_BARS}\s*(?:tool|/?\s*DSML)[^<>]*>\s*\Z", re.IGNORECASE)

# A tag inside a sentence follows a word and a space, or a quotation mark. A tag of markup starts a
# line, or follows a complete sentence, another tag, or a word without a space.
_BEFORE_MARKUP = re.compile(
    r"""(?:\A|\n|[>.!?:;\u2026\u3002\uff01\uff1a\uff1f])\s*\Z | [^\s"'(\[]\Z""", re.VERBOSE
)
_AFTER_MARKUP = re.compile(r"\s*(?:[<{\[]|\Z)|[ \t]*\n")
_AFTER_TOKEN = re.compile(r"[a-zA-Z]")
_CONTEXT_LENGTH = 200


def contains_leaked_tool_call(text: str, tools: Collection[str]) -> bool:
    """Return whether `text` is, or ends in, a tool call that the server did not parse.

    A text that explains the markup, in code or inside a sentence, contains none.

    Args:
        text: The text or the reasoning of a response.
        tools: The names of the tools that the model could call.
    """
    text = text if _TOOL_END_TOKEN.search(text[-_CONTEXT_LENGTH:]) else _END_TOKENS.sub("", text)
    return _is_tool_call_text(text.strip(), tools) or _contains_markup(text, tools)


def _contains_markup(text: str, tools: Collection[str]) -> bool:
    if "<" not in text and "[" not in text:
        return False
    text = _CODE.sub(" ", text)
    tags = [tag for tag in _TAG.finditer(text) if not _is_other_xml(tag, tools)]
    markup = [tag for tag in tags if _is_markup(tag, tools)]
    if not markup:
        return False
    first, last = markup[0], markup[-1]
    is_opening = not (last["closing"] or last["closing_inside"] or last["end"])
    ends_in_markup = is_opening or not text[last.end() :].strip()
    # Text after a tool call is invented: the tool has not run.
    special = [tag for tag in markup if tag["dsml"] or tag["token"]]
    called = text[max(first.start() - _CONTEXT_LENGTH, 0) : last.end() + _CONTEXT_LENGTH]
    return ends_in_markup or len(special) > 1 or any(_contains_name(called, tool) for tool in tools)


def _is_other_xml(tag: re.Match[str], tools: Collection[str]) -> bool:
    """Return whether a tag without bars is other XML: it has a name that is not a tool's."""
    if not tag["invoke"]:
        return False
    opening = tag if not tag["closing"] else _find_opening(tag)
    name = _NAME.search(opening[0]) if opening else None
    return name is not None and name["name"] not in tools


def _find_opening(closing: re.Match[str]) -> re.Match[str] | None:
    before = closing.string[: closing.start()]
    opened = [tag for tag in _TAG.finditer(before) if tag["invoke"] and not tag["closing"]]
    return opened[-1] if opened else None


def _is_markup(tag: re.Match[str], tools: Collection[str]) -> bool:
    text = tag.string
    line_start = text.rfind("\n", 0, tag.start()) + 1
    if not _BEFORE_MARKUP.search(text[max(line_start - 1, 0) : tag.start()]):
        return False
    if _AFTER_MARKUP.match(text, tag.end()) or text.startswith(tuple(tools), tag.end()):
        return True
    return bool(tag["token"] and _AFTER_TOKEN.match(text, tag.end()))


def _contains_name(text: str, tool: str) -> bool:
    return bool(tool) and re.search(rf"(?<![\w-]){re.escape(tool)}(?![\w-])", text) is not None


def _is_tool_call_text(text: str, tools: Collection[str]) -> bool:
    """Return whether a text consists of tool calls without tags."""
    if fenced := _FENCED_CALL.fullmatch(text):
        text = fenced[1].strip()
    if text.startswith(("{", "[")):
        values = _json_values(text)
        return bool(values) and all(_is_tool_call(value, tools) for value in values)
    # `get_weather{"city": "Paris"}`, and V3's form without its special tokens.
    text = text.removeprefix("functions.").removeprefix("function").lstrip()
    name = next((tool for tool in tools if tool and text.startswith(tool)), None)
    if name is None:
        return False
    rest = text[len(name) :].strip()
    if fenced := _FENCED_CALL.fullmatch(rest):
        rest = fenced[1].strip()
    values = _json_values(rest)
    return len(values) == 1 and isinstance(values[0], dict)


def _json_values(text: str) -> list[Any]:
    """Return the JSON values of a text; empty if it holds anything else."""
    values = []
    try:
        while text:
            value, end = DECODER.raw_decode(text)
            values.append(value)
            text = text[end:].lstrip(" \t\r\n,;")
    except (ValueError, RecursionError):
        return []
    return values


def _is_tool_call(value: Any, tools: Collection[str]) -> bool:
    if isinstance(value, list):
        return bool(value) and all(_is_tool_call(entry, tools) for entry in value)
    if not isinstance(value, dict):
        return False
    for key in ("tool_calls", "tool_call", "function_call", "function"):
        if isinstance(value.get(key), dict | list):
            return _is_tool_call(value[key], tools)
    if not isinstance(value.get("name"), str) or value["name"] not in tools:
        return False
    arguments = value.get("arguments", value.get("parameters"))
    # The declaration of a tool has a schema in the place of arguments.
    is_schema = isinstance(arguments, dict) and arguments.get("type") == "object"
    return isinstance(arguments, dict | str) and not (is_schema and "properties" in arguments)
