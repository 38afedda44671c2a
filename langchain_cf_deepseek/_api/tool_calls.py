"""The tool calls of a response, collected from whole messages and from deltas of a stream.

Servers identify the deltas of a tool call by index, by id, by both or by neither. Every tool call
gets a unique id, which its result needs.
https://api-docs.deepseek.com/guides/tool_calls
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from langchain_core.messages import InvalidToolCall, ToolCall
from langchain_core.messages.tool import (
    ToolCallChunk,
    invalid_tool_call,
    tool_call,
    tool_call_chunk,
)

from langchain_cf_deepseek._surrogates import JsonSurrogateJoiner, join_json_surrogates

_EMPTY_ARGUMENTS = ("", "null")


@dataclass
class CollectedCall:
    """The received part of one tool call."""

    index: int
    """Its position in the response."""

    id: str
    """The server's id; a generated one where the server sent none, or the id of another call."""

    server_id: str | None
    name: str = ""
    arguments: str = ""
    """The arguments as the server wrote them, to recognize them when they are repeated."""

    is_object: bool = False
    """Whether the server sent the arguments as a JSON object instead of its text."""

    pending: str = ""
    """The arguments that no chunk holds yet."""

    joiner: JsonSurrogateJoiner = field(default_factory=JsonSurrogateJoiner)

    def parse_arguments(self, *, is_truncated: bool) -> dict[str, Any] | None:
        """Return the arguments; `None` where they are not a JSON object.

        Args:
            is_truncated: Whether the response is truncated. DeepSeek writes a call without
                arguments as `{}`, so in a truncated response empty arguments are incomplete.
        """
        if self.arguments.strip() in _EMPTY_ARGUMENTS:
            return {} if self.is_object or not is_truncated else None
        try:
            # Like LangChain's own parser: models write line breaks unescaped now and then.
            arguments = json.loads(join_json_surrogates(self.arguments), strict=False)
        except (ValueError, RecursionError):
            return None
        return arguments if isinstance(arguments, dict) else None

    def add(self, name: str, arguments: object) -> None:
        """Add the name and the arguments of a delta."""
        if name != self.name:  # some servers repeat it with every delta
            self.name += name
        if isinstance(arguments, Mapping | list):
            self.is_object = isinstance(arguments, Mapping)
            # Some servers send an empty object first, and the text of the arguments after it.
            text = json.dumps(arguments, ensure_ascii=False) if arguments else ""
        elif arguments is None or isinstance(arguments, str):
            text = arguments or ""
        else:
            text = json.dumps(arguments)
        self.arguments += text
        self.pending += self.joiner.feed(text)

    def pop_pending(self) -> str:
        """Return the arguments for the next chunk.

        LangChain parses the merged arguments, and rejects blanks and `null`: they are held back
        until more is received. So is `{}`, which some servers send first as a placeholder; a tool
        call without arguments is valid.
        """
        text = self.arguments.strip()
        if any(placeholder.startswith(text) for placeholder in ("null", "{}")):
            return ""
        text, self.pending = self.pending, ""
        return text


class ToolCallCollector:
    """Collects the tool calls of one response."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._calls: list[CollectedCall] = []

        self._latest_by_index: dict[Any, CollectedCall] = {}
        """The latest call under each index that the server uses."""

    def __bool__(self) -> bool:
        return bool(self._calls)

    def __iter__(self) -> Iterator[CollectedCall]:
        return iter(self._calls)

    def add_whole(self, wire: Mapping[str, Any]) -> ToolCallChunk:
        """Add a call of a whole message, where each entry of the list is one call."""
        name, arguments = _parse_function(wire)
        return self._add(wire, None, name, arguments)

    def add_delta(self, wire: Mapping[str, Any]) -> ToolCallChunk:
        """Add a delta of a stream, and return it in a form that LangChain merges.

        The chunk's index is the call's position in the response; only the first chunk of a call has
        its id and name, since merging would repeat them.
        """
        name, arguments = _parse_function(wire)
        call = self._find_repeated(wire, name, arguments)
        if call is None:
            call = self._find_continued(wire, name, has_arguments=bool(arguments))
        elif isinstance(arguments, str):
            if call.arguments.strip() == "{}":
                call.arguments = call.pending = ""
            arguments = arguments.removeprefix(call.arguments)
        else:
            arguments = None
        return self._add(wire, call, name, arguments)

    def _add(
        self, wire: Mapping[str, Any], call: CollectedCall | None, name: str, arguments: object
    ) -> ToolCallChunk:
        is_new = call is None
        if call is None:
            call = self._create(wire)
        known_name = call.name
        call.add(name, arguments)
        return tool_call_chunk(
            id=call.id if is_new else None,
            name=call.name.removeprefix(known_name) or None,
            args=call.pop_pending(),
            index=call.index,
        )

    def split(self, *, is_truncated: bool) -> tuple[list[ToolCall], list[InvalidToolCall]]:
        """Return LangChain's valid and invalid tool calls."""
        valid: list[ToolCall] = []
        invalid: list[InvalidToolCall] = []
        for call in self._calls:
            arguments = call.parse_arguments(is_truncated=is_truncated)
            if arguments is not None and call.name:
                valid.append(tool_call(name=call.name, args=arguments, id=call.id))
            else:
                error = "no name" if not call.name else "the arguments are not a JSON object"
                args = join_json_surrogates(call.arguments)
                invalid.append(
                    invalid_tool_call(name=call.name or None, args=args, id=call.id, error=error)
                )
        return valid, invalid

    def _find_repeated(
        self, wire: Mapping[str, Any], name: str, arguments: object
    ) -> CollectedCall | None:
        """Return the call of which a delta repeats id, name and all arguments received so far.

        Some servers end a stream with a summary of its calls, and some send growing snapshots.
        """
        server_id = _parse_id(wire)
        for call in self._calls if server_id and name and arguments else ():
            if call.server_id == server_id and call.name == name:
                text = arguments if isinstance(arguments, str) else json.dumps(arguments)
                received = call.arguments.strip()
                if received and (received == "{}" or text.strip().startswith(received)):
                    return call
                are_objects = not isinstance(arguments, str) and call.is_object
                if are_objects and json.loads(text) == json.loads(received):
                    return call
        return None

    def _create(self, wire: Mapping[str, Any]) -> CollectedCall:
        server_id = _parse_id(wire)
        call_id = server_id
        if call_id is None or call_id in self._ids:
            call_id = f"call_{uuid4().hex}"
        self._ids.add(call_id)
        call = CollectedCall(len(self._calls), call_id, server_id)
        self._calls.append(call)
        self._latest_by_index[wire.get("index")] = call
        return call

    def _find_continued(
        self, wire: Mapping[str, Any], name: str, *, has_arguments: bool
    ) -> CollectedCall | None:
        """Return the call that a delta continues; `None` when the delta starts a call."""
        index, server_id = wire.get("index"), _parse_id(wire)
        if index is None:
            latest = self._calls[-1] if self._calls else None
        else:
            latest = self._latest_by_index.get(index)
        if latest is None:
            return None
        if server_id and server_id != latest.server_id:
            if not name:
                # A delta of an earlier call, or of a server that generates an id for every delta.
                same_id = (call for call in self._calls if call.server_id == server_id)
                return next(same_id, latest)
            # Some servers send the id of a call after its first delta.
            is_late_id = latest.server_id is None and latest.name in ("", name)
            return latest if is_late_id and not latest.arguments else None
        if not name or not latest.name:
            return latest
        if name == latest.name:
            is_complete = latest.parse_arguments(is_truncated=True) is not None
            return None if has_arguments and is_complete else latest
        # Without index and id to tell calls apart, another name is another call.
        is_split_name = latest.server_id and not server_id and not latest.arguments
        return latest if is_split_name and not has_arguments else None


def _parse_id(wire: Mapping[str, Any]) -> str | None:
    server_id = wire.get("id")
    if not isinstance(server_id, str | int | None):
        msg = f"the id of a tool call is a {type(server_id).__name__}"
        raise TypeError(msg)
    return None if server_id in (None, "") else str(server_id)


def _parse_function(wire: Mapping[str, Any]) -> tuple[str, object]:
    """Return the name and the arguments of a call or delta."""
    function = wire.get("function") or (wire if "name" in wire else {})
    name = function.get("name") or ""
    if not isinstance(name, str):
        msg = f"the name of a tool is a {type(name).__name__}"
        raise TypeError(msg)
    return name, function.get("arguments")
