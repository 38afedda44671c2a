"""Which broken responses can be continued, and the body of the request that continues one.

A continuation is a prefix completion: what was received is the last assistant turn, and DeepSeek
responds with the rest. DeepSeek's own validator (`deepseek-recipe`) accepts reasoning in such a
turn: with empty content it continues the reasoning, else the text; it rejects tools, JSON mode, and
tool calls anywhere in the conversation.
https://api-docs.deepseek.com/guides/chat_prefix_completion
"""

from collections.abc import Callable, Mapping
from typing import Any

from langchain_cf_deepseek._api.accumulation import Accumulation

Json = dict[str, Any]


def find_obstacle(received: Accumulation, body: Mapping[str, Any]) -> str | None:
    """Return why a prefix completion cannot continue a response; `None` if it can.

    With a declared tool the response is not continued even before a call: without its tools, the
    model would end in text where it would have called one.

    Args:
        received: The received part of the response; not empty.
        body: The body of the request.
    """
    messages = body["messages"]
    last = messages[-1] if messages else {}
    obstacles = (
        (received.tool_calls, "its tool calls have begun"),
        (received.has_blocks or received.unknown, "it holds more than text and reasoning"),
        (
            body.get("tools") and body.get("tool_choice") != "none",
            "prefix completion excludes `tools`",
        ),
        (
            any(message.get("tool_calls") for message in messages),
            "prefix completion excludes tool calls in the conversation",
        ),
        (
            (body.get("response_format") or {}).get("type", "text") != "text",
            "prefix completion excludes JSON mode",
        ),
        (
            "prefix" in last and not isinstance(last["content"], str),
            "the prefix of the request is not a text",
        ),
    )
    return next((reason for is_present, reason in obstacles if is_present), None)


def continuation_body(received: Accumulation, body: Mapping[str, Any]) -> Json:
    """Return the body of the request that continues a response, with its `max_tokens` unchanged.

    Args:
        received: The received part of the response.
        body: The body of the first request.
    """
    # With `tool_choice: none` DeepSeek leaves all tools out of the prompt, so it stays the same.
    continued = {key: body[key] for key in body if key not in ("tools", "tool_choice")}
    messages = list(body["messages"])
    last = messages.pop() if messages and "prefix" in messages[-1] else {}
    turn = {
        **last,
        "role": "assistant",
        "content": last.get("content", "") + received.text,
        "prefix": True,
    }
    reasoning = (last.get("reasoning_content") or "") + received.reasoning
    if reasoning and body.get("thinking") != {"type": "disabled"}:
        turn["reasoning_content"] = reasoning
    continued["messages"] = [*messages, turn]
    return continued


def reduce_max_tokens(
    received: Accumulation, body: Mapping[str, Any], count_tokens: Callable[[str], int]
) -> Json:
    """Return a body with the `max_tokens` that are left, at least 1.

    What was received is counted, because a broken response does not report its tokens.

    Args:
        received: The received part of the response.
        body: The body of the request that resumes it.
        count_tokens: Counts the tokens of a text.
    """
    if body.get("max_tokens") is None:
        return dict(body)
    used = sum(count_tokens(text) for text in (received.reasoning, received.text) if text)
    return {**body, "max_tokens": max(body["max_tokens"] - used, 1)}
