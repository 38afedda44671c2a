"""DeepSeek's server tools: what they find, and how a response carries it.

How DeepSeek's chat responses carry queries, results, opened pages and citations is not published.
The blocks here have the form of its older search tool for Messages, and `Assumptions` decides where
they are: a client has to work with every alternative.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_cf_deepseek.local.simulated_model.scripted_replies import (
    Reply,
    ScriptedPage,
    ScriptedSearch,
)
from langchain_cf_deepseek.local.simulated_model.web import Web, WebPage

JSON = dict[str, Any]
Carrier = Literal["content", "key", "none"]

WEB_SEARCH = "deepseek_web_search"
READ_URL = "deepseek_read_url"
SERVER_TOOLS = frozenset({WEB_SEARCH, READ_URL})

BLOCKS_KEY = "server_tool_blocks"
"""The key of the carrier `key`."""

_BLOCK_TYPES = ("server_tool_use", "web_search_tool_result", "web_fetch_tool_result")


@dataclass(frozen=True)
class ServerToolOutput:
    """What the server tools did for one response."""

    blocks: list[JSON] = field(default_factory=list)
    """Each call and its result."""
    citations: list[JSON] = field(default_factory=list)
    usage: JSON = field(default_factory=dict)
    """`server_tool_use`, if the request declares a server tool."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to carry."""
        return not self.blocks and not self.citations


def run_server_tools(reply: Reply, declared: frozenset[str], web: Web) -> ServerToolOutput:
    """Run the searches of a reply and open its pages, as far as the request declares the tools."""
    if not declared:
        return ServerToolOutput()
    searches = reply.searches if WEB_SEARCH in declared else ()
    done = [_search(each, web) for each in searches if isinstance(each, ScriptedSearch)]
    opened = [_open(each, web) for each in reply.pages if isinstance(each, ScriptedPage)]
    fetched = sum("url" in result["content"] for _, result in opened)
    return ServerToolOutput(
        blocks=[block for call in (*done, *opened) for block in call],
        citations=[{"type": "web_search_result_location", **each} for each in reply.citations],
        usage={
            "server_tool_use": {
                "web_search_requests": sum(bool(result["content"]) for _, result in done),
                "web_fetch_requests": fetched,
            }
        },
    )


def _search(search: ScriptedSearch, web: Web) -> tuple[JSON, JSON]:
    results = search.results
    if results is None:
        results = [hit.result for hit in web.search(search.query)]
    content = [{"type": "web_search_result", **result} for result in results]
    return _call(WEB_SEARCH, {"query": search.query}, "web_search_tool_result", content)


def _open(opened: ScriptedPage, web: Web) -> tuple[JSON, JSON]:
    page = web.page(opened.url) or WebPage("", "")
    title, text = opened.title or page.title, opened.text or page.markdown
    source = {"type": "text", "media_type": "text/plain", "data": text}
    content: JSON = {
        "type": "web_fetch_result",
        "url": opened.url,
        "content": {"type": "document", "title": title, "source": source},
    }
    if not text:
        content = {"type": "web_fetch_tool_result_error", "error_code": "unavailable"}
    return _call(READ_URL, {"url": opened.url}, "web_fetch_tool_result", content)


def _call(name: str, arguments: JSON, result_type: str, content: Any) -> tuple[JSON, JSON]:
    id_ = f"srvtoolu_{uuid.uuid4().hex}"
    return (
        {"type": "server_tool_use", "id": id_, "name": name, "input": arguments},
        {"type": result_type, "tool_use_id": id_, "content": content},
    )


def is_block(part: Any) -> bool:
    """Whether a part of a message's content is the call or the result of a server tool."""
    return isinstance(part, dict) and part.get("type") in _BLOCK_TYPES


def carry_in_message(message: JSON, output: ServerToolOutput, carrier: Carrier) -> None:
    """Put the blocks into the message of a whole response."""
    if output.is_empty or carrier == "none":
        return
    if carrier == "key":
        message[BLOCKS_KEY] = [*output.blocks, *output.citations]
        return
    text: JSON = {"type": "text", "text": message["content"] or ""}
    if output.citations:
        text["citations"] = output.citations
    message["content"] = [*output.blocks, *([text] if text["text"] else [])]


def carry_in_chunks(
    chunks: Iterator[JSON], output: ServerToolOutput, carrier: Carrier
) -> Iterator[JSON]:
    """Put the blocks into the chunks of a stream: before the text, and citations after it.

    A block has an `index`; deltas that add to it have no `type`.
    """
    if output.is_empty or carrier == "none":
        yield from chunks
        return
    key = "content" if carrier == "content" else BLOCKS_KEY
    text_index = len(output.blocks)
    has_blocks, has_text = False, False
    for chunk in chunks:
        choice = chunk["choices"][0]
        delta, is_last = choice["delta"], choice["finish_reason"] is not None
        if not has_blocks and (delta.get("content") or delta.get("tool_calls") or is_last):
            has_blocks = True
            for index, block in enumerate(output.blocks):
                yield _chunk_with(chunk, key, [{"index": index, **block}])
        if is_last and output.citations and (has_text or carrier == "key"):
            citations: list[JSON] = [{"index": text_index, "citations": output.citations}]
            if carrier == "key":
                citations = [
                    {"index": text_index + number, **each}
                    for number, each in enumerate(output.citations)
                ]
            yield _chunk_with(chunk, key, citations)
        if carrier == "content" and delta.get("content") is not None:
            if delta["content"]:
                first = {} if has_text else {"type": "text"}
                delta["content"] = [{"index": text_index, **first, "text": delta["content"]}]
                has_text = True
            else:
                delta["content"] = []
        yield chunk


def _chunk_with(chunk: JSON, key: str, blocks: list[JSON]) -> JSON:
    """Return a chunk of the same response that has nothing but blocks."""
    choice = {**chunk["choices"][0], "delta": {key: blocks}, "finish_reason": None}
    return {name: chunk[name] for name in chunk if name != "usage"} | {"choices": [choice]}
