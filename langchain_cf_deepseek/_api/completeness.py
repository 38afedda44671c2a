"""Whether what came is a valid completion: finish reasons, cut and leaked calls, JSON, emptiness.

One verdict for whole responses and for streams, which is given when their last event has come.
https://api-docs.deepseek.com/api/create-chat-completion
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_cf_deepseek._api.accumulation import SUCCESSFUL_FINISHES, Accumulation
from langchain_cf_deepseek._api.json_text import is_whole_json, json_start
from langchain_cf_deepseek._api.leaked_tool_calls import contains_leaked_tool_call
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

_REFUSED = (
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
        CFDeepSeekContentBlockedError, "the content filter stopped the response", _REFUSED
    ),
}


def find_defect(
    came: Accumulation, request_body: Mapping[str, Any], *, wants_call: bool = False
) -> Defect | None:
    """Return why a response is not a valid completion; `None` if it is one.

    Args:
        came: All that came of it.
        request_body: What was asked.
        wants_call: Whether a tool call was asked for that the request could not force.
    """
    return (
        _finish_reason_defect(came)
        or _refusal_defect(came)
        or _tool_call_defect(came, request_body, wants_call=wants_call)
        or _json_defect(came, request_body)
        or _emptiness_defect(came)
    )


def _finish_reason_defect(came: Accumulation) -> Defect | None:
    finish = came.finish_reason
    if finish is None:
        message = "the response ended before its finish reason came"
        return Defect(CFDeepSeekIncompleteStreamError, message, origin="connection")
    if finish in SUCCESSFUL_FINISHES:
        return None
    if flaw := _FAILED_FINISHES.get(finish):
        return Defect(flaw.error, f"{flaw.message} (finish_reason {finish})", flaw.hint)
    message = f"the response failed: its finish_reason {finish!r:.100} is not one of a success"
    return Defect(CFDeepSeekAPIError, message)


def _refusal_defect(came: Accumulation) -> Defect | None:
    """A refusal in the form of OpenAI's models, in the place of the text."""
    refusal = came.unknown.get("refusal")
    if not refusal or not isinstance(refusal, str) or came.text or came.calls:
        return None
    return Defect(CFDeepSeekContentBlockedError, f"the model refused: {refusal:.500}", _REFUSED)


def _tool_call_defect(
    came: Accumulation, request_body: Mapping[str, Any], *, wants_call: bool
) -> Defect | None:
    if came.calls:
        # Markup in the text beside them is a remnant.
        return _complete_call_defect(came)
    tools = _tool_names(request_body)
    reasoning = came.reasoning if not came.text else ""
    if tools and (
        contains_leaked_tool_call(came.text, tools) or contains_leaked_tool_call(reasoning, tools)
    ):
        message = "the response holds the markup of a tool call instead of the call"
        return Defect(CFDeepSeekAPIError, message)
    if came.finish_reason == "tool_calls":
        message = "the response announces tool calls and holds none"
        return Defect(CFDeepSeekEmptyResponseError, message)
    is_forced = _is_forced(request_body)
    # In a response without text the call may have been under way: its markup comes first.
    may_be_call = bool(request_body.get("tools")) and (is_forced or wants_call or not came.text)
    if came.finish_reason == "length" and may_be_call:
        return _cut("the response was cut before its tool call began (finish_reason length)")
    if not is_forced:
        return None
    message = "the response is text, although `tool_choice` demands a tool call"
    return Defect(CFDeepSeekAPIError, f"{message}: {came.text!r:.500}")


def _complete_call_defect(came: Accumulation) -> Defect | None:
    is_cut = came.finish_reason == "length"
    for call in came.calls:
        if not call.name:
            return Defect(CFDeepSeekAPIError, "a tool call has no name")
        if call.parsed_arguments(is_cut=is_cut) is None:
            # LangChain would complete half-written arguments of a stream by guess.
            message = (
                f"the arguments of the tool call {call.name!r} are not a JSON object "
                f"(finish_reason {came.finish_reason})"
            )
            return _cut(message) if is_cut else Defect(CFDeepSeekAPIError, message)
    return None


def _json_defect(came: Accumulation, request_body: Mapping[str, Any]) -> Defect | None:
    if came.calls or not _is_json_mode(request_body):
        return None
    text, is_cut = came.text, came.finish_reason == "length"
    if not text.strip():
        if is_cut:
            return _cut("the response was cut before its JSON began (finish_reason length)")
        message = "the response is only white space: the model wrote no JSON in JSON mode"
        return Defect(CFDeepSeekEmptyResponseError, message)
    if is_whole_json(text):
        return None
    message = f"the JSON of the response is not whole (finish_reason {came.finish_reason})"
    if is_cut:
        return _cut(message)
    # Prose is left to the caller, who sees that it is not JSON.
    return Defect(CFDeepSeekAPIError, message) if json_start(text) >= 0 else None


def _emptiness_defect(came: Accumulation) -> Defect | None:
    if came.finish_reason != "stop" or came.calls or came.has_blocks or came.unknown:
        return None
    is_billed = bool((came.usage or {}).get("completion_tokens"))
    if came.text or came.reasoning or is_billed:
        return None
    return Defect(CFDeepSeekEmptyResponseError, "the response is empty")


def _cut(message: str) -> Defect:
    return Defect(CFDeepSeekMaxTokensError, message, _RAISE_MAX_TOKENS)


def _is_json_mode(request_body: Mapping[str, Any]) -> bool:
    wanted = request_body.get("response_format") or {"type": "text"}
    return bool(wanted.get("type") != "text")


def _is_forced(request_body: Mapping[str, Any]) -> bool:
    return bool(request_body.get("tools")) and request_body.get("tool_choice") not in (
        None,
        "auto",
        "none",
    )


def _tool_names(request_body: Mapping[str, Any]) -> set[str]:
    """Return the names of the tools that the model knows: declared, or called earlier."""
    tools = [tool.get("function") or tool for tool in request_body.get("tools", ())]
    calls = [
        call["function"]
        for message in request_body.get("messages", ())
        for call in message.get("tool_calls", ())
    ]
    return {entry.get("name", entry.get("type", "")) for entry in (*tools, *calls)}
