"""Whether DeepSeek accepts a request: its own validator with its strictest options."""

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from deepseek_recipe import (
    ChatCompletionRequest,
    ConversionError,
    ConversionOptions,
    ModelVersion,
    ReasoningContentBehavior,
)
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from langchain_cf_deepseek._json import utf8

_VERSIONS = {
    "deepseek-flash": ModelVersion.DeepseekV41Flash,
    "deepseek-v4-pro": ModelVersion.DeepseekV4Pro,
}

# Requests that DeepSeek rejects with a message that names the field, and that the client therefore
# does not check: how tool calls and results pair up, and ranges, which change.
_LEFT_TO_DEEPSEEK = re.compile(
    r"Empty input messages"
    r"|The supported API model names are"
    r"|An assistant message with 'tool_calls' must be followed by tool messages"
    r"|The following tool_call_ids did not have response messages"
    r"|Duplicate value for 'tool_call_id'"
    r"|Messages with role 'tool' must be a response to a preceding message with 'tool_calls'"
    r"|response_format json_object should not be used with prefix"
    r"|the valid range of (max_tokens|temperature|top_p|frequency_penalty|presence_penalty"
    r"|seed|top_logprobs) is"
    r"|Invalid 'stop(\[\d+\])?': empty string"
    r"|Stop string array too long"
    r"|no function named '.*' was specified"
    r"|Tool names must be unique"
    r"|Invalid schema for function"
    r"|Invalid 'tools\[\d+\]\.function\.name'"
    r"|Invalid base64 data|unsupported image|Unsupported image_url format"
    # The service accepts these two by its documentation; this version of its library does not.
    r"|file_id is not supported"
    # A number in a schema or in `extra_body` that most JSON parsers reject.
    r"|number out of range"
    r"|unknown variant `deepseek_(web_search|read_url)`",
)


def client_defect(raw: bytes) -> str | None:
    """Return why DeepSeek rejects a request that the client should not send; else `None`."""
    refusal = _rejection(raw)
    return None if refusal is None or is_left_to_deepseek(refusal) else refusal


def is_left_to_deepseek(refusal: str) -> bool:
    """Return whether the client leaves a check to DeepSeek, given its error message."""
    return _LEFT_TO_DEEPSEEK.search(refusal) is not None


def _rejection(raw: bytes) -> str | None:
    options = ConversionOptions(
        reasoning_content_behavior=ReasoningContentBehavior.Reject
    ).with_model_versions_by_name(_VERSIONS)
    body = json.loads(raw)
    model = body["model"].removeprefix("deepseek/")
    try:
        ChatCompletionRequest(json.dumps({**body, "model": model}).encode()).convert(options)
    except (ValueError, ConversionError) as error:
        return str(error)
    return None


def missing_texts(history: list[BaseMessage], body: dict[str, Any]) -> list[str]:
    """Return the texts of a conversation that its request body lacks."""
    sends_reasoning = body.get("thinking") != {"type": "disabled"}
    answered = {message.tool_call_id for message in history if isinstance(message, ToolMessage)}
    # A system message can have been added in front.
    sent = zip(reversed(history), reversed(body["messages"]), strict=False)
    return [
        text
        for message, wire in sent
        for text in _texts_of_message(message, answered, sends_reasoning=sends_reasoning)
        if _encodable(text)
        not in "\n".join(map(_encodable, _texts_in(_with_parsed_texts(wire), ignored_keys=())))
    ]


def _encodable(text: str) -> str:
    return utf8(text).decode()


def _texts_of_message(
    message: BaseMessage, answered: Collection[str], *, sends_reasoning: bool
) -> Iterator[str]:
    # Reasoning blocks repeat the reasoning of `additional_kwargs`.
    reads_blocks = sends_reasoning and not message.additional_kwargs.get("reasoning_content")
    for block in [message.content] if isinstance(message.content, str) else message.content:
        if isinstance(message, AIMessage) and isinstance(block, dict):
            yield from _texts_of_block(block, reads_reasoning=reads_blocks)
        elif not isinstance(block, dict) or "cachePoint" not in block:
            yield from _texts_in(block, ignored_keys=_DESCRIPTIVE_KEYS)
    if isinstance(message, ToolMessage):
        yield message.tool_call_id
    elif message.name:
        yield message.name
    if isinstance(message, AIMessage):
        called = [call for call in message.invalid_tool_calls if call["id"] in answered]
        for call in [*message.tool_calls, *called]:
            yield from _texts_in(call, ignored_keys=("type", "error"))
        kwargs = message.additional_kwargs
        reasoning = kwargs.get("reasoning_content")
        yield from _texts_in(reasoning if sends_reasoning else None, ignored_keys=())
        yield from _texts_in(kwargs.get("deepseek"), ignored_keys=())
        if not message.content:
            yield from _texts_in(kwargs.get("refusal"), ignored_keys=())


def _texts_of_block(block: dict[str, Any], *, reads_reasoning: bool) -> Iterator[str]:
    kind = block.get("type")
    if kind in ("text", "output_text", "refusal"):
        said = block.get("refusal" if kind == "refusal" else "text")
    elif kind in ("reasoning", "thinking") and reads_reasoning:
        said = block.get(kind)
    else:
        return
    if isinstance(said, str):
        yield said


# Keys whose values describe a block and are not part of its content.
_DESCRIPTIVE_KEYS = (
    "annotations",
    "cache_control",
    "encrypted_content",
    "error",
    "extras",
    "filename",
    "id",
    "index",
    "media_type",
    "mime_type",
    "signature",
    "source_type",
    "title",
    "type",
)


def _texts_in(value: Any, *, ignored_keys: Collection[str]) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, entry in value.items():
            if key not in ignored_keys:
                yield from _texts_in(entry, ignored_keys=ignored_keys)
    elif isinstance(value, list):
        for entry in value:
            yield from _texts_in(entry, ignored_keys=ignored_keys)


def _with_parsed_texts(wire: dict[str, Any]) -> dict[str, Any]:
    """Return a message with the values of its JSON texts: tool call arguments, result rows."""
    return {**wire, "parsed": [_parsed(text) for text in _texts_in(wire, ignored_keys=())]}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
