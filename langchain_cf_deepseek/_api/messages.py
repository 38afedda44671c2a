"""LangChain messages as DeepSeek's `messages`.

https://api-docs.deepseek.com/api/create-chat-completion
"""

import json
from collections.abc import Collection, Sequence
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
    IMAGE_NEEDS,
    as_text,
    image_in_file,
    is_broken_image,
    is_rewritten_row,
    result_content,
    system_content,
    user_content,
)
from langchain_cf_deepseek._json import encoding_error_message
from langchain_cf_deepseek._surrogates import join_json_surrogates
from langchain_cf_deepseek._warnings import warn_once

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
_MESSAGE_CLASS_FOR_ROLE: dict[str, type[AIMessage | HumanMessage | SystemMessage]] = {
    "assistant": AIMessage,
    "developer": SystemMessage,
    "system": SystemMessage,
    "user": HumanMessage,
}
_REMINDER = "latest_reminder"


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
    wire: list[dict[str, Any]] = []
    left_out: set[str] = set()
    answered = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
    last_question = max(
        (place for place, message in enumerate(messages) if isinstance(message, HumanMessage)),
        default=-1,
    )
    for index, message in enumerate(messages):
        try:
            if isinstance(message, ChatMessage) and message.role != _REMINDER:
                message = _by_role(message)  # noqa: PLW2901 - it stands for the other
            if isinstance(message, AIMessage):
                turn = read_turn(message)
                left_out |= turn.left_out
                said = _assistant(message, turn, answered)
                if send_reasoning:
                    is_checked = index > last_question
                    said |= _reasoning(message, turn, is_checked=is_checked)
                wire.append(said)
            else:
                wire.append(_message(message, sees_images=sees_images))
        except ValueError as error:
            msg = f"messages[{index}] ({type(messages[index]).__name__}): {error}"
            raise ValueError(msg) from None
    for index, earlier in enumerate(wire[:-1]):
        if "prefix" in earlier:
            msg = f"messages[{index}]: only the last message can be a `prefix`; take the mark off."
            raise ValueError(msg)
    if left_out:
        warn_once(
            f"content blocks of the types {', '.join(sorted(left_out))} in assistant turns are "
            "left out: DeepSeek has no form for them."
        )
    return wire


def traceable(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Return `messages` as LangChain can take them through its tracers and its standard form.

    Tracers read images before a model is asked, and fail for one that is none.

    Raises:
        ValueError: A user sends such an image.
    """
    return [
        message if isinstance(message.content, str) else _traceable(index, message)
        for index, message in enumerate(messages)
    ]


def _traceable(index: int, message: BaseMessage) -> BaseMessage:
    content: list[Any] = []
    for block in message.content:
        broken = is_broken_image(block)
        if isinstance(message, ToolMessage) and (broken or is_rewritten_row(block)):
            content.append(as_text(block) if isinstance(block, dict) else block)
        elif broken and isinstance(message, AIMessage):
            content.append({"type": "non_standard", "value": block})
        elif broken:
            msg = f"messages[{index}] ({type(message).__name__}): {IMAGE_NEEDS}"
            raise ValueError(msg)
        else:
            content.append(image_in_file(block) or block)
    return (
        message if content == message.content else message.model_copy(update={"content": content})
    )


def reasoning_of(message: AIMessage) -> str:
    """Return the reasoning of an assistant turn, whichever way the message keeps it."""
    return read_turn(message).reasoning


def _message(message: BaseMessage, *, sees_images: bool) -> dict[str, Any]:
    if isinstance(message, ToolMessage):
        content = result_content(message.content, sees_images=sees_images)
        return {"role": "tool", "content": content, "tool_call_id": message.tool_call_id}
    if isinstance(message, HumanMessage):
        content = user_content(message.content, sees_images=sees_images)
        wire = {"role": "user", "content": content}
    elif isinstance(message, SystemMessage):
        wire = {"role": "system", "content": system_content(message.content)}
    elif isinstance(message, ChatMessage):
        wire = {"role": _REMINDER, "content": system_content(message.content)}
        if not isinstance(wire["content"], str):
            msg = f"the content of a {_REMINDER!r} is one text."
            raise ValueError(msg)  # noqa: TRY004 - the value is what is wrong
    else:
        msg = "DeepSeek has no such role: use a system, human, AI or tool message."
        raise ValueError(msg)  # noqa: TRY004 - the type is LangChain's, the value is the user's
    return {**wire, "name": message.name} if message.name else wire


def _by_role(message: ChatMessage) -> BaseMessage:
    kind = _MESSAGE_CLASS_FOR_ROLE.get(message.role)
    if kind is None:
        roles = sorted([*_MESSAGE_CLASS_FOR_ROLE, _REMINDER])
        msg = (
            f"role {message.role!r} is unknown to DeepSeek: use one of {roles}, and a ToolMessage "
            "for the result of a tool."
        )
        raise ValueError(msg)
    return kind(
        message.content, name=message.name, additional_kwargs=dict(message.additional_kwargs)
    )


def _assistant(message: AIMessage, turn: Turn, answered: Collection[str]) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": "assistant", "content": turn.blocks or turn.text}
    calls = _tool_calls(message, answered)
    prefix = message.additional_kwargs.get("prefix")
    if prefix:
        wire["prefix"] = True
        if calls:
            msg = "a `prefix` cannot hold tool calls."
            raise ValueError(msg)
    if calls:
        wire["tool_calls"] = calls
    if message.name:
        wire["name"] = message.name
    unknown = message.additional_kwargs.get(UNKNOWN_KEYS)
    if not isinstance(unknown, dict):
        return wire
    if misplaced := DOCUMENTED_KEYS & unknown.keys():
        msg = f"additional_kwargs[{UNKNOWN_KEYS!r}] cannot hold {sorted(misplaced)}."
        raise ValueError(msg)
    return unknown | wire


def _reasoning(message: AIMessage, turn: Turn, *, is_checked: bool) -> dict[str, str]:
    """Return the reasoning of an assistant turn under the word that it came under.

    Args:
        message: The message.
        turn: What it says.
        is_checked: Whether DeepSeek may refuse the turn without `reasoning_content`, which other
            servers pass over: it looks at the turns behind the last question.
    """
    if not turn.reasoning and message.additional_kwargs.get("prefix"):
        return {}  # in a prefix to be continued, empty reasoning would mean: reason first
    key = message.response_metadata.get(REASONING_KEY)
    if not turn.reasoning or key != "reasoning":
        return {"reasoning_content": turn.reasoning}
    as_deepseek = {"reasoning_content": turn.reasoning} if is_checked else {}
    return {"reasoning": turn.reasoning, **as_deepseek}


def _tool_calls(message: AIMessage, answered: Collection[str]) -> list[dict[str, Any]]:
    calls = [
        _tool_call(call["id"], call["name"], _arguments(call["name"], call["args"]))
        for call in message.tool_calls
    ]
    # What the model wrote goes back as it wrote it, even where it could not be parsed; where nobody
    # answered it, it was no call, and DeepSeek would wait for its result for ever.
    calls += [
        _tool_call(call["id"], call["name"], join_json_surrogates(call["args"] or ""))
        for call in message.invalid_tool_calls
        if call["id"] in answered
    ]
    return calls


def _arguments(tool: str, args: Any) -> str:
    try:
        return json.dumps(args, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        msg = f"the tool call {tool!r}: {encoding_error_message(args, 'args')}"
        raise ValueError(msg) from None


def _tool_call(call_id: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    if not call_id or not name:
        msg = f"the tool call {name!r} needs an id and a name."
        raise ValueError(msg)
    return {
        "type": "function",
        "id": call_id,
        "function": {"name": name, "arguments": arguments},
    }
