"""The replies of the simulated model: deterministic, and plausible enough for chains and agents.

It calls the tools that match the question, answers from their results or from the conversation, and
fills in the JSON schema that it finds. It has no knowledge of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deepseek_recipe import Conversation, Message, SpecialToken, ToolDefinition

from langchain_cf_deepseek.local.simulated_model.image_size import pixel_size
from langchain_cf_deepseek.local.simulated_model.schema_discovery import (
    json_objects,
    schema_in,
    schema_of,
    without_json,
)
from langchain_cf_deepseek.local.simulated_model.schema_values import (
    Filler,
    is_name_parameter,
)
from langchain_cf_deepseek.local.simulated_model.scripted_replies import Reply, ScriptedCall
from langchain_cf_deepseek.local.simulated_model.text_extraction import (
    ParsedText,
    numbers_in,
    quotations_in,
    words,
)

_IMAGE = SpecialToken.Image.default_str()
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")
_GREETING = re.compile(r"\s*(?:hello|hi|hey|good (?:morning|day|evening))\b[^\w]*$", re.IGNORECASE)
_NO_TOOLS = re.compile(r"\b(?:do not|don't|without)\b[^.!?]*\btools?\b", re.IGNORECASE)
_ANY_TOOL = re.compile(r"\b(?:use|using|call|with)\b[^.!?]*\btools?\b", re.IGNORECASE)
MAX_QUOTE_LENGTH = 160
UNKNOWN = (
    'You asked: "{question}" I am the simulated model of a local gateway and know nothing about '
    "the world, but this answer took the same path as a real one."
)
_KEYS = re.compile(r"\b(?:key|field|propert)\w*")
MAX_QUESTION_LENGTH = 20_000
"""How many characters of a question the model reads: one half at its start, one at its end."""


def simulated_reply(conversation: Conversation) -> Reply:
    """Return the reply to a conversation."""
    return _Turn(conversation).reply()


@dataclass(frozen=True)
class _Result:
    """A tool result of this turn."""

    name: str
    args: dict[str, Any]
    content: str


class _Turn:
    """The model's turn: the last question, and the tool results since."""

    def __init__(self, conversation: Conversation) -> None:
        messages = conversation.messages
        users = [number for number, message in enumerate(messages) if message.role == "user"]
        start = users[-1] if users else len(messages)
        self._conversation = conversation
        self._earlier = messages[:start]
        self._asked = messages[start : start + 1]
        self._question = _shortened(_text(*self._asked), MAX_QUESTION_LENGTH)
        self._results = _results(messages[start + 1 :])
        self._tools = [] if conversation.tool_choice == "none" else conversation.tools

    def reply(self) -> Reply:
        """Choose the reply, with the reason as reasoning."""
        calls = self._tool_calls()
        if calls:
            names = " and ".join(dict.fromkeys(call.name for call in calls))
            return Reply(reasoning=self._thought(f"{names} can tell."), tool_calls=calls)
        if self._conversation.response_format == "json_object":
            content = json.dumps(self._json(), ensure_ascii=False)
            return Reply(content, self._thought("The answer has to be JSON."))
        if self._results:
            lines = [f"{result.name}: {result.content}" for result in self._results]
            return Reply("\n".join(lines), self._thought("The tools have answered."))
        return Reply(self._answer(), self._thought("No tool is needed."))

    def _quoted(self) -> str:
        return _shortened(" ".join(self._question.split()), MAX_QUOTE_LENGTH)

    def _thought(self, conclusion: str) -> str:
        return f'The user says: "{self._quoted()}" {conclusion}'

    def _tool_calls(self) -> list[ScriptedCall]:
        forced = self._conversation.tool_choice == "required"
        called = {result.name for result in self._results}
        uncalled = [tool for tool in self._tools if tool.name not in called]
        chosen = self._matching(uncalled)
        forms = [tool for tool in uncalled if _is_form(tool)]
        if not chosen and (forced or self._results):
            # An agent's response format is filled in when no other tool is left to call.
            chosen = forms[:1]
        if not chosen and forced:
            chosen = (uncalled or self._tools)[:1]
        if ParsedText(self._question).is_sequence:
            chosen = chosen[:1]
        return [call for tool in chosen for call in self._calls_to(tool)]

    def _matching(self, tools: list[ToolDefinition]) -> list[ToolDefinition]:
        """Return the tools that the question asks for, in its order."""
        if _NO_TOOLS.search(self._question):
            return []
        asked = words(self._question)
        actions = [tool for tool in tools if not _is_form(tool)]
        named = self._named(actions, asked)
        if named:
            return sorted(named, key=self._position)
        if not self._results:
            described = [tool for tool in actions if _description(tool) & asked]
            if described:
                return [max(described, key=lambda tool: len(_description(tool) & asked))]
            if _ANY_TOOL.search(self._question):
                return actions[:1]
        forms = [tool for tool in tools if _is_form(tool)]
        return [tool for tool in forms if (words(tool.name) | _description(tool)) & asked][:1]

    def _named(self, tools: list[ToolDefinition], asked: set[str]) -> list[ToolDefinition]:
        """Return the tools whose names the question mentions, each with a different word."""
        covered = {word for result in self._results for word in words(result.name)}
        picked = []
        for tool in sorted(tools, key=lambda tool: -len(words(tool.name) & asked)):
            if words(tool.name) & asked - covered:
                picked.append(tool)
                covered |= words(tool.name)
        return picked

    def _position(self, tool: ToolDefinition) -> int:
        text = self._question.lower()
        positions = [text.find(word) for word in (tool.name.lower(), *words(tool.name))]
        return min((position for position in positions if position >= 0), default=len(text))

    def _calls_to(self, tool: ToolDefinition) -> list[ScriptedCall]:
        """Call a tool once, or once for each name that can be the value of its only parameter."""
        schema = tool.parameters or {}
        form = _is_form(tool)
        text = self._parse_results_and_question() if form else self._parse_question()
        properties = list(schema.get("properties", {}))
        single = len(properties) == 1 and is_name_parameter(properties[0]) and not form
        count = max(1, len(text.quotations or text.names)) if single else 1
        filler = Filler(schema, text, complete=form)
        return [ScriptedCall(tool.name, filler.fill()) for _ in range(count)]

    def _parse_question(self) -> ParsedText:
        """Parse the question for the next tool call.

        Numbers of earlier tool calls are left out, and the last result is added.
        """
        numbers = numbers_in(self._question)
        for result in self._results:
            for number in numbers_in(json.dumps(list(result.args.values()))):
                if number in numbers:
                    numbers.remove(number)
        results = [number for result in self._results for number in numbers_in(result.content)]
        return ParsedText(self._question, results[-1:] + numbers)

    def _parse_results_and_question(self) -> ParsedText:
        """Parse the results and the question together, for a form that summarizes the turn."""
        sentences = _SENTENCE.findall(without_json(self._question))
        plain = "".join(sentence for sentence in sentences if not _KEYS.search(sentence))
        return ParsedText(plain, results="\n".join(result.content for result in self._results))

    def _json(self) -> Any:
        texts = [_text(message) for message in (*self._asked, *reversed(self._earlier))]
        objects = [found for text in texts for found, _, _ in json_objects(text)]
        schema = next(filter(None, map(schema_in, objects)), None)
        if schema is None and objects:
            schema = schema_of(objects[0])
        if schema is None:
            sentences = [sentence for text in texts for sentence in _SENTENCE.findall(text)]
            about_keys = filter(_KEYS.search, sentences)
            keys = [key for sentence in about_keys for key in quotations_in(sentence)]
            if not keys:
                return {"answer": self._answer()}
            schema = schema_of(dict.fromkeys(keys, ""))
        return Filler(schema, self._parse_results_and_question(), complete=True).fill()

    def _answer(self) -> str:
        images = [source for message in self._asked for source in message.image_sources]
        if images:
            sizes = [_size(source.data_url) for source in images]
            return f"I see {len(images)} image{'s'[: len(images) > 1]}: {', '.join(sizes)}."
        if _GREETING.match(self._question):
            return "Hello! How can I help you today?"
        known = ParsedText(self._question).calculation or self._recalled()
        return known or UNKNOWN.format(question=self._quoted())

    def _recalled(self) -> str | None:
        """Find the sentence of the conversation that has most words of the question."""
        asked = words(self._question)
        earlier = [
            _text(message) for message in self._earlier if message.role in {"system", "user"}
        ]
        sentences = [
            sentence.strip()
            for text in (self._question, *reversed(earlier))
            for sentence in _SENTENCE.findall(text)
            if not sentence.endswith("?") and sentence.strip() != self._question.strip()
        ]
        best = max(sentences, key=lambda sentence: len(words(sentence) & asked), default="")
        shared = len(words(best) & asked)
        return f"You told me: {best}" if shared and shared * 3 >= len(asked) * 2 else None


def _text(*messages: Message) -> str:
    return "\n".join(message.content.replace(_IMAGE, "").strip() for message in messages)


def _shortened(text: str, length: int) -> str:
    half = length // 2
    return text if len(text) <= length else f"{text[:half]} … {text[-half:]}"


def _results(messages: Sequence[Message]) -> list[_Result]:
    calls = {call.id: call for message in messages for call in message.tool_calls or ()}
    results = []
    for message in messages:
        call = calls.get(message.tool_call_id or "")
        if call is not None:
            images = [_size(source.data_url) for source in message.image_sources]
            content = "\n".join(filter(None, [_text(message), *images]))
            results.append(_Result(call.name, _parsed_object(call.arguments), content))
    return results


def _parsed_object(text: str) -> dict[str, Any]:
    try:
        parse_json = json.loads(text)
    except ValueError:
        return {}
    return parse_json if isinstance(parse_json, dict) else {}


def _size(data_url: str | None) -> str:
    size = pixel_size(data_url) if data_url else None
    return f"an image of {size[0]} x {size[1]} pixels" if size else "an image"


def _is_form(tool: ToolDefinition) -> bool:
    """Whether a tool is a form to fill in, not an action: it is named like a class."""
    return re.fullmatch(r"(?:[A-Z][a-z0-9]+)+", tool.name) is not None


def _description(tool: ToolDefinition) -> set[str]:
    """Return the words of a tool's first sentence and of its parameter names."""
    first = (tool.description or "").partition(".")[0]
    properties = (tool.parameters or {}).get("properties", {})
    return words(" ".join([first, *properties]))
