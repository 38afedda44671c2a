"""LangChain messages as DeepSeek's `messages`, and the keys that requests and responses share.

https://api-docs.deepseek.com/api/create-chat-completion
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_cf_deepseek._api.assistant_messages import Turn, read_turn
from langchain_cf_deepseek._api.content_parts import (
    INVALID_IMAGE,
    block_as_text,
    build_result_content,
    build_system_content,
    build_user_content,
    find_image_in_file,
    is_invalid_image,
    is_rewritten_by_langchain,
)
from langchain_cf_deepseek._api.server_blocks import UNKNOWN_KEYS
from langchain_cf_deepseek._json import encoding_error_message
from langchain_cf_deepseek._surrogates import join_json_surrogates
from langchain_cf_deepseek._warnings import warn_once

_REASONING_KEY = "reasoning_key"
"""Where `response_metadata` keeps the server's key, if it is not `reasoning_content`."""

ALTERNATIVE_REASONING_KEY = "reasoning"
"""The key of vLLM since January 2026, OpenRouter and Workers AI."""

DOCUMENTED_KEYS = frozenset(
    {
        "content",
        "function_call",
        "index",
        "name",
        "prefix",
        "reasoning_content",
        "role",
        "title",
        "tool_call_id",
        "tool_calls",
    }
)
"""The keys of a wire message that have a field in LangChain's messages."""

REMINDER = "latest_reminder"
"""The role of DeepSeek's message with date and place."""

_NOT_SENT_BACK = frozenset({"title"})
"""Keys of a response's message that DeepSeek does not document in requests."""

SERVER_CALLS = "tool_calls"
"""The undocumented key of tool calls that DeepSeek executes, beside those of functions."""

# The class for each role of a `ChatMessage`. DeepSeek rejects `developer`, OpenAI's `system`.
_MESSAGE_CLASS_FOR_ROLE: dict[str, type[AIMessage | HumanMessage | SystemMessage]] = {
    "assistant": AIMessage,
    "developer": SystemMessage,
    REMINDER: SystemMessage,
    "system": SystemMessage,
    "user": HumanMessage,
}


def build_wire_messages(
    messages: Sequence[BaseMessage],
    *,
    send_reasoning: bool,
    sees_images: bool,
    takes_reminder: bool = True,
) -> list[dict[str, Any]]:
    """Return `messages` in DeepSeek's form.

    Args:
        messages: The conversation.
        send_reasoning: Send `reasoning_content` back with every assistant turn, `""` where a turn
            has none: while thinking, DeepSeek can reject a turn without it.
        sees_images: Whether the model has vision. DeepSeek does not reject an image sent to a
            model without vision: it silently ignores the image.
        takes_reminder: Whether the model takes the role `latest_reminder`; to others its text is
            sent as a system message.

    Raises:
        ValueError: A message or block has no form in DeepSeek's API; the text names it.
    """
    wire: list[dict[str, Any]] = []
    dropped: set[str] = set()
    answered_ids = {
        message.tool_call_id for message in messages if isinstance(message, ToolMessage)
    }
    last_user_index = max(
        (index for index, message in enumerate(messages) if isinstance(message, HumanMessage)),
        default=-1,
    )
    for index, message in enumerate(messages):
        try:
            if isinstance(message, ChatMessage) and (
                message.role != REMINDER or not takes_reminder
            ):
                message = _convert_chat_message(message)  # noqa: PLW2901 - it replaces the other
            if isinstance(message, AIMessage):
                turn = read_turn(message)
                dropped |= turn.dropped
                wire_message = _build_assistant(message, turn, answered_ids)
                if send_reasoning:
                    wire_message |= _build_reasoning(
                        message, turn.reasoning, is_validated=index > last_user_index
                    )
                wire.append(wire_message)
            else:
                wire.append(_build_other(message, sees_images=sees_images))
        except ValueError as error:
            msg = f"messages[{index}] ({type(messages[index]).__name__}): {error}"
            raise ValueError(msg) from None
    for index, earlier in enumerate(wire[:-1]):
        if "prefix" in earlier:
            msg = f"messages[{index}]: only the last message can be a `prefix`; remove the mark."
            raise ValueError(msg)
    if dropped:
        warn_once(
            f"content blocks of the types {', '.join(sorted(dropped))} in assistant turns are "
            "dropped: DeepSeek's API has no form for them."
        )
    return wire


def make_traceable(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Return `messages` with blocks that LangChain's tracers and standard form can read.

    Tracers read images before the request is built, and raise for an invalid image.

    Raises:
        ValueError: A user or system message holds such an image.
    """
    return [
        message if isinstance(message.content, str) else _make_traceable(index, message)
        for index, message in enumerate(messages)
    ]


def _make_traceable(index: int, message: BaseMessage) -> BaseMessage:
    content: list[Any] = []
    for block in message.content:
        is_invalid = is_invalid_image(block)
        if isinstance(message, ToolMessage) and (is_invalid or is_rewritten_by_langchain(block)):
            content.append(block_as_text(block) if isinstance(block, dict) else block)
        elif is_invalid and isinstance(message, AIMessage):
            content.append({"type": "non_standard", "value": block})
        elif is_invalid:
            msg = f"messages[{index}] ({type(message).__name__}): {INVALID_IMAGE}"
            raise ValueError(msg)
        else:
            content.append(find_image_in_file(block) or block)
    return (
        message if content == message.content else message.model_copy(update={"content": content})
    )


def reasoning_of(message: AIMessage) -> str:
    """Return the reasoning of an assistant turn, in whichever form the message holds it."""
    return read_turn(message).reasoning


def find_reasoning(wire: Mapping[str, Any]) -> tuple[str, str | float] | None:
    """Return the key and the value of the reasoning in a message or delta; `None` without any.

    Raises:
        TypeError: `reasoning_content` is a list or an object.
    """
    for key in ("reasoning_content", ALTERNATIVE_REASONING_KEY):
        value = wire.get(key)
        if value is None or value == "":
            continue
        if isinstance(value, str | bool | int | float):
            return key, value
        if key == ALTERNATIVE_REASONING_KEY:
            return None  # not a text: kept with the unknown keys
        msg = f"{key} is a {type(value).__name__}"
        raise TypeError(msg)
    return None


def reasoning_key_metadata(key: str | None) -> dict[str, str]:
    """Return the part of `response_metadata` that names the server's key."""
    return {_REASONING_KEY: key} if key == ALTERNATIVE_REASONING_KEY else {}


def _build_other(message: BaseMessage, *, sees_images: bool) -> dict[str, Any]:
    if isinstance(message, ToolMessage):
        content = build_result_content(message.content, sees_images=sees_images)
        return {"role": "tool", "content": content, "tool_call_id": message.tool_call_id}
    if isinstance(message, HumanMessage):
        content = build_user_content(message.content, sees_images=sees_images)
        wire = {"role": "user", "content": content}
    elif isinstance(message, SystemMessage):
        wire = {"role": "system", "content": build_system_content(message.content)}
    elif isinstance(message, ChatMessage):
        wire = {"role": REMINDER, "content": build_system_content(message.content)}
        if not isinstance(wire["content"], str):
            msg = f"the content of a {REMINDER!r} must be one text."
            raise ValueError(msg)  # noqa: TRY004 - the value is what is wrong
    else:
        msg = "DeepSeek has no such role: use a system, human, AI or tool message."
        raise ValueError(msg)  # noqa: TRY004 - the type is LangChain's, the value is the user's
    return {**wire, "name": message.name} if message.name else wire


def _convert_chat_message(message: ChatMessage) -> BaseMessage:
    message_class = _MESSAGE_CLASS_FOR_ROLE.get(message.role)
    if message_class is None:
        roles = sorted(_MESSAGE_CLASS_FOR_ROLE)
        msg = (
            f"role {message.role!r} is unknown to DeepSeek: use one of {roles}, and a ToolMessage "
            "for the result of a tool."
        )
        raise ValueError(msg)
    return message_class(
        message.content, name=message.name, additional_kwargs=dict(message.additional_kwargs)
    )


def _build_assistant(
    message: AIMessage, turn: Turn, answered_ids: Collection[str]
) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": "assistant", "content": turn.blocks or turn.text}
    tool_calls = _build_tool_calls(message, answered_ids)
    if message.additional_kwargs.get("prefix"):
        wire["prefix"] = True
        if tool_calls:
            msg = "a `prefix` cannot hold tool calls."
            raise ValueError(msg)
    if message.name:
        wire["name"] = message.name
    unknown = message.additional_kwargs.get(UNKNOWN_KEYS)
    unknown = dict(unknown) if isinstance(unknown, dict) else {}
    for key in _NOT_SENT_BACK:
        unknown.pop(key, None)
    server_calls: list[Any] = []
    if isinstance(unknown.get(SERVER_CALLS), list):
        server_calls = _without_index(unknown.pop(SERVER_CALLS))
    if server_calls or tool_calls:
        wire["tool_calls"] = [*server_calls, *tool_calls]
    if misplaced := DOCUMENTED_KEYS & unknown.keys():
        msg = f"additional_kwargs[{UNKNOWN_KEYS!r}] cannot hold {sorted(misplaced)}."
        raise ValueError(msg)
    return unknown | wire


def _without_index(server_calls: list[Any]) -> list[Any]:
    """Return the calls of server tools as in a whole message: only deltas have an index."""
    return [
        {key: value for key, value in call.items() if key != "index"}
        if isinstance(call, dict)
        else call
        for call in server_calls
    ]


def _build_reasoning(message: AIMessage, reasoning: str, *, is_validated: bool) -> dict[str, str]:
    """Return the reasoning of an assistant turn under the key that the server used.

    Args:
        message: The message.
        reasoning: Its reasoning.
        is_validated: Whether DeepSeek might reject the turn without `reasoning_content`, which
            other servers ignore: DeepSeek validates the turns after the last user message.
    """
    if not reasoning and message.additional_kwargs.get("prefix"):
        return {}  # empty reasoning would make the model reason before it continues the prefix
    if not reasoning or message.response_metadata.get(_REASONING_KEY) != ALTERNATIVE_REASONING_KEY:
        return {"reasoning_content": reasoning}
    deepseek_reasoning = {"reasoning_content": reasoning} if is_validated else {}
    return {ALTERNATIVE_REASONING_KEY: reasoning, **deepseek_reasoning}


def _build_tool_calls(message: AIMessage, answered_ids: Collection[str]) -> list[dict[str, Any]]:
    tool_calls = [
        _build_tool_call(call["id"], call["name"], _encode_arguments(call["name"], call["args"]))
        for call in message.tool_calls
    ]
    # A call with invalid arguments is sent back as the model wrote it if it has a result; without
    # one it is dropped, because DeepSeek requires a result for every tool call.
    tool_calls += [
        _build_tool_call(call["id"], call["name"], join_json_surrogates(call["args"] or ""))
        for call in message.invalid_tool_calls
        if call["id"] in answered_ids
    ]
    return tool_calls


def _encode_arguments(tool: str, args: Any) -> str:
    try:
        return json.dumps(args, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        msg = f"the tool call {tool!r}: {encoding_error_message(args, 'args')}"
        raise ValueError(msg) from None


def _build_tool_call(call_id: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    if not call_id or not name:
        msg = f"the tool call {name!r} needs an id and a name."
        raise ValueError(msg)
    return {
        "type": "function",
        "id": call_id,
        "function": {"name": name, "arguments": arguments},
    }
