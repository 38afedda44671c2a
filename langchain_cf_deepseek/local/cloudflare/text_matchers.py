"""What guardrails and DLP look for in a text, and which texts there are in a chat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

TextMatcher = Sequence[str] | Callable[[str], bool]
"""Words, of which one in the text is enough, upper or lower case; or a function that decides."""


def text_matches(finder: TextMatcher, text: str) -> bool:
    """Whether a finder finds something in a text."""
    if callable(finder):
        return finder(text)
    return any(word.casefold() in text.casefold() for word in finder)


def message_texts(messages: Any) -> Iterator[str]:
    """Yield the texts of messages: content, parts of content, reasoning. Other shapes have none."""
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, dict):
            continue
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        texts = [part.get("text") for part in parts if isinstance(part, dict)]
        yield from (
            text for text in [*texts, message.get("reasoning_content")] if isinstance(text, str)
        )
