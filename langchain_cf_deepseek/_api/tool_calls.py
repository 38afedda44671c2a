"""The tool calls of a response, put together from whole messages and from the pieces of a stream.

Servers identify the pieces of a call by index, by id, by both or by neither. Every call ends up
with an id of its own, so that its result can be sent back.
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

_NO_ARGUMENTS = ("", "null")


@dataclass
class CollectedCall:
    """One tool call, as far as it came."""

    index: int
    """Its place in the response."""

    id: str
    """The server's id; one of ours where the server gave none, or gave it to another call too."""

    server_id: str | None
    name: str = ""
    arguments: str = ""
    """The arguments as the server wrote them, to recognize them when they are repeated."""

    is_object: bool = False
    """Whether the arguments came as a JSON object instead of a text of one."""

    unsent: str = ""
    """Arguments not yet handed on in a chunk."""

    joiner: JsonSurrogateJoiner = field(default_factory=JsonSurrogateJoiner)

    def parsed_arguments(self, *, is_cut: bool) -> dict[str, Any] | None:
        """Return the arguments; `None` where they are not a JSON object.

        Args:
            is_cut: Whether the response was cut by the token limit. DeepSeek writes a call without
                arguments as `{}`, so in a cut response nothing at all is a call cut at its start.
        """
        if self.arguments.strip() in _NO_ARGUMENTS:
            return {} if self.is_object or not is_cut else None
        try:
            # Like LangChain's own parser: models write line breaks unescaped now and then.
            arguments = json.loads(join_json_surrogates(self.arguments), strict=False)
        except (ValueError, RecursionError):
            return None
        return arguments if isinstance(arguments, dict) else None

    def add(self, name: str, arguments: object) -> None:
        """Add what a piece says."""
        if name != self.name:  # some servers repeat it with every piece
            self.name += name
        if isinstance(arguments, Mapping | list):
            self.is_object = isinstance(arguments, Mapping)
            # Some servers send an empty object first and the text of the real one after it.
            text = json.dumps(arguments, ensure_ascii=False) if arguments else ""
        elif arguments is None or isinstance(arguments, str):
            text = arguments or ""
        else:
            text = json.dumps(arguments)
        self.arguments += text
        self.unsent += self.joiner.feed(text)

    def pop_unsent(self) -> str:
        """Return the arguments to hand on now.

        LangChain adds up the chunks and parses the sum, and takes neither blanks nor `null` for "no
        arguments": they are kept back until more comes. So is `{}`, which some servers send first
        as a placeholder; without arguments a call is complete.
        """
        text = self.arguments.strip()
        if any(nothing.startswith(text) for nothing in ("null", "{}")):
            return ""
        text, self.unsent = self.unsent, ""
        return text


class ToolCallCollector:
    """Collects the tool calls of one response."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._calls: list[CollectedCall] = []

        self._latest_under: dict[Any, CollectedCall] = {}
        """The call that began last under each index of the server."""

    def __bool__(self) -> bool:
        return bool(self._calls)

    def __iter__(self) -> Iterator[CollectedCall]:
        return iter(self._calls)

    def add_whole(self, wire: Mapping[str, Any]) -> ToolCallChunk:
        """Add a call of a whole message, where the place in the list tells calls apart."""
        name, arguments = _function_of(wire)
        return self._add(wire, None, name, arguments)

    def add_piece(self, wire: Mapping[str, Any]) -> ToolCallChunk:
        """Add a piece of a stream, and return it as LangChain adds pieces up.

        The chunk's index is the call's place in the response; id and name come with the first
        chunk of a call only, since adding up would double them.
        """
        name, arguments = _function_of(wire)
        call = self._repeated(wire, name, arguments)
        if call is None:
            call = self._call_of(wire, name, has_arguments=bool(arguments))
        elif isinstance(arguments, str):
            if call.arguments.strip() == "{}":
                call.arguments = call.unsent = ""
            arguments = arguments.removeprefix(call.arguments)
        else:
            arguments = None
        return self._add(wire, call, name, arguments)

    def _add(
        self, wire: Mapping[str, Any], call: CollectedCall | None, name: str, arguments: object
    ) -> ToolCallChunk:
        is_new = call is None
        if call is None:
            call = self._begin(wire)
        known_name = call.name
        call.add(name, arguments)
        return tool_call_chunk(
            id=call.id if is_new else None,
            name=call.name.removeprefix(known_name) or None,
            args=call.pop_unsent(),
            index=call.index,
        )

    def split(self, *, is_cut: bool) -> tuple[list[ToolCall], list[InvalidToolCall]]:
        """Return the whole calls and the cut or broken ones, as LangChain has them."""
        whole: list[ToolCall] = []
        broken: list[InvalidToolCall] = []
        for call in self._calls:
            arguments = call.parsed_arguments(is_cut=is_cut)
            if arguments is not None and call.name:
                whole.append(tool_call(name=call.name, args=arguments, id=call.id))
            else:
                error = "no name" if not call.name else "the arguments are not a JSON object"
                args = join_json_surrogates(call.arguments)
                broken.append(
                    invalid_tool_call(name=call.name or None, args=args, id=call.id, error=error)
                )
        return whole, broken

    def _repeated(
        self, wire: Mapping[str, Any], name: str, arguments: object
    ) -> CollectedCall | None:
        """Return the call that a piece says again, as far as it came or further, with id and name.

        Some servers close a stream with a summary of its calls, and some send snapshots that grow.
        """
        server_id = _id_of(wire)
        for call in self._calls if server_id and name and arguments else ():
            if call.server_id == server_id and call.name == name:
                text = arguments if isinstance(arguments, str) else json.dumps(arguments)
                told = call.arguments.strip()
                if told and (told == "{}" or text.strip().startswith(told)):
                    return call
                if not isinstance(arguments, str) and call.is_object and _same(text, told):
                    return call
        return None

    def _begin(self, wire: Mapping[str, Any]) -> CollectedCall:
        server_id = _id_of(wire)
        call_id = server_id
        if call_id is None or call_id in self._ids:
            call_id = f"call_{uuid4().hex}"
        self._ids.add(call_id)
        call = CollectedCall(len(self._calls), call_id, server_id)
        self._calls.append(call)
        self._latest_under[wire.get("index")] = call
        return call

    def _call_of(
        self, wire: Mapping[str, Any], name: str, *, has_arguments: bool
    ) -> CollectedCall | None:
        """Return the call that a piece continues; `None` when the piece begins one."""
        index, server_id = wire.get("index"), _id_of(wire)
        if index is None:
            latest = self._calls[-1] if self._calls else None
        else:
            latest = self._latest_under.get(index)
        if latest is None:
            return None
        if server_id and server_id != latest.server_id:
            if not name:
                # A piece of an earlier call, or of a server that makes an id for every piece.
                same = (call for call in self._calls if call.server_id == server_id)
                return next(same, latest)
            # The id of a call may come with a later piece than the first.
            came_late = latest.server_id is None and latest.name in ("", name)
            return latest if came_late and not latest.arguments else None
        if not name or not latest.name:
            return latest
        if name == latest.name:
            is_complete = latest.parsed_arguments(is_cut=True) is not None
            return None if has_arguments and is_complete else latest
        # With nothing else to tell them apart: another name is another call.
        is_split_name = latest.server_id and not server_id and not latest.arguments
        return latest if is_split_name and not has_arguments else None


def _same(text: str, other: str) -> bool:
    return bool(json.loads(text) == json.loads(other))


def _id_of(wire: Mapping[str, Any]) -> str | None:
    server_id = wire.get("id")
    if not isinstance(server_id, str | int | None):
        msg = f"the id of a tool call is a {type(server_id).__name__}"
        raise TypeError(msg)
    return None if server_id in (None, "") else str(server_id)


def _function_of(wire: Mapping[str, Any]) -> tuple[str, object]:
    """Return the name and the arguments that a call or piece brings."""
    function = wire.get("function") or (wire if "name" in wire else {})
    name = function.get("name") or ""
    if not isinstance(name, str):
        msg = f"the name of a tool is a {type(name).__name__}"
        raise TypeError(msg)
    return name, function.get("arguments")
