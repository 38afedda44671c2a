"""Server tools, which DeepSeek itself executes: how they are declared, and which request can.

https://api-docs.deepseek.com/guides/web_tools
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]

SERVER_PREFIX = "deepseek_"
"""How the types of DeepSeek's server tools begin."""

_SEARCH = "use {'type': 'deepseek_web_search'}"
_READ = "use {'type': 'deepseek_read_url'}"
_NONE = "DeepSeek has no such tool: declare a function tool that your code executes"

# What to write instead of other providers' server tools, by the beginning of the type.
_FOREIGN: dict[str, str] = {
    "web_search": _SEARCH,
    "google_search": _SEARCH,
    "browser_search": _SEARCH,
    "googleSearch": _SEARCH,
    "x_search": _SEARCH,
    "web_fetch": _READ,
    "url_context": _READ,
    "urlContext": _READ,
    **dict.fromkeys(
        (
            "apply_patch",
            "bash_",
            "code_execution",
            "code_interpreter",
            "codeExecution",
            "computer",
            "file_search",
            "google_maps",
            "image_generation",
            "local_shell",
            "mcp",
            "memory_",
            "shell",
            "text_editor",
            "tool_search",
        ),
        _NONE,
    ),
}
_FOREIGN_TYPE = re.compile("|".join(map(re.escape, _FOREIGN)))
# The keys of a tool that the caller executes.
_FUNCTION_KEYS = frozenset({"function", "input_schema", "parameters", "properties"})


def is_server_tool(tool: Any) -> bool:
    """Return whether a tool is a dict that declares a server tool of DeepSeek's."""
    return isinstance(tool, Mapping) and str(tool.get("type") or "").startswith(SERVER_PREFIX)


def normalize_tool(tool: Any) -> Any:
    """Return a server tool as chat completions take it: without `name`; any other unchanged.

    Raises:
        ValueError: A server tool has another name or `strict`, or is another provider's.
    """
    if not isinstance(tool, Mapping):
        return tool
    if not is_server_tool(tool):
        _check_foreign(tool)
        return tool
    kind = tool["type"]
    if tool.get("name", kind) != kind:
        msg = f"the server tool {kind!r} cannot have the name {tool['name']!r:.100}: leave it out."
        raise ValueError(msg)
    if tool.get("strict") is not None:
        msg = f"the server tool {kind!r} cannot be `strict`: leave it out; it has no schema."
        raise ValueError(msg)
    return {key: value for key, value in tool.items() if key != "name"}


def _check_foreign(tool: Mapping[str, Any]) -> None:
    kind = tool.get("type")
    if kind is None and len(tool) == 1:
        kind = next(iter(tool))  # Google's form: {"google_search": {}}
    found = _FOREIGN_TYPE.match(kind) if isinstance(kind, str) else None
    if found and not _FUNCTION_KEYS & tool.keys():
        msg = f"the tool {kind!r} is another provider's: {_FOREIGN[found[0]]}."
        raise ValueError(msg)


def server_tools(body: Mapping[str, Any]) -> list[Json]:
    """Return the server tools that a request declares."""
    return [tool for tool in body.get("tools") or () if is_server_tool(tool)]


def function_tools(tools: Sequence[Any]) -> list[Any]:
    """Return the tools that are not server tools."""
    return [tool for tool in tools if not is_server_tool(tool)]


def is_high_safety(body: Mapping[str, Any]) -> bool:
    """Return whether a request asks for DeepSeek's review of input and output."""
    safety = body.get("safety_check")
    return isinstance(safety, Mapping) and safety.get("level") == "high"


def check_server_tools(body: Mapping[str, Any], *, serves_tools: bool) -> None:
    """Check that the model of a request has server tools, and that none is forced.

    Args:
        body: The request, with the tool choice as the caller wrote it.
        serves_tools: Whether the model can have server tools.

    Raises:
        ValueError: It does not, or one is.
    """
    tools = body.get("tools") or ()
    declared = [tool["type"] for tool in server_tools(body)]
    if declared and not serves_tools:
        msg = (
            f"`model`: only deepseek-flash has server tools ({', '.join(declared)}): use "
            "model='deepseek-flash', or function tools."
        )
        raise ValueError(msg)
    choice = body.get("tool_choice")
    named = _name_of_choice(choice)
    functions = {_function_name(tool) for tool in function_tools(tools)}
    is_only_choice = bool(declared) and not functions and named in ("any", "required", True)
    if is_only_choice or (isinstance(named, str) and named not in functions and _is_named(named)):
        msg = (
            f"`tool_choice` {choice!r:.200} forces a server tool, which DeepSeek executes when it "
            "decides to: use 'auto', and ask for it in the prompt."
        )
        raise ValueError(msg)


def _is_named(name: str) -> bool:
    return name.startswith(SERVER_PREFIX) or name in ("web_search", "google_search")


def _name_of_choice(choice: Any) -> Any:
    """Return the tool or mode that a tool choice names, in any provider's form."""
    if not isinstance(choice, Mapping):
        return choice
    function = choice.get("function")
    named = function if isinstance(function, Mapping) else choice
    return named.get("name") or choice.get("type")


def _function_name(tool: Any) -> Any:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    return function.get("name") if isinstance(function, Mapping) else None
