"""Tool calls that a server left unparsed: their markup stands in the text instead.

DeepSeek's models write calls in markup of their own, each generation in another, and the servers
that run them (vLLM, SGLang, NIM, DeepSeek's own) miss it now and then.
https://github.com/vllm-project/vllm/issues/45603 and
https://github.com/sgl-project/sglang/issues/32539
"""

import json
import re
from collections.abc import Collection

# The bars of special tokens: full-width, doubled, or the ASCII ones of a careless detokenizer.
_BARS = r"[|\uff5c\u2016\u2223\u2225\uffe8]+"
_TAG = re.compile(
    rf"""
    <\s*(?P<closing>/)?\s*
    (?:
        {_BARS}\s*(?P<closing_inside>/)?\s*DSML[^<>]*     # V3.2 and later: <|DSML|invoke name="f">
      | {_BARS}\s*tool[^<>]*                              # V3: <|tool_calls_begin|>
      | tool\u2581[^<>]*                                  # the same, its bars lost
      | (?:\w+:)?(?:function|tool)[_\ ]calls?\s*          # the bars and their word lost
      | (?:\w+:)?invoke(?:\s+name\s*=[^<>]*)?
      | function\s*=[^<>]*
    )
    (?:>|\Z)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_NAME = re.compile(r"""(?:name\s*=\s*|function\s*=\s*)["']?(?P<name>[\w-]+)""")

# Code, in which markup is explained: a fence, closed or cut off, or backticks.
_CODE = re.compile(r"```.*?(?:```|\Z)|``[^\n]+?``|`[^`\n]+`", re.DOTALL)
_FENCED = re.compile(r"```\w*\n(.*)```", re.DOTALL)

# A tag inside a sentence follows a word and a space, or a quotation mark. As markup it begins a
# line, or stands behind a whole sentence, another tag, or a word without a space.
_BEFORE_MARKUP = re.compile(
    r"""(?:\A|\n|[>.!?:;\u2026\u3002\uff01\uff1a\uff1f])\s*\Z|[^\s"'(\[]\Z"""
)
_AFTER_MARKUP = re.compile(r"\s*(?:<|\Z)|[ \t]*\n")


def holds_leaked_call(text: str, tools: Collection[str]) -> bool:
    """Return whether `text` is, or ends in, a tool call that was left unparsed.

    A text that explains the markup, in code or inside a sentence, holds none.

    Args:
        text: The text or the reasoning of a response.
        tools: The names of the tools that the model could call.
    """
    return _is_call_as_json(text, tools) or _holds_markup(text, tools)


def _holds_markup(text: str, tools: Collection[str]) -> bool:
    if "<" not in text:
        return False
    text = _CODE.sub(" ", text)
    tags = list(_TAG.finditer(text))
    markup = list(filter(_is_markup, tags))
    if not markup:
        return False
    last = markup[-1]
    is_opening = not (last["closing"] or last["closing_inside"])
    ends_in_markup = is_opening or not text[last.end() :].strip()
    # What follows the call of a tool that exists is made up: the tool has not run.
    return ends_in_markup or any(name in tools for name in map(_name_in, tags))


def _is_markup(tag: re.Match[str]) -> bool:
    text = tag.string
    line_start = text.rfind("\n", 0, tag.start()) + 1
    before = text[max(line_start - 1, 0) : tag.start()]
    return bool(_BEFORE_MARKUP.search(before) and _AFTER_MARKUP.match(text, tag.end()))


def _name_in(tag: re.Match[str]) -> str:
    found = _NAME.search(tag[0])
    return found["name"] if found else ""


def _is_call_as_json(text: str, tools: Collection[str]) -> bool:
    text = text.strip()
    if fenced := _FENCED.fullmatch(text):
        text = fenced[1]
    if not tools or not text.startswith(("{", "[")):
        return False
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return False
    calls = value if isinstance(value, list) else [value]
    return bool(calls) and all(_is_call(call, tools) for call in calls)


def _is_call(value: object, tools: Collection[str]) -> bool:
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    return (
        isinstance(value, dict)
        and value.get("name") in tools
        and isinstance(value.get("arguments", value.get("parameters")), dict)
    )
