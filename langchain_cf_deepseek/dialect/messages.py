"""LangChain messages as DeepSeek's `messages`.

https://api-docs.deepseek.com/api/create-chat-completion
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

Part = dict[str, Any]

UNKNOWN_KEYS = "deepseek"
"""Where `additional_kwargs` keeps what an answer holds beyond the documented keys."""

# `developer` is OpenAI's word for the same; DeepSeek refuses it.
_ROLE_OF_CHAT_ROLE = {"developer": "system"}
_ROLES = {"system", "user", "assistant", "tool", "latest_reminder"}

# Blocks of an assistant turn that its `tool_calls` repeat.
_SAID_BY_TOOL_CALLS = {"tool_call", "tool_call_chunk", "invalid_tool_call", "tool_use"}


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
    return wire


def reasoning_of(message: AIMessage) -> str:
    """Return the reasoning of an assistant turn, whichever way the message keeps it."""
    kept = message.additional_kwargs.get("reasoning_content")
    if isinstance(kept, str) and kept:
        return kept
    if isinstance(message.content, str):
        return ""
    return "".join(
        str(block.get("reasoning") or block.get("thinking") or "")
        for block in message.content
        if isinstance(block, dict) and block.get("type") in {"reasoning", "thinking"}
    )


def _message(message: BaseMessage, *, send_reasoning: bool, sees_images: bool) -> dict[str, Any]:
    if isinstance(message, AIMessage):
        wire = _assistant(message, send_reasoning=send_reasoning)
    elif isinstance(message, ToolMessage):
        content = _content(message.content, _TOLD if sees_images else _TOLD_BLINDLY)
        wire = {"role": "tool", "content": content, "tool_call_id": message.tool_call_id}
    elif isinstance(message, HumanMessage):
        content = _content(message.content, _TOLD if sees_images else _TOLD_BLINDLY)
        wire = {"role": "user", "content": content}
    elif isinstance(message, SystemMessage):
        wire = {"role": "system", "content": _content(message.content, _TEXT_ONLY)}
    elif isinstance(message, ChatMessage):
        wire = {"role": _chat_role(message.role), "content": _content(message.content, _TEXT_ONLY)}
    else:
        msg = "DeepSeek has no such role: use a system, human, AI or tool message."
        raise ValueError(msg)  # noqa: TRY004 - the type is LangChain's, the value is the user's
    if message.name and wire["role"] != "tool":
        wire["name"] = message.name
    return wire


def _chat_role(role: str) -> str:
    role = _ROLE_OF_CHAT_ROLE.get(role, role)
    if role not in _ROLES:
        msg = f"role {role!r} is unknown to DeepSeek: use one of {sorted(_ROLES)}."
        raise ValueError(msg)
    return role


def _assistant(message: AIMessage, *, send_reasoning: bool) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": "assistant", "content": _assistant_text(message.content)}
    reasoning = reasoning_of(message)
    prefix = message.additional_kwargs.get("prefix")
    if prefix:
        wire["prefix"] = True
    # In a prefix to be continued, empty reasoning would mean: reason first.
    if send_reasoning and (reasoning or not prefix):
        wire["reasoning_content"] = reasoning
    if calls := _tool_calls(message):
        wire["tool_calls"] = calls
    unknown = message.additional_kwargs.get(UNKNOWN_KEYS)
    return {**unknown, **wire} if isinstance(unknown, dict) else wire


def _assistant_text(content: str | list[str | dict[Any, Any]]) -> str:
    if isinstance(content, str):
        return content
    texts = []
    for block in content:
        if isinstance(block, str):
            texts.append(block)
        elif block.get("type") in {"text", "text-plain"}:
            texts.append(str(block.get("text") or ""))
        elif block.get("type") == "refusal":
            texts.append(str(block.get("refusal") or ""))
        elif block.get("type") not in {"reasoning", "thinking", *_SAID_BY_TOOL_CALLS}:
            raise _unknown_block(block, "an assistant turn takes text, reasoning and tool calls")
    return "".join(texts)


def _tool_calls(message: AIMessage) -> list[dict[str, Any]]:
    calls = [
        _tool_call(call["id"], call["name"], json.dumps(call["args"], ensure_ascii=False))
        for call in message.tool_calls
    ]
    # What the model wrote goes back as it wrote it, even where it could not be parsed.
    calls += [
        _tool_call(call["id"], call["name"], call["args"] or "")
        for call in message.invalid_tool_calls
    ]
    return calls


def _tool_call(call_id: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    if not call_id or not name:
        msg = f"the tool call {name!r} needs an id and a name."
        raise ValueError(msg)
    return {
        "type": "function",
        "id": call_id,
        "function": {"name": name, "arguments": arguments},
    }


def _content(
    content: str | list[str | dict[Any, Any]], part_of: Mapping[str, Callable[[Part], Part]]
) -> str | list[Part]:
    if isinstance(content, str):
        return content
    parts = [_part(block, part_of) for block in content]
    if len(parts) == 1 and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts or ""


def _part(block: str | dict[Any, Any], part_of: Mapping[str, Callable[[Part], Part]]) -> Part:
    if isinstance(block, str):
        return {"type": "text", "text": block}
    convert = part_of.get(str(block.get("type")))
    if convert is None:
        raise _unknown_block(block, f"here DeepSeek takes {', '.join(part_of)}")
    return convert(block)


def _unknown_block(block: Mapping[Any, Any], instead: str) -> ValueError:
    return ValueError(f"a content block of type {block.get('type')!r} cannot be sent: {instead}.")


def _text_part(block: Part) -> Part:
    return {"type": "text", "text": str(block.get("text") or "")}


def _image_url_part(block: Part) -> Part:
    image = block.get("image_url")
    image = {"url": image} if isinstance(image, str) else dict(image or {})
    return _checked_image(image)


def _image_part(block: Part) -> Part:
    source = block.get("source")  # Anthropic's form
    if isinstance(source, dict):
        block = {**source, "base64": source.get("data"), "mime_type": source.get("media_type")}
    if block.get("file_id"):
        return {"type": "file", "file_id": block["file_id"]}
    return _checked_image({"url": block.get("url") or _data_url(block)})


def _checked_image(image: Part) -> Part:
    url = image.get("url")
    if not isinstance(url, str) or not url.startswith(("https://", "http://", "data:image/")):
        msg = (
            "an image needs an http(s) URL, a data URL, base64 data with its `mime_type`, or a "
            "file id."
        )
        raise ValueError(msg)
    return {"type": "image_url", "image_url": image}


def _data_url(block: Part) -> str | None:
    if block.get("base64") and block.get("mime_type"):
        return f"data:{block['mime_type']};base64,{block['base64']}"
    return None


def _file_part(block: Part) -> Part:
    if isinstance(block.get("file"), dict):  # OpenAI's form
        block = block["file"]
    if block.get("file_id"):
        return {"type": "file", "file_id": block["file_id"]}
    data_url = block.get("file_data") or _data_url(block)
    if isinstance(data_url, str) and data_url.startswith("data:image/"):
        return _checked_image({"url": data_url})
    msg = (
        "DeepSeek takes documents by file id only: upload the file with DeepSeek's Files API "
        '(https://api-docs.deepseek.com/guides/files_api) and send {"type": "file", "file_id": ...}'
        "."
    )
    raise ValueError(msg)


def _unseen(_: Part) -> Part:
    msg = "this model sees no images and files: use one that does, such as `deepseek-flash`."
    raise ValueError(msg)


_TEXT_ONLY = {"text": _text_part, "text-plain": _text_part}
_TOLD = {
    **_TEXT_ONLY,
    "image_url": _image_url_part,
    "image": _image_part,
    "file": _file_part,
}
_TOLD_BLINDLY = {**_TEXT_ONLY, **dict.fromkeys(("image_url", "image", "file"), _unseen)}
