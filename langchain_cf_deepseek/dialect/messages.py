"""LangChain messages as DeepSeek's `messages`.

https://api-docs.deepseek.com/api/create-chat-completion
"""

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_cf_deepseek.dialect.content import (
    TEXT_ONLY,
    TEXTS,
    TOLD,
    TOLD_BLINDLY,
    Part,
    content_of,
    text_of,
    unknown_block,
)
from langchain_cf_deepseek.encoding import complaint

UNKNOWN_KEYS = "deepseek"
"""Where `additional_kwargs` keeps what an answer holds beyond the documented keys."""

REASONING_KEY = "reasoning_key"
"""Where `response_metadata` keeps the server's word for `reasoning_content`, if it has another."""

DOCUMENTED_KEYS = frozenset(
    {
        "content",
        "function_call",
        "index",
        "name",
        "prefix",
        "reasoning_content",
        "role",
        "tool_call_id",
        "tool_calls",
    }
)
"""The keys of a message that are made of, or read into, fields of LangChain's messages."""

# What a `ChatMessage` of a role stands for. DeepSeek refuses `developer`, OpenAI's `system`.
_KIND_OF_ROLE: dict[str, type[AIMessage | HumanMessage | SystemMessage]] = {
    "assistant": AIMessage,
    "developer": SystemMessage,
    "system": SystemMessage,
    "user": HumanMessage,
}
_REMINDER = "latest_reminder"

# Blocks of an assistant turn that its `tool_calls` repeat, and where they keep the id of the call.
_ID_OF_CALL = {
    "tool_call": "id",
    "tool_call_chunk": "id",
    "invalid_tool_call": "id",
    "tool_use": "id",  # Anthropic's
    "function_call": "call_id",  # that of OpenAI's Responses API
}
_REASONING = ("reasoning", "thinking")
_ASSISTANT_TAKES = "an assistant turn takes text, reasoning and tool calls"


def to_wire(
    messages: Sequence[BaseMessage], *, send_reasoning: bool, sees_images: bool
) -> list[dict[str, Any]]:
    """Return `messages` as DeepSeek takes them.

    Args:
        messages: The conversation.
        send_reasoning: Send `reasoning_content` back with every assistant turn, `""` where a turn
            has none: while thinking, DeepSeek may refuse a turn without it.
        sees_images: Whether the model has vision. DeepSeek does not refuse an image sent to a
            model without: it silently answers without having seen it.

    Raises:
        ValueError: DeepSeek has no form for a message or block; the text names it.
    """
    wire = []
    for index, message in enumerate(messages):
        try:
            wire.append(_message(message, send_reasoning=send_reasoning, sees_images=sees_images))
        except ValueError as error:
            msg = f"messages[{index}] ({type(message).__name__}): {error}"
            raise ValueError(msg) from None
    for index, earlier in enumerate(wire[:-1]):
        if "prefix" in earlier:
            msg = f"messages[{index}]: only the last message can be a `prefix`; take the mark off."
            raise ValueError(msg)
    return wire


def reasoning_of(message: AIMessage) -> str:
    """Return the reasoning of an assistant turn, whichever way the message keeps it."""
    kept = message.additional_kwargs.get("reasoning_content")
    if isinstance(kept, str) and kept:
        return kept
    if isinstance(message.content, str):
        return ""
    return "".join(map(_reasoning_in, filter(_is_reasoning, message.content)))


def _is_reasoning(block: str | dict[Any, Any]) -> bool:
    return isinstance(block, dict) and block.get("type") in _REASONING


def _reasoning_in(block: Any) -> str:
    text = block.get("reasoning") or block.get("thinking")
    if text is None and isinstance(summary := block.get("summary"), list):  # OpenAI's Responses
        parts = [part.get("text") for part in summary if isinstance(part, dict)]
        return "\n\n".join(part for part in parts if isinstance(part, str))
    return text if isinstance(text, str) else ""


def _message(message: BaseMessage, *, send_reasoning: bool, sees_images: bool) -> dict[str, Any]:
    if isinstance(message, ChatMessage) and message.role != _REMINDER:
        message = _of_its_role(message)
    if isinstance(message, AIMessage):
        wire = _assistant(message, send_reasoning=send_reasoning)
    elif isinstance(message, ToolMessage):
        content = content_of(message.content, TOLD if sees_images else TOLD_BLINDLY)
        wire = {"role": "tool", "content": content, "tool_call_id": message.tool_call_id}
    elif isinstance(message, HumanMessage):
        content = content_of(message.content, TOLD if sees_images else TOLD_BLINDLY)
        wire = {"role": "user", "content": content}
    elif isinstance(message, SystemMessage):
        wire = {"role": "system", "content": content_of(message.content, TEXT_ONLY)}
    elif isinstance(message, ChatMessage):
        wire = {"role": _REMINDER, "content": content_of(message.content, TEXT_ONLY)}
        if not isinstance(wire["content"], str):
            msg = f"the content of a {_REMINDER!r} is one text."
            raise ValueError(msg)  # noqa: TRY004 - the value is what is wrong
    else:
        msg = "DeepSeek has no such role: use a system, human, AI or tool message."
        raise ValueError(msg)  # noqa: TRY004 - the type is LangChain's, the value is the user's
    if message.name and wire["role"] != "tool":
        wire["name"] = message.name
    return wire


def _of_its_role(message: ChatMessage) -> BaseMessage:
    kind = _KIND_OF_ROLE.get(message.role)
    if kind is None:
        roles = sorted([*_KIND_OF_ROLE, _REMINDER])
        msg = (
            f"role {message.role!r} is unknown to DeepSeek: use one of {roles}, and a ToolMessage "
            "for the result of a tool."
        )
        raise ValueError(msg)
    return kind(
        message.content, name=message.name, additional_kwargs=dict(message.additional_kwargs)
    )


def _assistant(message: AIMessage, *, send_reasoning: bool) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": "assistant", "content": _assistant_text(message)}
    reasoning = reasoning_of(message)
    calls = _tool_calls(message)
    _check_nothing_else_is_called(message, {call["id"] for call in calls})
    prefix = message.additional_kwargs.get("prefix")
    if prefix:
        wire["prefix"] = True
        if calls:
            msg = "a `prefix` cannot hold tool calls."
            raise ValueError(msg)
    # In a prefix to be continued, empty reasoning would mean: reason first.
    if send_reasoning and (reasoning or not prefix):
        wire["reasoning_content"] = reasoning
    if calls:
        wire["tool_calls"] = calls
    unknown = message.additional_kwargs.get(UNKNOWN_KEYS)
    if not isinstance(unknown, dict):
        return wire
    if misplaced := DOCUMENTED_KEYS & unknown.keys():
        msg = f"additional_kwargs[{UNKNOWN_KEYS!r}] cannot hold {sorted(misplaced)}."
        raise ValueError(msg)
    return unknown | wire


def _assistant_text(message: AIMessage) -> str:
    kwargs = message.additional_kwargs
    if isinstance(message.content, list):
        text = "".join(map(_assistant_block_text, message.content))
    else:
        text = message.content
    if not text and kwargs.get("audio"):  # OpenAI's models answer with it instead of text
        raise unknown_block({"type": "audio"}, _ASSISTANT_TAKES)
    return text or str(kwargs.get("refusal") or "")


def _assistant_block_text(block: str | dict[Any, Any]) -> str:
    if isinstance(block, str):
        return block
    kind = block.get("type")
    if kind in TEXTS:
        return text_of(block, "text")
    if kind == "refusal":
        return text_of(block, "refusal")
    if kind in _REASONING:
        _check_reasoning(block)
    elif kind not in tuple(_ID_OF_CALL):
        raise unknown_block(block, _ASSISTANT_TAKES)
    return ""


def _check_reasoning(block: Part) -> None:
    for key in _REASONING:
        if block.get(key) is not None:
            text_of(block, key)


def _tool_calls(message: AIMessage) -> list[dict[str, Any]]:
    calls = [
        _tool_call(call["id"], call["name"], _arguments(call["name"], call["args"]))
        for call in message.tool_calls
    ]
    # What the model wrote goes back as it wrote it, even where it could not be parsed.
    calls += [
        _tool_call(call["id"], call["name"], call["args"] or "")
        for call in message.invalid_tool_calls
    ]
    return calls


def _arguments(tool: str, args: Any) -> str:
    try:
        text = json.dumps(args, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        msg = f"the tool call {tool!r}: {complaint(args, 'args')}"
        raise ValueError(msg) from None
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half a surrogate pair, which models write now and then, only travels escaped.
        return json.dumps(args)
    return text


def _check_nothing_else_is_called(message: AIMessage, known: set[str]) -> None:
    """Refuse a message that holds a call in its content or kwargs only, where none is read."""
    kwargs = message.additional_kwargs
    raw = kwargs.get("tool_calls")
    called = [call.get("id") for call in (raw or ()) if isinstance(call, dict)]
    if isinstance(message.content, list):
        called += [
            block.get(_ID_OF_CALL[block["type"]])
            for block in message.content
            if isinstance(block, dict) and block.get("type") in tuple(_ID_OF_CALL)
        ]
    # Gemini's messages keep the last call here, too.
    if kwargs.get("function_call") and not known:
        called.append(None)
    for call_id in called:
        if call_id not in tuple(known):
            msg = f"the tool call {call_id!r} is not among the message's `tool_calls`: add it."
            raise ValueError(msg)


def _tool_call(call_id: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    if not call_id or not name:
        msg = f"the tool call {name!r} needs an id and a name."
        raise ValueError(msg)
    return {
        "type": "function",
        "id": call_id,
        "function": {"name": name, "arguments": arguments},
    }
