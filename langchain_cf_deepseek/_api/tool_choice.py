"""Tool choice: DeepSeek's form of it, and which choices force a tool call."""

from collections.abc import Mapping
from typing import Any

_FORCING_NAMES = ("any", "required")
_NON_FORCING_NAMES = ("auto", "none")


def parse_tool_choice(choice: Any) -> str | dict[str, Any] | None:
    """Return a tool choice of OpenAI's, Anthropic's or LangChain's form in DeepSeek's form.

    Raises:
        ValueError: It names no tool.
    """
    if choice is None or choice is False:
        return None
    if choice is True:
        return "required"
    if isinstance(choice, str):
        if choice in _FORCING_NAMES:
            return "required"
        return choice if choice in _NON_FORCING_NAMES else _choice_of_tool(choice)
    kind = choice.get("type") if isinstance(choice, Mapping) else None
    if kind in _FORCING_NAMES or kind in _NON_FORCING_NAMES:
        return parse_tool_choice(kind)
    named = (choice.get("function") or choice) if kind else None
    name = named.get("name") if isinstance(named, Mapping) else None
    if not isinstance(name, str):
        msg = f"`tool_choice` {choice!r} names no tool."
        raise ValueError(msg)  # noqa: TRY004 - the value is what is wrong
    return _choice_of_tool(name)


def is_forcing(choice: str | dict[str, Any] | None) -> bool:
    """Return whether a tool choice in DeepSeek's form forces a tool call."""
    return choice is not None and choice not in _NON_FORCING_NAMES


def _choice_of_tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}
