"""The received part of a response: text, blocks, reasoning, tool calls, usage.

One reader for whole messages and for deltas, and for the variants of other servers than DeepSeek's.
`completeness` decides whether the response is a valid completion.
https://api-docs.deepseek.com/api/create-chat-completion
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import ToolCallChunk

from langchain_cf_deepseek._api.chunks import merge_content
from langchain_cf_deepseek._api.messages import (
    ALTERNATIVE_REASONING_KEY,
    DOCUMENTED_KEYS,
    SERVER_CALLS,
    find_reasoning,
)
from langchain_cf_deepseek._api.server_tools import SERVER_PREFIX
from langchain_cf_deepseek._api.tool_calls import ToolCallCollector
from langchain_cf_deepseek._api.unknown_keys import merge_unknown, split_delta
from langchain_cf_deepseek._surrogates import SurrogateJoiner, join_surrogates

Content = str | list[str | dict[Any, Any]]

# What every delta of a block can repeat, and merging would concatenate.
_REPEATED = ("name", "status", "tool_use_id")
_CONSTANT = ("type", "id", *_REPEATED)

SUCCESSFUL_FINISHES = ("stop", "length", "tool_calls")


@dataclass(slots=True)
class Delta:
    """What one event, or a whole message, adds."""

    content: Content
    """Text, or the list of blocks in its place."""

    reasoning: str
    tool_calls: list[ToolCallChunk]
    unknown: dict[str, Any]
    """Keys that DeepSeek does not document, in a form that LangChain merges."""


class Accumulation:
    """The received part of a response."""

    def __init__(self) -> None:
        self.tool_calls = ToolCallCollector()
        self.finish_reason: str | None = None

        self.failure: Any = None
        """The error in the choice, beside or instead of a message."""

        self.usage: Mapping[str, Any] | None = None
        """The tokens used; where every event has usage, the last one counts."""

        self.earlier_usages: list[Mapping[str, Any]] = []
        """The tokens of earlier requests for the same message."""

        self.reasoning_key: str | None = None
        """The key under which the server sends reasoning."""

        self.is_empty = True
        """Whether nothing of a message was received but its role."""

        self.has_blocks = False
        self._is_streamed = False
        self.unknown: dict[str, Any] = {}
        self._held_back: dict[str, Any] = {}
        self.title: Any = None
        """The title of the conversation, where one was requested."""

        self.function_names: frozenset[str] = frozenset()
        """The function tools of the request."""

        self._server_indices: set[Any] = set()
        self._is_last_call_on_server = False
        self._contents: list[Content] = []
        self._reasonings: list[str] = []
        self._text_joiner = SurrogateJoiner()
        self._reasoning_joiner = SurrogateJoiner()
        self._block_shapes: dict[Any, dict[Any, Any]] = {}

    @property
    def text(self) -> str:
        """The text received, that of blocks included."""
        if not self.has_blocks:
            return "".join(self._contents)  # type: ignore[arg-type]  # without blocks all is text
        return _text_of(self.content) if self._contents else ""

    @property
    def content(self) -> Content:
        """The content received, merged."""
        if not self.has_blocks:
            return self.text
        first, *others = [AIMessageChunk(content=content) for content in self._contents]
        return (first + others if others else first).content

    @property
    def reasoning(self) -> str:
        """The reasoning received."""
        return "".join(self._reasonings)

    def discard_half_characters(self) -> None:
        """Forget the half characters that were held back: their second halves will not arrive."""
        self._text_joiner, self._reasoning_joiner = SurrogateJoiner(), SurrogateJoiner()

    def start_response(self) -> None:
        """Start the response to a further request; the message received so far stays."""
        if self.usage:
            self.earlier_usages.append(self.usage)
        self.usage = self.finish_reason = self.failure = None
        self._is_streamed = False

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
            # Some gateways finish several times with growing usage; no later finish can undo a
            # truncation or a failure.
            self.finish_reason = str(choice.get("finish_reason") or "") or self.finish_reason
        self.failure = choice.get("error") or self.failure
        if delta := choice.get("delta"):
            self._is_streamed = True
            return self._add_message(delta, is_whole=False)
        # A whole response in the place of a stream has a message instead of deltas, and some
        # servers repeat the whole message after the deltas.
        message = {} if self._is_streamed else choice.get("message") or _text_completion(choice)
        return self._add_message(message, is_whole=True)

    def flush(self) -> Delta:
        """Add the half characters, and the unknown keys, that were held back until the end."""
        text, reasoning = self._text_joiner.close(), self._reasoning_joiner.close()
        if text:
            self._contents.append(text)
        self._reasonings.append(reasoning)
        unknown, self._held_back = self._held_back, {}
        return Delta(text, reasoning, [], unknown)

    def type_of_block(self, block: Mapping[Any, Any]) -> Any:
        """Return the type of a block, which later deltas of it can omit."""
        shape = self._block_shapes.get(block.get("index"), {})
        return shape.get("type") or block.get("type")

    def _add_message(self, wire: Mapping[str, Any], *, is_whole: bool) -> Delta:
        if self.is_empty:
            values = (wire[key] for key in wire if key != "role")
            self.is_empty = not any(value or value == 0 for value in values)
        content = self._read_content(wire.get("content"))
        if content:
            self._contents.append(content)
        reasoning = self._read_reasoning(wire)
        if reasoning:
            self._reasonings.append(reasoning)
        self.title = wire.get("title") or self.title
        server_calls, tool_calls = self._split_calls(wire.get("tool_calls") or ())
        unknown = {key: wire[key] for key in wire if key not in DOCUMENTED_KEYS}
        if server_calls:
            unknown[SERVER_CALLS] = server_calls
        if not wire.get("tool_calls") and (function_call := wire.get("function_call")):
            tool_calls = [{"function": function_call, "index": 0}]
        add = self.tool_calls.add_whole if is_whole else self.tool_calls.add_delta
        return Delta(content, reasoning, list(map(add, tool_calls)), self._read_unknown(unknown))

    def _split_calls(self, entries: Iterable[Any]) -> tuple[list[Any], list[Any]]:
        """Return the tool calls that DeepSeek executes, and those that the caller executes."""
        on_server: list[Any] = []
        on_client: list[Any] = []
        for entry in entries:
            (on_server if self._is_on_server(entry) else on_client).append(entry)
        return on_server, on_client

    def _is_on_server(self, entry: Mapping[str, Any]) -> bool:
        """Return whether DeepSeek executes the call that an entry of `tool_calls` belongs to.

        Such a call is of another type than `function`, or of a tool that only DeepSeek has.
        """
        kind, index = entry.get("type"), entry.get("index")
        name = (entry.get("function") or entry).get("name")
        if not name and kind in (None, "", "function"):
            # A delta of a call that began earlier.
            if index is None:
                return self._is_last_call_on_server
            return index in self._server_indices
        is_server_tool = str(name).startswith(SERVER_PREFIX) and name not in self.function_names
        is_on_server = kind not in (None, "", "function") or is_server_tool
        self._is_last_call_on_server = is_on_server
        (self._server_indices.add if is_on_server else self._server_indices.discard)(index)
        return is_on_server

    def _read_content(self, value: Any) -> Content:
        # Other servers write a digit or a boolean as JSON, so `0` is a text.
        if value is None or isinstance(value, str | bool | int | float):
            return self._text_joiner.feed(_to_text(value))
        blocks = value if isinstance(value, list) else [value]
        self.has_blocks = self.has_blocks or bool(blocks)
        return [self._read_block(block) for block in blocks] or ""

    def _read_block(self, given: Any) -> str | dict[Any, Any]:
        """Return a block in a form that LangChain merges.

        A delta that does not merge with its block loses its index, and becomes a separate block.

        Raises:
            TypeError: It is not a block.
        """
        if isinstance(given, str):
            return join_surrogates(given)
        if not isinstance(given, dict) or not given.keys() & {"type", "index", "text"}:
            msg = f"content holds a {type(given).__name__} that is not a block"
            raise TypeError(msg)
        block: dict[Any, Any] = given
        if block.get("type") == "citations_delta" and isinstance(block.get("citation"), dict):
            # Anthropic's form of one more citation: merging would concatenate the texts of two.
            rest = {key: value for key, value in block.items() if key not in ("type", "citation")}
            block = {"type": "text", **rest, "citations": [block["citation"]]}
        index = block.get("index")
        if not isinstance(index, int | str):
            return block
        known = self._block_shapes.get(index)
        if known:
            repeated = {key for key in _REPEATED if key in block and block[key] == known.get(key)}
            block = {key: block[key] for key in block if key not in repeated}
        # Without texts, which grow: whether two deltas merge does not depend on them.
        shape = {
            key: "" if isinstance(value, str) and key not in _CONSTANT else value
            for key, value in block.items()
        }
        try:
            self._block_shapes[index] = merge_content([known] if known else [], [shape])[-1]
        except TypeError:
            return {key: value for key, value in block.items() if key != "index"}
        return block

    def _read_reasoning(self, wire: Mapping[str, Any]) -> str:
        found = find_reasoning(wire)
        if found is None:
            return ""
        key, value = found
        self.reasoning_key = self.reasoning_key or key
        return self._reasoning_joiner.feed(_to_text(value))

    def _read_unknown(self, wire: Mapping[str, Any]) -> dict[str, Any]:
        """Add undocumented keys, and return what the next chunk holds of them."""
        new: dict[str, Any] = {}
        for key, value in wire.items():
            known = self.unknown.get(key)
            if value is None or value == known:  # some servers repeat whole values
                continue
            if key == ALTERNATIVE_REASONING_KEY and not isinstance(value, list | dict):
                continue
            try:
                now, later = split_delta(known, value)
                self.unknown[key] = merge_unknown(known, value)
            except RecursionError:
                continue
            if later is not None:
                self._held_back = merge_unknown(self._held_back, {key: later})
            if now is not None:
                new[key] = now
        return new


def _text_completion(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the message of a choice in the form of OpenAI's text completions."""
    return {"content": choice["text"]} if "text" in choice else {}


def _to_text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _text_of(content: Content) -> str:
    if isinstance(content, str):
        return content
    return "".join(map(_text_of_block, content))


def _text_of_block(block: str | dict[Any, Any]) -> str:
    if isinstance(block, str):
        return block
    text = block.get("text")
    return text if isinstance(text, str) and block.get("type", "text") == "text" else ""
