"""Prefix completion: a reply continues where the prefix of the request ends."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict, deque
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from langchain_cf_deepseek.local.simulated_model.scripted_replies import Reply

MAX_REPLIES = 1000
"""How many replies are remembered; the oldest are dropped."""


class Continuations:
    """The replies given to each conversation, of which a truncated one can be continued."""

    def __init__(self) -> None:
        self._replies: OrderedDict[bytes, Reply] = OrderedDict()
        self._lock = threading.Lock()

    def next_reply(self, messages: list[Any], scripted: deque[Reply]) -> Reply | None:
        """Return the scripted reply for a conversation; None means that none is scripted.

        A prefix is continued by the next scripted reply if that is a continuation, or exactly what
        is left; otherwise by the reply that the conversation had and that starts with the prefix.
        """
        prefix = prefix_of(messages)
        if prefix is not None:
            with self._lock:
                earlier = self._replies.get(_key(messages[:-1]))
            rest = earlier and _rest(earlier, *prefix)
            is_next = bool(scripted) and (
                scripted[0].continuation or (rest is not None and _same_text(scripted[0], rest))
            )
            if is_next:
                return replace(scripted.popleft(), continuation=True)
            if rest is not None:
                return earlier
        return scripted.popleft() if scripted else None

    def after_prefix(self, messages: list[Any], reply: Reply) -> Reply:
        """Return what is left of a reply after the prefix, and remember the whole of it.

        A reply that does not start with the prefix is a continuation.
        """
        prefix = prefix_of(messages)
        if prefix is None:
            self._remember(messages, reply)
            return reply
        reasoning, content = prefix
        rest = (None if reply.continuation else _rest(reply, reasoning, content)) or reply
        whole = replace(
            rest,
            reasoning=reasoning + (rest.reasoning or ""),
            content=content + rest.content,
            continuation=False,
        )
        self._remember(messages[:-1], whole)
        return rest

    def _remember(self, messages: list[Any], reply: Reply) -> None:
        with self._lock:
            self._replies[_key(messages)] = reply
            if len(self._replies) > MAX_REPLIES:
                self._replies.popitem(last=False)


def prefix_of(messages: list[Any]) -> tuple[str, str] | None:
    """Return reasoning and text of the prefix that ends a conversation."""
    last = messages[-1] if messages else None
    if not isinstance(last, dict) or not last.get("prefix"):
        return None
    content = last.get("content")
    return last.get("reasoning_content") or "", content if isinstance(content, str) else ""


def _rest(reply: Reply, reasoning: str, content: str) -> Reply | None:
    """Return what is left of a reply after a prefix; None if it does not start with the prefix."""
    thought = reply.reasoning or ""
    if content and reply.content.startswith(content):
        return replace(reply, reasoning="", content=reply.content.removeprefix(content))
    if not content and thought.startswith(reasoning):
        return replace(reply, reasoning=thought.removeprefix(reasoning))
    return None


def _same_text(one: Reply, other: Reply) -> bool:
    return (one.reasoning or "", one.content) == (other.reasoning or "", other.content)


def _key(messages: list[Any]) -> bytes:
    return blake2b(json.dumps(messages, sort_keys=True).encode(), digest_size=16).digest()
