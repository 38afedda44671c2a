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

        A prefix is continued by the next scripted reply if that is a continuation, otherwise by the
        reply that the same conversation had and that starts with the prefix.
        """
        prefix = prefix_of(messages)
        if prefix is None or (scripted and scripted[0].continuation):
            return scripted.popleft() if scripted else None
        with self._lock:
            reply = self._replies.get(_key(messages[:-1]))
        if reply is not None and _starts_with(reply, *prefix):
            return reply
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
        rest = reply
        if not reply.continuation and _starts_with(reply, *prefix):
            left = "" if content else (reply.reasoning or "").removeprefix(reasoning)
            rest = replace(reply, reasoning=left, content=reply.content.removeprefix(content))
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


def _starts_with(reply: Reply, reasoning: str, content: str) -> bool:
    if content:
        return reply.content.startswith(content)
    return (reply.reasoning or "").startswith(reasoning)


def _key(messages: list[Any]) -> bytes:
    return blake2b(json.dumps(messages, sort_keys=True).encode(), digest_size=16).digest()
