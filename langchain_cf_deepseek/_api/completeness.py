"""Whether a response is a valid completion: finish reason, tool calls, JSON, emptiness.

The same checks apply to whole responses and, after their last event, to streams.
https://api-docs.deepseek.com/api/create-chat-completion
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_cf_deepseek._api.accumulation import SUCCESSFUL_FINISHES, Accumulation
from langchain_cf_deepseek._api.json_text import contains_json, find_json_start
from langchain_cf_deepseek._api.leaked_tool_calls import contains_leaked_tool_call
from langchain_cf_deepseek._api.messages import SERVER_CALLS
from langchain_cf_deepseek._api.tool_choice import is_forcing
from langchain_cf_deepseek._errors.rules import TRY_AGAIN
from langchain_cf_deepseek.errors import (
    CFDeepSeekAPIError,
    CFDeepSeekContentBlockedError,
    CFDeepSeekEmptyResponseError,
    CFDeepSeekError,
    CFDeepSeekIncompleteStreamError,
    CFDeepSeekMaxTokensError,
    Origin,
)

_CHANGE_PROMPT = (
    "Change the prompt: the same request is likely to be refused again. The text before the "
    "refusal is in `partial`."
)
_RAISE_MAX_TOKENS = (
    "Raise `max_tokens`, which bounds reasoning and answer together; the same request is cut at "
    "the same place."
)


@dataclass(frozen=True)
class Defect:
    """Why a response is not a valid completion."""

    error: type[CFDeepSeekError]
    message: str
    hint: str = TRY_AGAIN
    origin: Origin = "deepseek"


_FAILED_FINISHES = {
    "insufficient_system_resource": Defect(
        CFDeepSeekAPIError, "the response was cut short: DeepSeek ran out of capacity"
    ),
    "aborted": Defect(CFDeepSeekAPIError, "the response was aborted"),
    "content_filter": Defect(
        CFDeepSeekContentBlockedError, "the content filter stopped the response", _CHANGE_PROMPT
    ),
}


def find_defect(
    received: Accumulation, request_body: Mapping[str, Any], *, expects_tool_call: bool = False
) -> Defect | None:
    """Return why a response is not a valid completion; `None` if it is one.

    Args:
        received: The received part of the response.
        request_body: The body of the request.
        expects_tool_call: Whether the caller requested a tool call that the request could not
            force.
    """
    return (
        _finish_reason_defect(received)
        or _refusal_defect(received)
        or _tool_call_defect(received, request_body, expects_tool_call=expects_tool_call)
        or _json_defect(received, request_body)
        or _emptiness_defect(received)
    )


def _finish_reason_defect(received: Accumulation) -> Defect | None:
    finish = received.finish_reason
    if finish is None:
        message = "the response ended before its finish reason"
        return Defect(CFDeepSeekIncompleteStreamError, message, origin="connection")
    if finish in SUCCESSFUL_FINISHES:
        return None
    if defect := _FAILED_FINISHES.get(finish):
        return Defect(defect.error, f"{defect.message} (finish_reason {finish})", defect.hint)
    message = f"the response failed: its finish_reason {finish!r:.100} does not mean success"
    return Defect(CFDeepSeekAPIError, message)


def _refusal_defect(received: Accumulation) -> Defect | None:
    """Return the refusal that OpenAI's models send in the place of text."""
    refusal = received.unknown.get("refusal")
    if not refusal or not isinstance(refusal, str) or received.text or received.tool_calls:
        return None
    return Defect(
        CFDeepSeekContentBlockedError, f"the model refused: {refusal:.500}", _CHANGE_PROMPT
    )


def _tool_call_defect(
    received: Accumulation, request_body: Mapping[str, Any], *, expects_tool_call: bool
) -> Defect | None:
    if received.tool_calls:
        # Markup in the text beside tool calls is a remnant of them.
        return _arguments_defect(received)
    tools = _tool_names(request_body)
    texts = (received.text, "" if received.text else received.reasoning)
    if tools and any(contains_leaked_tool_call(text, tools) for text in texts):
        message = "the response holds the markup of a tool call instead of the tool call"
        return Defect(CFDeepSeekAPIError, message)
    if received.finish_reason == "tool_calls" and SERVER_CALLS not in received.unknown:
        message = "the response announces tool calls and holds none"
        return Defect(CFDeepSeekEmptyResponseError, message)
    has_tools = bool(request_body.get("tools"))
    is_forced = has_tools and is_forcing(request_body.get("tool_choice"))
    # A response without text can have been cut inside the markup that starts a tool call.
    can_be_tool_call = has_tools and (is_forced or expects_tool_call or not received.text)
    if received.finish_reason == "length" and can_be_tool_call:
        return _truncation("the response was cut before its tool call began (finish_reason length)")
    if not is_forced:
        return None
    message = "the response is text, although `tool_choice` demands a tool call"
    return Defect(CFDeepSeekAPIError, f"{message}: {received.text!r:.500}")


def _arguments_defect(received: Accumulation) -> Defect | None:
    is_truncated = received.finish_reason == "length"
    for call in received.tool_calls:
        if not call.name:
            return Defect(CFDeepSeekAPIError, "a tool call has no name")
        if call.parse_arguments(is_truncated=is_truncated) is None:
            # LangChain would complete the truncated arguments of a stream by guess.
            message = (
                f"the arguments of the tool call {call.name!r} are not a JSON object "
                f"(finish_reason {received.finish_reason})"
            )
            return _truncation(message) if is_truncated else Defect(CFDeepSeekAPIError, message)
    return None


def _json_defect(received: Accumulation, request_body: Mapping[str, Any]) -> Defect | None:
    if received.tool_calls or not _is_json_mode(request_body):
        return None
    text, is_truncated = received.text, received.finish_reason == "length"
    if not text.strip():
        if is_truncated:
            return _truncation("the response was cut before its JSON began (finish_reason length)")
        message = "the response is only white space: the model wrote no JSON in JSON mode"
        return Defect(CFDeepSeekEmptyResponseError, message)
    if contains_json(text):
        return None
    message = f"the JSON of the response is incomplete (finish_reason {received.finish_reason})"
    if is_truncated:
        return _truncation(message)
    # Prose is left to the caller's parser, which reports that it is not JSON.
    return Defect(CFDeepSeekAPIError, message) if find_json_start(text) >= 0 else None


def _emptiness_defect(received: Accumulation) -> Defect | None:
    if (
        received.finish_reason != "stop"
        or received.tool_calls
        or received.has_blocks
        or received.unknown
    ):
        return None
    is_billed = bool((received.usage or {}).get("completion_tokens"))
    if received.text or received.reasoning or is_billed:
        return None
    return Defect(CFDeepSeekEmptyResponseError, "the response is empty")


def _truncation(message: str) -> Defect:
    return Defect(CFDeepSeekMaxTokensError, message, _RAISE_MAX_TOKENS)


def _is_json_mode(request_body: Mapping[str, Any]) -> bool:
    response_format = request_body.get("response_format") or {"type": "text"}
    return bool(response_format.get("type") != "text")


def _tool_names(request_body: Mapping[str, Any]) -> set[str]:
    """Return the names of the tools that are declared, or were called earlier."""
    tools = [tool.get("function") or tool for tool in request_body.get("tools", ())]
    calls = [
        call["function"]
        for message in request_body.get("messages", ())
        for call in message.get("tool_calls", ())
    ]
    return {entry.get("name", entry.get("type", "")) for entry in (*tools, *calls)}
