"""What an assistant turn says, whichever provider's model wrote it.

Blocks are those of LangChain's standard form, and of the integrations of Anthropic, Bedrock,
Google, Groq, Mistral, OpenAI (chat completions and Responses), OpenRouter and xAI.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage

MODEL_PROVIDER = "deepseek"
"""Who wrote a message, in its `response_metadata`."""

# `tool_calls` of the message says what was called; its content may repeat it, or lag behind it.
_CALLS = frozenset(
    {
        "custom_tool_call",
        "function_call",
        "functionCall",
        "input_json_delta",
        "invalid_tool_call",
        "tool_call",
        "tool_call_chunk",
        "tool_use",
        "toolUse",
    }
)
_REASONING = frozenset(
    {
        "reasoning",
        "reasoning.encrypted",
        "reasoning.summary",
        "reasoning.text",
        "reasoningContent",
        "reasoning_content",
        "redacted_thinking",
        "thinking",
        "thought",
    }
)
# Where blocks and kwargs keep reasoning that can be read, the most direct first.
_REASONING_KEYS = (
    "reasoning",
    "thinking",
    "reasoning_content",
    "reasoningContent",
    "reasoningText",
    "text",
    "content",
    "summary",
)
_REASONING_KWARGS = ("reasoning", "thinking", "reasoning_details")
# Blocks that LangChain makes where it writes content in its standard form.
_LANGCHAIN_BLOCK_TYPES = frozenset(
    {"invalid_tool_call", "non_standard", "reasoning", "tool_call", "tool_call_chunk"}
)
_TEXT_KEYS = ("text", "refusal", "transcript")


@dataclass(frozen=True)
class Turn:
    """What an assistant turn says."""

    text: str
    reasoning: str
    left_out: frozenset[str]
    """The types of blocks that are neither text nor reasoning nor calls."""

    blocks: list[Any] | None = None
    """The content as blocks, where DeepSeek wrote them itself: they go back unchanged."""


def read_turn(message: AIMessage) -> Turn:
    """Return what an assistant turn says; never raise."""
    blocks = [message.content] if isinstance(message.content, str) else message.content
    own_blocks = _own_blocks(message)
    texts: list[str] = []
    thoughts: list[str] = []
    left_out: set[str] = set()
    for block in map(_unwrapped, blocks):
        if isinstance(block, str):
            texts.append(block)
        elif (kind := block_type(block)) in _REASONING:
            thoughts.append(_readable(block))
        elif kind not in _CALLS:
            text = _text_in(block)
            if text is None:
                left_out.add(kind)
            else:
                texts.append(text)
    kwargs = message.additional_kwargs
    text = "".join(texts)
    if not text:
        text, audio_left_out = _text_outside_blocks(kwargs)
        left_out |= audio_left_out
    reasoning = _reasoning(kwargs, "".join(thoughts))
    return Turn(text, reasoning, frozenset() if own_blocks else frozenset(left_out), own_blocks)


def _own_blocks(message: AIMessage) -> list[Any] | None:
    """Return the blocks of a message that DeepSeek wrote as blocks, in DeepSeek's form.

    Its server tools answer so, in a shape that is not published; `response` keeps it.
    https://api-docs.deepseek.com/guides/build_a_chatbot
    """
    metadata = message.response_metadata
    if isinstance(message.content, str) or metadata.get("model_provider") != MODEL_PROVIDER:
        return None
    kinds = {block.get("type") for block in message.content if isinstance(block, dict)}
    if metadata.get("output_version") != "v1" and not kinds & _LANGCHAIN_BLOCK_TYPES:
        # The first chunk of a stream is an empty text, to which LangChain adds the blocks.
        return [_as_block(block) for block in message.content if block]
    blocks = [
        _unwrapped(block) if block["type"] == "non_standard" else _as_text_block(block)
        for block in message.content
        if isinstance(block, dict) and block.get("type") in ("non_standard", "text")
    ]
    # What DeepSeek wrote as text is text blocks with nothing but text in them.
    if all(block.keys() == {"type", "text"} for block in blocks):
        return None
    return [block for block in blocks if block != {"type": "text", "text": ""}]


def _as_block(block: str | dict[Any, Any]) -> dict[Any, Any]:
    return {"type": "text", "text": block} if isinstance(block, str) else block


def _as_text_block(block: Mapping[str, Any]) -> dict[str, Any]:
    extras = block.get("extras")
    return {
        "type": "text",
        "text": block.get("text", ""),
        **(extras if isinstance(extras, dict) else {}),
    }


def block_type(block: Mapping[Any, Any]) -> str:
    """Return the type of a content block; of one without, the key that Bedrock names it by."""
    return str(block.get("type") or next(iter(block), "{}"))


def _unwrapped(block: Any) -> Any:
    """Return the block in one that LangChain's standard form has no type for."""
    while isinstance(block, dict) and block.get("type") == "non_standard":
        value = block.get("value")
        if not isinstance(value, dict):
            break
        block = value
    return block


def _text_in(block: Mapping[str, Any]) -> str | None:
    extras = block.get("extras")
    for source in (block, extras if isinstance(extras, dict) else {}):
        for key in _TEXT_KEYS:
            if isinstance(text := source.get(key), str):
                return text
    return None


def _text_outside_blocks(kwargs: Mapping[str, Any]) -> tuple[str, set[str]]:
    """Return what OpenAI's models say in the place of text, and what of it cannot be read."""
    refusal, audio = kwargs.get("refusal"), kwargs.get("audio")
    if isinstance(refusal, str) and refusal:
        return refusal, set()
    transcript = _text_in(audio) if isinstance(audio, dict) else None
    return transcript or "", {"audio"} if audio and transcript is None else set()


def _reasoning(kwargs: Mapping[str, Any], in_blocks: str) -> str:
    kept = kwargs.get("reasoning_content")
    if isinstance(kept, str) and kept:
        return kept
    beside = (_readable(kwargs.get(key)) for key in _REASONING_KWARGS)
    return in_blocks or next(filter(None, beside), "")


def _readable(value: Any) -> str:
    """Return the readable part of reasoning; what is encrypted or redacted has none."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_readable, value))
    if not isinstance(value, dict):
        return ""
    return next(filter(None, _readings(value)), "")


def _readings(block: Mapping[str, Any]) -> Iterator[str]:
    for key in _REASONING_KEYS:
        value = block.get(key)
        if key == "summary" and isinstance(value, list):  # OpenAI's Responses: paragraphs
            yield "\n\n".join(filter(None, map(_readable, value)))
        else:
            yield _readable(value)
