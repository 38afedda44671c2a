"""What server tools send, as LangChain's standard content blocks, and back.

Where chat completions carry queries, results, opened pages and citations is not published: as
blocks in `content`, as blocks under another key, and as entries of `tool_calls` are all read.
Blocks of Anthropic's kind become standard blocks, all others `non_standard`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from langchain_core.messages import AIMessage
from langchain_core.messages.block_translators import register_translator
from langchain_core.messages.content import ContentBlock

Block = dict[Any, Any]

UNKNOWN_KEYS = "deepseek"
"""Where `additional_kwargs` keeps the undocumented keys of a response's message."""

SERVER_BLOCK_TYPES = frozenset({"server_tool_call", "server_tool_result"})
"""The types of LangChain's standard form."""

BESIDE_INDEX = "lc_key_"
"""How the index of a block begins that only shows what `additional_kwargs` holds."""

_CALL = "server_tool_use"
_CALL_CHUNK = "server_tool_call_chunk"
_CITATION_TYPES = ("_location", "citation")
_CITATION_KEYS = ("url", "title", "cited_text", "start_index", "end_index")
_CITING_KEYS = ("citations", "annotations")


def to_standard(block: str | Block, kind: Any, *, is_first: bool = True) -> Block:
    """Return a block in LangChain's standard form; `to_wire` reverses it.

    Args:
        block: The block, or a delta of it.
        kind: The type of the whole block.
        is_first: Whether this is the first, or only, delta: what LangChain would concatenate is
            written once.
    """
    if isinstance(block, str):
        return {"type": "text", "text": block}
    named: Block = {}
    if _is_call(kind):
        standard, taken = _to_call(block)
        named = {} if kind == _CALL else {"block_type": kind}
    elif _is_result(kind):
        standard = {"type": "server_tool_result"}
        standard |= _renamed(block, {"tool_use_id": "tool_call_id", "content": "output"})
        standard |= {"status": _status(block)} if is_first else {}
        taken, named = {"type", "id", "tool_use_id", "content"}, {"block_type": kind}
    elif kind == "text" and isinstance(block.get("text", ""), str):
        standard, taken = {"type": "text", "text": block.get("text", "")}, {"type", "text"}
        if annotations := _annotations(block):
            standard["annotations"] = annotations
    else:
        return {"type": "non_standard", "value": block}
    extras = {key: value for key, value in block.items() if key not in taken}
    extras |= named if is_first else {}
    return {**standard, "extras": extras} if extras else standard


def to_wire(block: Mapping[str, Any]) -> Block:
    """Return a block of LangChain's standard form as the server wrote it."""
    extras = block.get("extras")
    rest = dict(extras) if isinstance(extras, dict) else {}
    kind = block.get("type")
    if kind == "server_tool_call":
        wire = {"type": rest.pop("block_type", _CALL)}
        wire |= {key: block[key] for key in ("id", "name") if key in block}
        if "args" in block:
            # A stream can hold the arguments as text, which is kept beside an empty object.
            wire["input"] = {} if "partial_json" in rest else block["args"]
    elif kind == "server_tool_result":
        wire = {"type": rest.pop("block_type", "web_search_tool_result")}
        wire |= _renamed(block, {"tool_call_id": "tool_use_id", "output": "content"})
    else:
        wire = {"type": "text", "text": block.get("text", "")}
    return {**wire, **rest}


def _renamed(block: Mapping[Any, Any], names: Mapping[str, str]) -> Block:
    found = {"id": "id", **names}
    return {new: block[old] for old, new in found.items() if old in block}


def _is_call(kind: Any) -> bool:
    return isinstance(kind, str) and kind.endswith("_tool_use")


def _is_result(kind: Any) -> bool:
    is_result = isinstance(kind, str) and kind.endswith("_tool_result")
    return is_result and kind not in SERVER_BLOCK_TYPES


def _to_call(block: Mapping[Any, Any]) -> tuple[Block, set[str]]:
    """Return a call, and the keys of `block` that it holds."""
    standard: Block = {"type": "server_tool_call"}
    standard |= {key: block[key] for key in ("id", "name") if key in block}
    given = block.get("input")
    arguments = given or _parse(block.get("partial_json"))
    if isinstance(arguments, dict) or given == {}:
        standard["args"] = arguments or {}
    taken = {"type", "id", "name"}
    return standard, taken | {"input"} if isinstance(given, dict) else taken


def _parse(text: Any) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return None


def _status(block: Mapping[Any, Any]) -> str:
    content = block.get("content")
    items = content if isinstance(content, list) else [content]
    has_failed = bool(items) and all(map(_is_failure, items))
    return "error" if block.get("is_error") or has_failed else "success"


def _is_failure(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    return bool(item.get("error_code")) or str(item.get("type")).endswith("_error")


def _annotations(block: Mapping[Any, Any]) -> list[Block]:
    found = (block.get(key) for key in _CITING_KEYS)
    return [_to_citation(each) for value in found if isinstance(value, list) for each in value]


def _to_citation(given: Any) -> Block:
    """Return a citation of Anthropic's or OpenAI's form as LangChain's annotation."""
    nested = given.get("url_citation") if isinstance(given, dict) else None
    source = nested if isinstance(nested, dict) else given
    if not isinstance(source, dict) or not source.keys() & {"url", "cited_text"}:
        return {"type": "non_standard_annotation", "value": given}
    citation = {key: source[key] for key in _CITATION_KEYS if source.get(key) is not None}
    extras = {key: value for key, value in source.items() if key not in (*_CITATION_KEYS, "index")}
    if "type" in extras:
        extras["citation_type"] = extras.pop("type")
    return {"type": "citation", **citation, **({"extras": extras} if extras else {})}


@dataclass
class Beside:
    """What a message shows of the undocumented keys beside its content."""

    blocks: list[Block] = field(default_factory=list)
    """Calls, results, and whatever else is a list or an object."""

    texts: list[Block] = field(default_factory=list)
    """The text of the message again, in blocks that can have citations."""

    annotations: list[Block] = field(default_factory=list)
    """Citations of the whole text."""


def read_beside(unknown: Any, text: str) -> Beside:
    """Return what the undocumented keys of a message show in its content blocks.

    Args:
        unknown: The undocumented keys.
        text: The text of the message, which blocks under a key can repeat.
    """
    beside = Beside()
    for key, value in unknown.items() if isinstance(unknown, dict) else ():
        if key == "tool_calls" and isinstance(value, list):
            beside.blocks += map(_to_server_call, value)
        elif key in _CITING_KEYS and isinstance(value, list):
            beside.annotations += map(_to_citation, value)
        elif _are_blocks(value):
            _add_blocks(beside, value, text)
        elif isinstance(value, list | dict) and value and not str(key).startswith("reasoning"):
            beside.blocks.append({"type": "non_standard", "value": {key: value}})
    return beside


def _are_blocks(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(each, dict) and isinstance(each.get("type"), str) for each in value)
    )


def _add_blocks(beside: Beside, blocks: list[Block], text: str) -> None:
    if all(block["type"].startswith("reasoning") for block in blocks):
        return
    texts = [block for block in blocks if block["type"] == "text"]
    repeats = bool(text) and "".join(str(block.get("text", "")) for block in texts) == text
    for block in blocks:
        is_text = block["type"] == "text"
        if block["type"].endswith(_CITATION_TYPES):
            beside.annotations.append(_to_citation(block))
        else:
            shown = _shown(block, "" if is_text and not repeats else block["type"])
            (beside.texts if is_text and repeats else beside.blocks).append(shown)


def _to_server_call(entry: Any) -> Block:
    """Return an entry of `tool_calls` that DeepSeek executes."""
    if not isinstance(entry, dict):
        return {"type": "non_standard", "value": entry}
    function = entry.get("function")
    source = function if isinstance(function, dict) else entry
    arguments = _parse(source.get("arguments", source.get("input", {})) or {})
    extras = {
        key: value for key, value in entry.items() if key not in ("id", "index", "name", "function")
    }
    return {
        "type": "server_tool_call",
        "id": entry.get("id") or "",
        "name": source.get("name") or entry.get("type") or "",
        "args": arguments if isinstance(arguments, dict) else {},
        **({"extras": extras} if extras else {}),
    }


def translate(message: AIMessage) -> list[ContentBlock]:
    """Return the standard content blocks of a message of DeepSeek's.

    Raises:
        NotImplementedError: LangChain reads the message itself: it holds nothing of a server tool,
            or holds it in the standard form.
    """
    content, kwargs = message.content, message.additional_kwargs
    # The first chunk of a stream is an empty text, to which LangChain adds the blocks.
    listed = [block for block in (content if isinstance(content, list) else [content]) if block]
    if any(isinstance(each, dict) and str(each.get("index")).startswith("lc_") for each in listed):
        raise NotImplementedError  # written in the standard form
    beside = read_beside(kwargs.get(UNKNOWN_KEYS), message.text)
    if not (beside.blocks or beside.texts or beside.annotations) and not any(map(_is_own, listed)):
        raise NotImplementedError
    shown = list(map(_show, listed))
    if beside.texts:
        shown = [block for block in shown if not _is_text(block)] + beside.texts
    elif beside.annotations:
        shown = _annotated(shown, beside.annotations)
    plain = message.model_copy(
        update={
            "content": [*beside.blocks, *shown],
            "response_metadata": {},
            "additional_kwargs": {key: kwargs[key] for key in kwargs if key != UNKNOWN_KEYS},
        }
    )
    return [_unwrapped_chunk(block) for block in plain.content_blocks]


def _unwrapped_chunk(block: Any) -> Any:
    """Return a standard block that LangChain itself takes for one of another kind."""
    value = block.get("value") if block["type"] == "non_standard" else None
    is_chunk = isinstance(value, dict) and value.get("type") == _CALL_CHUNK
    return value if is_chunk else block


def _is_own(block: Any) -> bool:
    if not isinstance(block, dict):
        return False
    kind = block.get("type")
    is_citing = kind == "text" and bool(_annotations(block))
    return is_citing or _is_call(kind) or _is_result(kind) or kind == "input_json_delta"


def _show(block: Any) -> Any:
    if not isinstance(block, dict) or not _is_own(block):
        return block
    if block["type"] == "input_json_delta":
        shown = {"type": _CALL_CHUNK, "args": block.get("partial_json", "")}
    else:
        shown = _shown(block, block["type"])
    return {**shown, "index": block["index"]} if "index" in block else shown


def _shown(block: Block, kind: str) -> Block:
    """Return a whole block in LangChain's standard form, with every key that the form requires."""
    shown = to_standard(block, kind)
    if shown["type"] == "server_tool_call":
        shown = {"id": "", "name": "", "args": {}, **shown}
    elif shown["type"] == "server_tool_result":
        shown = {"tool_call_id": "", **shown}
    extras = {key: value for key, value in shown.pop("extras", {}).items() if key != "index"}
    return {**shown, "extras": extras} if extras else shown


def _is_text(block: Any) -> bool:
    return isinstance(block, str) or (isinstance(block, dict) and block.get("type") == "text")


def _annotated(blocks: list[Any], annotations: list[Block]) -> list[Any]:
    for position, block in enumerate(blocks):
        if _is_text(block):
            text = {"type": "text", "text": block} if isinstance(block, str) else block
            known = text.get("annotations") or []
            cited = {**text, "annotations": [*known, *annotations]}
            return [*blocks[:position], cited, *blocks[position + 1 :]]
    return [*blocks, {"type": "text", "text": "", "annotations": annotations}]


def blocks_beside(unknown: Any, text: str) -> Iterator[Block]:
    """Yield blocks that show the undocumented keys, for content in LangChain's standard form."""
    beside = read_beside(unknown, text)
    for number, block in enumerate(beside.blocks):
        yield {**block, "index": f"{BESIDE_INDEX}{number}"}
    in_texts = (each for block in beside.texts for each in block.get("annotations", ()))
    if annotations := [*in_texts, *beside.annotations]:
        yield {"type": "text", "text": "", "annotations": annotations, "index": "lc_txt_0"}


def streamed_arguments(content: Any) -> Iterator[Block]:
    """Yield the arguments of calls that a stream sent as text, in the standard form."""
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict) and _is_call(block.get("type")) and "partial_json" in block:
            arguments = {} if block.get("input") else _parse(block["partial_json"])
            if isinstance(arguments, dict) and arguments and "index" in block:
                yield {"type": "server_tool_call", "args": arguments, "index": block["index"]}


def register() -> None:
    """Make LangChain's `content_blocks` read messages of DeepSeek's with `translate`."""
    translator = cast("Any", translate)
    register_translator("deepseek", translator, translator)
