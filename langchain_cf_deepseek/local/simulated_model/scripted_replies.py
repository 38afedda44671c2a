"""The replies that a test scripts, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ScriptedCall:
    """A tool call of the simulated model."""

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ScriptedSearch:
    """A search of the simulated model with the server tool `deepseek_web_search`."""

    query: str
    results: Sequence[Mapping[str, Any]] | None = None
    """What it finds: dicts of `url`, `title` and `page_age`. None means what the gateway's `web`
    has."""


@dataclass(frozen=True)
class ScriptedPage:
    """A page that the simulated model opens with a server tool."""

    url: str
    title: str | None = None
    """None means the title in the gateway's `web`."""
    text: str | None = None
    """None means the text in the gateway's `web`."""


@dataclass(frozen=True)
class Reply:
    """One reply of the simulated model."""

    content: str = ""
    reasoning: str | None = None
    """Not sent when the request turns thinking off."""
    tool_calls: Sequence[ScriptedCall] = ()
    """The tool calls; LangChain's own `ToolCall` works too, without its id."""
    finish_reason: str | None = None
    """Replaces the finish reason that follows from the reply; `content_filter` is a refusal."""
    cached_tokens: int = 0
    """How many prompt tokens count as a hit of DeepSeek's context cache."""
    searches: Sequence[ScriptedSearch | str] = ()
    """The searches, or their queries, of a request that declares `deepseek_web_search`."""
    pages: Sequence[ScriptedPage | str] = ()
    """The pages, or their URLs, opened for a request that declares any server tool."""
    citations: Sequence[Mapping[str, Any]] = ()
    """What the text cites: dicts of `url`, `title` and `cited_text`; only with a server tool."""
    title: str | None = None
    """The title of a conversation, if the request asks for one; None means one is made."""
    review_seconds: float = 0
    """How long the review of `safety_check` level `high` takes: the text has been streamed, and the
    closing chunk is not sent yet."""
    continuation: bool = False
    """Whether the reply is the continuation of a prefix, not a whole reply that starts with it."""

    def __post_init__(self) -> None:
        calls = [
            ScriptedCall(call["name"], call["args"]) if isinstance(call, dict) else call
            for call in self.tool_calls
        ]
        searches = [
            ScriptedSearch(each) if isinstance(each, str) else each for each in self.searches
        ]
        pages = [ScriptedPage(each) if isinstance(each, str) else each for each in self.pages]
        object.__setattr__(self, "tool_calls", calls)
        object.__setattr__(self, "searches", searches)
        object.__setattr__(self, "pages", pages)
