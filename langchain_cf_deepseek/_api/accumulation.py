"""What has come of one response so far: text, blocks, reasoning, calls, usage. Nothing here judges.

One reader for whole messages and for the deltas of a stream, and for what other servers than
DeepSeek's write where it writes something else.
https://api-docs.deepseek.com/api/create-chat-completion
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import ToolCallChunk

from langchain_cf_deepseek._api.messages import DOCUMENTED_KEYS
from langchain_cf_deepseek._api.tool_calls import ToolCallCollector
from langchain_cf_deepseek._surrogates import SurrogateJoiner, join_surrogates

Content = str | list[str | dict[Any, Any]]

# Other servers' word for `reasoning_content`: vLLM since January 2026, OpenRouter, Workers AI.
_OTHER_REASONING_KEY = "reasoning"

SUCCESSFUL_FINISHES = ("stop", "length", "tool_calls")


@dataclass(slots=True)
class Delta:
    """What one event, or a whole message, adds."""

    content: Content
    """Text, or the list of blocks that came in its place."""

    reasoning: str
    tool_calls: list[ToolCallChunk]
    unknown: dict[str, Any]
    """Keys that DeepSeek does not document, as LangChain adds them up."""


class Accumulation:
    """What has come of one response so far."""

    def __init__(self) -> None:
        self.calls = ToolCallCollector()
        self.finish_reason: str | None = None

        self.failure: Any = None
        """The error that came on the choice, beside or instead of a message."""

        self.usage: Mapping[str, Any] | None = None
        """The tokens used; where it comes with every event, the last one counts."""

        self.earlier_usages: list[Mapping[str, Any]] = []
        """The tokens of earlier requests for the same message."""

        self.reasoning_key: str | None = None
        """The key under which reasoning came."""

        self.has_blocks = False
        self._is_streamed = False
        self.unknown: dict[str, Any] = {}
        self._contents: list[Content] = []
        self._reasonings: list[str] = []
        self._text_joiner = SurrogateJoiner()
        self._reasoning_joiner = SurrogateJoiner()
        self._block_shapes: dict[Any, dict[Any, Any]] = {}

    @property
    def text(self) -> str:
        """The text that came, of blocks too."""
        if not self.has_blocks:
            return "".join(self._contents)  # type: ignore[arg-type]  # without blocks all is text
        return "".join(map(text_of, self._contents))

    @property
    def content(self) -> Content:
        """The content that came, added up."""
        if not self.has_blocks:
            return self.text
        first, *others = [AIMessageChunk(content=content) for content in self._contents]
        return (first + others if others else first).content

    @property
    def reasoning(self) -> str:
        """The reasoning that came."""
        return "".join(self._reasonings)

    def add(self, event: Mapping[str, Any], choice: Mapping[str, Any]) -> Delta:
        """Add an event of a stream, or a whole response.

        Args:
            event: The JSON.
            choice: The choice in it that counts; empty where it has none.

        Raises:
            AttributeError, TypeError, ValueError: It is malformed.
        """
        usage = event.get("usage")
        if usage and (usage.get("prompt_tokens") or usage.get("completion_tokens")):
            self.usage = usage
        if not choice:
            return Delta("", "", [], {})
        if self.finish_reason in (None, "stop", "tool_calls"):
            # Some gateways finish several times, with growing usage: a cut or a failure stays one.
            self.finish_reason = str(choice.get("finish_reason") or "") or self.finish_reason
        self.failure = choice.get("error") or self.failure
        if delta := choice.get("delta"):
            self._is_streamed = True
            return self._add_message(delta, is_whole=False)
        # A whole response in the place of a stream has a message instead of deltas, and some
        # servers repeat the whole message after them.
        message = {} if self._is_streamed else choice.get("message") or _legacy_message(choice)
        return self._add_message(message, is_whole=True)

    def begin(self) -> None:
        """Begin the response to a request; the message stays what it is so far."""
        if self.usage:
            self.earlier_usages.append(self.usage)
        self.usage = self.finish_reason = self.failure = None
        self._is_streamed = False

    def close(self) -> Delta:
        """Add what was kept back because the second half of a character might have followed."""
        text, reasoning = self._text_joiner.close(), self._reasoning_joiner.close()
        if text:
            self._contents.append(text)
        self._reasonings.append(reasoning)
        return Delta(text, reasoning, [], {})

    def type_of_block(self, block: Mapping[Any, Any]) -> Any:
        """Return the type of a block, which its later pieces need not repeat."""
        shape = self._block_shapes.get(block.get("index"), {})
        return block.get("type") or shape.get("type")

    def _add_message(self, wire: Mapping[str, Any], *, is_whole: bool) -> Delta:
        content = self._read_content(wire.get("content"))
        if content:
            self._contents.append(content)
        reasoning = self._read_reasoning(wire)
        if reasoning:
            self._reasonings.append(reasoning)
        calls = wire.get("tool_calls") or ()
        if not calls and (legacy := wire.get("function_call")):
            calls = [{"function": legacy, "index": 0}]
        add_call = self.calls.add_whole if is_whole else self.calls.add_piece
        return Delta(
            content, reasoning, [add_call(call) for call in calls], self._read_unknown(wire)
        )

    def _read_content(self, value: Any) -> Content:
        # Other servers write a digit or a boolean as JSON: `0` is text, and only `null` is none.
        if value is None or isinstance(value, str | bool | int | float):
            return self._text_joiner.feed(_scalar_text(value))
        blocks = value if isinstance(value, list) else [value]
        self.has_blocks = self.has_blocks or bool(blocks)
        return [self._read_block(block) for block in blocks] or ""

    def _read_block(self, block: Any) -> str | dict[Any, Any]:
        """Return a block as LangChain adds it up; a piece that does not fit its block stands alone.

        Raises:
            TypeError: It is no block.
        """
        if isinstance(block, str):
            return join_surrogates(block)
        if not isinstance(block, dict) or not block.keys() & {"type", "index", "text"}:
            msg = f"content holds a {type(block).__name__} that is not a block"
            raise TypeError(msg)
        index = block.get("index")
        if not isinstance(index, int | str):
            return block
        # Texts are left out: whether two pieces fit does not depend on them, and they grow.
        shape = {
            key: "" if isinstance(value, str) and key not in ("type", "id") else value
            for key, value in block.items()
        }
        known = self._block_shapes.get(index)
        try:
            self._block_shapes[index] = _added_up([known] if known else [], [shape])[-1]
        except TypeError:
            return {key: value for key, value in block.items() if key != "index"}
        return block

    def _read_reasoning(self, wire: Mapping[str, Any]) -> str:
        for key in ("reasoning_content", _OTHER_REASONING_KEY):
            value = wire.get(key)
            if value is None or value == "":
                continue
            if not isinstance(value, str | bool | int | float):
                if key == _OTHER_REASONING_KEY:
                    return ""  # not a text: kept with the unknown keys
                msg = f"{key} is a {type(value).__name__}"
                raise TypeError(msg)
            self.reasoning_key = self.reasoning_key or key
            return self._reasoning_joiner.feed(_scalar_text(value))
        return ""

    def _read_unknown(self, wire: Mapping[str, Any]) -> dict[str, Any]:
        """Return the undocumented keys that say something which adding up does not corrupt.

        Adding chunks up joins texts and lists, which is right for pieces and wrong for repeats.
        """
        news: dict[str, Any] = {}
        for key in wire.keys() - DOCUMENTED_KEYS:
            value, known = wire[key], self.unknown.get(key)
            if value is None or value == known:
                continue
            if key == _OTHER_REASONING_KEY and not isinstance(value, list | dict):
                continue
            if known is not None and not isinstance(value, str | list | dict):
                continue
            try:
                self.unknown |= _added_up_kwargs({key: known}, {key: value})
            except (TypeError, RecursionError):
                continue
            news[key] = value
        return news


def _legacy_message(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the message of a choice in the form of text completions."""
    return {"content": choice["text"]} if "text" in choice else {}


def _scalar_text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def text_of(content: Content) -> str:
    """Return the text of content, that of its blocks too."""
    if isinstance(content, str):
        return content
    return "".join(map(_text_of_block, content))


def _text_of_block(block: str | dict[Any, Any]) -> str:
    if isinstance(block, str):
        return block
    text = block.get("text")
    return text if isinstance(text, str) and block.get("type", "text") == "text" else ""


def _added_up(known: list[Any], piece: list[Any]) -> list[Any]:
    """Return what LangChain makes of blocks and a piece; raises TypeError where it cannot."""
    content = (AIMessageChunk(content=known) + AIMessageChunk(content=piece)).content
    return list(content)


def _added_up_kwargs(known: dict[str, Any], piece: dict[str, Any]) -> dict[str, Any]:
    """Return what LangChain makes of a value and a piece of it; raises where it cannot."""
    begun = AIMessageChunk(content="", additional_kwargs=known)
    return (begun + AIMessageChunk(content="", additional_kwargs=piece)).additional_kwargs
