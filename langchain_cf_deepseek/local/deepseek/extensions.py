"""The fields of November 2026, which DeepSeek's own library does not know.

They are checked here, and removed from the body before the library validates it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

from langchain_cf_deepseek.local.deepseek.continuations import prefix_of
from langchain_cf_deepseek.local.deepseek.server_tools import SERVER_TOOLS, WEB_SEARCH, is_block
from langchain_cf_deepseek.local.faults.error_bodies import deepseek_refusal

JSON = dict[str, Any]

_LEVELS = ("low", "high")
_PLATFORMS = ("App", "Web")
_REMINDER_FIELDS = 5
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_PASSED_CHOICES = (None, "auto", "none")


@dataclass(frozen=True)
class Extensions:
    """What a request asks for beside what DeepSeek's library knows."""

    server_tools: frozenset[str] = frozenset()
    title: bool = False
    review: bool = False
    """Whether the response is reviewed as a whole before it ends."""


def extract_extensions(body: JSON, *, is_flash: bool) -> tuple[JSON, Extensions]:
    """Return a body that DeepSeek's library can validate, and what was removed from it.

    Args:
        body: The body of a chat request; it is not changed.
        is_flash: Whether the model is one that has server tools.

    Raises:
        RefusedError: A field is invalid. DeepSeek's texts for that are not published, except the
            one for a malformed date.
    """
    body = dict(body)
    title = _flag(body.pop("title", None))
    review = _level(body.pop("safety_check", None)) == "high"
    tools = _extract_server_tools(body, is_flash=is_flash)
    if review and WEB_SEARCH not in tools and body.get("tool_choice") not in _PASSED_CHOICES:
        message = "Only tool_choice 'auto' and 'none' are supported with safety_check level 'high'"
        raise deepseek_refusal(400, message)
    messages = body.get("messages")
    if isinstance(messages, list):
        if tools and prefix_of(messages) is not None:
            raise deepseek_refusal(400, "Function call should not be used with prefix")
        for number, message in enumerate(messages):
            _check_reminder(message, number)
        body["messages"] = [_without_blocks(message) for message in messages]
    return body, Extensions(tools, title, review)


def _flag(title: Any) -> bool:
    if title is None:
        return False
    if not isinstance(title, dict) or not isinstance(title.get("enabled"), bool):
        raise deepseek_refusal(400, "Invalid 'title': expected an object with a boolean 'enabled'")
    return bool(title["enabled"])


def _level(safety_check: Any) -> str | None:
    if safety_check is None:
        return None
    level = safety_check.get("level") if isinstance(safety_check, dict) else None
    if level not in _LEVELS:
        raise deepseek_refusal(400, "Invalid 'safety_check.level': expected 'low' or 'high'")
    return str(level)


def _extract_server_tools(body: JSON, *, is_flash: bool) -> frozenset[str]:
    tools = body.get("tools")
    if not isinstance(tools, list):
        return frozenset()
    server_tools = [tool for tool in tools if _is_server_tool(tool)]
    if not server_tools:
        return frozenset()
    if not is_flash:
        raise deepseek_refusal(
            400, f"{server_tools[0]['type']} is only supported by deepseek-flash"
        )
    for number, tool in enumerate(tools):
        if _is_server_tool(tool) and "strict" in tool:
            raise deepseek_refusal(400, f"Invalid 'tools[{number}]': 'strict' is not supported")
    body["tools"] = [tool for tool in tools if not _is_server_tool(tool)]
    if not body["tools"]:
        del body["tools"]
        if body.pop("tool_choice", None) not in _PASSED_CHOICES:
            raise deepseek_refusal(400, "A server tool cannot be forced by 'tool_choice'")
    elif _is_server_tool(body.get("tool_choice")):
        raise deepseek_refusal(400, "A server tool cannot be forced by 'tool_choice'")
    return frozenset(tool["type"] for tool in server_tools)


def _is_server_tool(tool: Any) -> bool:
    type_ = tool.get("type") if isinstance(tool, dict) else None
    return isinstance(type_, str) and type_ in SERVER_TOOLS


def _without_blocks(message: Any) -> Any:
    """Return a message without the blocks of server tools, which an assistant turn sends back."""
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list) or message.get("role") != "assistant":
        return message
    parts = [part for part in content if not is_block(part)]
    return message if len(parts) == len(content) else {**message, "content": parts or ""}


def _check_reminder(message: Any, number: int) -> None:
    """Check `<date>,<weekday>,<location>,<platform>,<language>`; the location can have commas."""
    if not isinstance(message, dict) or message.get("role") != "latest_reminder":
        return
    content = message.get("content")
    if not isinstance(content, str):
        return  # DeepSeek's library refuses it.
    fields = content.split(",")
    if not _is_date(fields[0]):
        raise deepseek_refusal(400, f"Invalid 'messages.{number}.content': invalid date")
    if len(fields) < _REMINDER_FIELDS or not fields[1].strip() or not fields[-1].strip():
        raise deepseek_refusal(400, f"Invalid 'messages.{number}.content': invalid format")
    if fields[-2] not in _PLATFORMS:
        raise deepseek_refusal(400, f"Invalid 'messages.{number}.content': invalid platform")


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return _DATE.fullmatch(text) is not None
