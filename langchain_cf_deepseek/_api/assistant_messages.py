"""The blocks, the text and the reasoning of an assistant turn, whichever model wrote it.

Blocks are those of LangChain's standard form, and of the integrations of Anthropic, Bedrock,
Google, Groq, Mistral, OpenAI (chat completions and Responses), OpenRouter and xAI.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import filterfalse
from typing import Any

from langchain_core.messages import AIMessage

from langchain_cf_deepseek._api.server_blocks import (
    BESIDE_INDEX,
    SERVER_BLOCK_TYPES,
    UNKNOWN_KEYS,
    read_beside,
    to_standard,
    to_wire,
)

MODEL_PROVIDER = "deepseek"
"""The `model_provider` in the `response_metadata` of this package's messages."""

# Block types that only LangChain's standard form has.
_STANDARD_BLOCK_TYPES = frozenset(
    {
        "invalid_tool_call",
        "non_standard",
        "reasoning",
        "tool_call",
        "tool_call_chunk",
        *SERVER_BLOCK_TYPES,
    }
)

# Ignored: `tool_calls` of the message is authoritative, and the content can lag behind it.
_TOOL_CALL_BLOCKS = frozenset(
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
_REASONING_BLOCKS = frozenset(
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
# Where blocks and kwargs hold readable reasoning, the most direct first.
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
_TEXT_KEYS = ("text", "refusal", "transcript")


@dataclass(frozen=True)
class Turn:
    """An assistant turn."""

    text: str
    reasoning: str
    dropped: frozenset[str]
    """The types of blocks that are neither text nor reasoning nor tool calls."""

    blocks: list[Any] | None = None
    """The content as blocks, where DeepSeek wrote blocks: they are sent back unchanged."""


def read_turn(message: AIMessage) -> Turn:
    """Return the text and the reasoning of an assistant turn; never raises."""
    blocks = _own_blocks(message)
    texts: list[str] = []
    reasonings: list[str] = []
    dropped: set[str] = set()
    content = [message.content] if isinstance(message.content, str) else message.content
    for block in map(_unwrap, filterfalse(_shown_beside(message), content)):
        if isinstance(block, str):
            texts.append(block)
        elif (kind := block_type(block)) in _REASONING_BLOCKS:
            reasonings.append(_find_reasoning(block))
        elif kind not in _TOOL_CALL_BLOCKS:
            text = _find_text(block)
            if text is None:
                dropped.add(kind)
            else:
                texts.append(text)
    kwargs = message.additional_kwargs
    text = "".join(texts)
    if not text:
        text, dropped_kwargs = _text_in_kwargs(kwargs)
        dropped |= dropped_kwargs
    reasoning = _select_reasoning(kwargs, "".join(reasonings))
    return Turn(text, reasoning, frozenset(() if blocks else dropped), blocks)


def block_type(block: Mapping[Any, Any]) -> str:
    """Return the type of a block; without one, the key by which Bedrock names the type."""
    return str(block.get("type") or next(iter(block), "{}"))


def _shown_beside(message: AIMessage) -> Callable[[Any], bool]:
    """Return a test for blocks that only show an undocumented key, which is sent back itself."""
    shown = read_beside(message.additional_kwargs.get(UNKNOWN_KEYS), message.text).blocks

    def is_shown(block: Any) -> bool:
        if not isinstance(block, dict):
            return False
        if str(block.get("index")).startswith(BESIDE_INDEX):
            return True
        # Standard blocks of a message in another form have no index.
        return {key: block[key] for key in block if key != "index"} in shown

    return is_shown


def _unwrap(block: Any) -> Any:
    """Return the block inside a `non_standard` block of LangChain's, or the block itself."""
    while isinstance(block, dict) and block.get("type") == "non_standard":
        value = block.get("value")
        if not isinstance(value, dict):
            break
        block = value
    return block


def to_standard_block(
    block: str | dict[Any, Any], kind: Any, index: str, *, is_first: bool
) -> dict[str, Any]:
    """Return a block of DeepSeek's in LangChain's standard form; `read_turn` reverses it.

    Args:
        block: The block, or a delta of it.
        kind: The type of the whole block.
        index: The index under which LangChain merges deltas.
        is_first: Whether this is the first, or only, delta of the block.
    """
    return {**to_standard(block, kind, is_first=is_first), "index": index}


def _own_blocks(message: AIMessage) -> list[Any] | None:
    """Return the blocks of a message that DeepSeek wrote as blocks, in DeepSeek's form.

    DeepSeek's server tools respond with blocks, in a shape that is not published.
    https://api-docs.deepseek.com/guides/build_a_chatbot
    """
    metadata = message.response_metadata
    if isinstance(message.content, str) or metadata.get("model_provider") != MODEL_PROVIDER:
        return None
    kinds = {block.get("type") for block in message.content if isinstance(block, dict)}
    if metadata.get("output_version") != "v1" and not kinds & _STANDARD_BLOCK_TYPES:
        # The first chunk of a stream is an empty text, to which LangChain adds the blocks.
        return [_as_block(block) for block in message.content if block]
    is_shown_beside = _shown_beside(message)
    blocks = [
        _unwrap(block) if block["type"] == "non_standard" else to_wire(block)
        for block in message.content
        if isinstance(block, dict)
        and block.get("type") in {"non_standard", "text", *SERVER_BLOCK_TYPES}
        and not is_shown_beside(block)
    ]
    # A response with text as a string is text blocks without any other key.
    if all(block.keys() == {"type", "text"} for block in blocks):
        return None
    return [block for block in blocks if block != {"type": "text", "text": ""}]


def _as_block(block: str | dict[Any, Any]) -> dict[Any, Any]:
    return {"type": "text", "text": block} if isinstance(block, str) else block


def _find_text(block: Mapping[str, Any]) -> str | None:
    extras = block.get("extras")
    for source in (block, extras if isinstance(extras, dict) else {}):
        for key in _TEXT_KEYS:
            if isinstance(text := source.get(key), str):
                return text
    return None


def _text_in_kwargs(kwargs: Mapping[str, Any]) -> tuple[str, set[str]]:
    """Return what OpenAI's models write in the place of text, and the kinds that have no text."""
    refusal, audio = kwargs.get("refusal"), kwargs.get("audio")
    if isinstance(refusal, str) and refusal:
        return refusal, set()
    transcript = _find_text(audio) if isinstance(audio, dict) else None
    return transcript or "", {"audio"} if audio and transcript is None else set()


def _select_reasoning(kwargs: Mapping[str, Any], in_blocks: str) -> str:
    reasoning = kwargs.get("reasoning_content")
    if isinstance(reasoning, str) and reasoning:
        return reasoning
    in_kwargs = (_find_reasoning(kwargs.get(key)) for key in _REASONING_KWARGS)
    return in_blocks or next(filter(None, in_kwargs), "")


def _find_reasoning(value: Any) -> str:
    """Return the readable part of reasoning; empty for encrypted or redacted reasoning."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_find_reasoning, value))
    if not isinstance(value, dict):
        return ""
    return next(filter(None, _reasonings_by_key(value)), "")


def _reasonings_by_key(block: Mapping[str, Any]) -> Iterator[str]:
    for key in _REASONING_KEYS:
        value = block.get(key)
        if key == "summary" and isinstance(value, list):  # OpenAI's Responses: paragraphs
            yield "\n\n".join(filter(None, map(_find_reasoning, value)))
        else:
            yield _find_reasoning(value)
