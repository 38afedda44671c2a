"""What guardrails and DLP search for in a text, and the texts of chat messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

TextMatcher = Sequence[str] | Callable[[str], bool]
"""Words, of which the text must contain one in any case; or a function that decides."""


def text_matches(matcher: TextMatcher, text: str) -> bool:
    """Whether a text matches."""
    if callable(matcher):
        return matcher(text)
    return any(word.casefold() in text.casefold() for word in matcher)


def message_texts(messages: Any) -> Iterator[str]:
    """Yield the texts of messages: content, content parts, reasoning."""
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, dict):
            continue
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        texts = [part.get("text") for part in parts if isinstance(part, dict)]
        yield from (
            text for text in [*texts, message.get("reasoning_content")] if isinstance(text, str)
        )
