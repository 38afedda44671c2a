"""Parameters and messages as the body of one request to DeepSeek's chat completions.

Every rule by which DeepSeek differs from OpenAI stands here once, for all calls alike.
https://api-docs.deepseek.com/api/create-chat-completion
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from langchain_cf_deepseek._api.json_schemas import (
    LooseSchemaError,
    json_schema_of,
    loose_tools,
    strict_tools,
)
from langchain_cf_deepseek._api.messages import to_wire
from langchain_cf_deepseek._api.parameters import PARAMETERS, check_parameters
from langchain_cf_deepseek._json import encoding_error_message
from langchain_cf_deepseek._redaction import shown
from langchain_cf_deepseek._settings import REPLACEMENTS
from langchain_cf_deepseek._warnings import warn_once

Json = dict[str, Any]

_DISABLED = {"type": "disabled"}
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra")
_NON_EXTRA_BODY_KEYS = ("messages", "model", "stream")
_ANY_TOOL = ("any", "required")
_UNFORCED = ("auto", "none")


def build_body(
    defaults: Mapping[str, Any],
    call: Mapping[str, Any],
    messages: Sequence[BaseMessage],
    *,
    has_beta: bool,
    sees_images: bool,
    result_tool: str | None = None,
    reads_thinking: bool = True,
) -> Json:
    """Return the body of one request.

    Args:
        defaults: The model's own parameters.
        call: The parameters of this call, which come first.
        messages: The conversation.
        has_beta: Whether the way to DeepSeek has a beta path.
        sees_images: Whether the model has vision.
        result_tool: The tool whose arguments are a structured result, so that JSON mode can take
            its place.
        reads_thinking: Whether the model reads `thinking`, and not `reasoning_effort` alone.

    Raises:
        ValueError: DeepSeek would refuse the request, or answer something else than was asked.
    """
    if unknown := (defaults.keys() | call.keys()) - PARAMETERS:
        known_elsewhere = [
            f"`{name}`: {REPLACEMENTS[name]}." for name in sorted(unknown & REPLACEMENTS.keys())
        ]
        way_out = " ".join(known_elsewhere) or (
            "DeepSeek silently ignores them. Pass what you mean to send all the same in "
            "`extra_body`."
        )
        msg = f"unknown parameters {sorted(unknown)}: {way_out}"
        raise ValueError(msg)
    body = _merged(_one_spelling(defaults), _one_spelling(call))
    _check_limits(body)
    check_parameters(body)
    if result_tool is not None and _is_thinking_requested(body):
        _use_json_mode_for_result(body, result_tool)
    _resolve_tool_choice(body)
    _warn_that_parallel_calls_cannot_be_turned_off(body)
    body["messages"] = to_wire(
        messages,
        send_reasoning=body.get("thinking") != _DISABLED,
        sees_images=sees_images,
    )
    _add_json_instruction(body)
    _apply_strict(body, has_beta=has_beta)
    if _has_prefix(body):
        _check_prefix(body, has_beta=has_beta)
    if not reads_thinking:
        _express_thinking_as_effort(body)
    if not body.get("stream"):
        body.pop("stream", None)
        body.pop("stream_options", None)
    return body


def _express_thinking_as_effort(body: Json) -> None:
    """Say by `reasoning_effort` whether to think, for models that have no `thinking`."""
    thinking = body.pop("thinking", None)
    if thinking == _DISABLED:
        body["reasoning_effort"] = "none"
    elif thinking is not None:
        body.setdefault("reasoning_effort", "high")


def _warn_that_parallel_calls_cannot_be_turned_off(body: Json) -> None:
    # Where one tool is forced, LangChain asks for this by itself.
    is_named = isinstance(body.get("tool_choice"), Mapping)
    if body.get("parallel_tool_calls") is False and body.get("tools") and not is_named:
        warn_once(
            "DeepSeek ignores `parallel_tool_calls`: the model may call several tools at once."
        )


def _one_spelling(level: Mapping[str, Any]) -> Json:
    """Return parameters in DeepSeek's one spelling of each."""
    body = dict(level)
    body.update(_checked_extra_body(body.pop("extra_body", None) or {}))
    if "max_completion_tokens" in body:
        # DeepSeek ignores this name without a word, and with it the limit.
        body["max_tokens"] = body.pop("max_completion_tokens")
    thinking = body.get("thinking")
    if isinstance(thinking, str):
        body["thinking"] = thinking = {"type": thinking}
    elif thinking is not None and not isinstance(thinking, Mapping):
        msg = f"`thinking` must be 'enabled' or 'disabled', not {shown(thinking)}."
        raise ValueError(msg)
    elif thinking and thinking.get("type") == "disabled":
        body["thinking"] = thinking = _DISABLED
    effort = body.get("reasoning_effort")
    if effort is not None and effort not in _EFFORTS:
        msg = f"`reasoning_effort` must be one of {', '.join(_EFFORTS)}, not {shown(effort)}."
        raise ValueError(msg)
    if thinking is not None and thinking.get("type") not in ("enabled", "disabled", "adaptive"):
        msg = f"`thinking` must be 'enabled' or 'disabled', not {shown(thinking.get('type'))}."
        raise ValueError(msg)
    if effort == "none":
        if thinking is not None and thinking != _DISABLED:
            msg = "`reasoning_effort` 'none' turns thinking off, but `thinking` turns it on."
            raise ValueError(msg)
        del body["reasoning_effort"]
        body["thinking"] = _DISABLED
    elif effort is not None and thinking == _DISABLED:
        msg = f"`thinking` is disabled, so `reasoning_effort` {effort!r} cannot be followed."
        raise ValueError(msg)
    return body


def _checked_extra_body(extra: Any) -> Mapping[str, Any]:
    if not isinstance(extra, Mapping):
        msg = f"`extra_body` must be a dict of parameters, not {extra!r:.200}."
        raise ValueError(msg)  # noqa: TRY004 - the value is what is wrong
    for name in _NON_EXTRA_BODY_KEYS:
        if name in extra:
            msg = f"`extra_body` cannot hold `{name}`: it is made of the call's own `{name}`."
            raise ValueError(msg)
    return extra


def _merged(defaults: Json, call: Json) -> Json:
    """Return the parameters of a call over the model's, thinking and effort never in conflict."""
    body = defaults | call
    if call.get("thinking") == _DISABLED:
        body.pop("reasoning_effort", None)
    elif call.get("reasoning_effort") is not None and body.get("thinking") == _DISABLED:
        del body["thinking"]
    return {name: value for name, value in body.items() if value is not None}


def _check_limits(body: Json) -> None:
    if body.pop("n", 1) != 1:
        msg = "`n` must be 1: DeepSeek gives one answer to a request; use `batch` for several."
        raise ValueError(msg)
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        msg = "`top_logprobs` needs `logprobs=True`."
        raise ValueError(msg)


def _resolve_tool_choice(body: Json) -> None:
    """Keep forced tool choice and thinking apart: DeepSeek refuses them together.

    Thinking is on by default. Where the user has not asked for it, it is turned off for this
    request; where he has, the choice is left to the model.
    https://api-docs.deepseek.com/guides/thinking_mode
    """
    choice = _tool_choice(body.pop("tool_choice", None))
    if choice is None or not body.get("tools"):
        return
    if choice not in _UNFORCED and body.get("thinking") != _DISABLED:
        if _is_thinking_requested(body):
            choice = "auto"
            warn_once(
                "DeepSeek does not take a forced tool choice while thinking: the choice is sent "
                "as 'auto', and where the model answers without a tool, a second request forces "
                "it without thinking. Set thinking='disabled' to force it at once."
            )
        else:
            body["thinking"] = _DISABLED
    body["tool_choice"] = choice


def forcing_parameters(asked: Any, body: Json, *, reads_thinking: bool) -> Json | None:
    """Return the parameters that force the tool call that was asked for; `None`: none is missing.

    Args:
        asked: The tool choice of the call.
        body: What is sent, where a forced choice is 'auto' while the model thinks.
        reads_thinking: Whether the model reads `thinking`, and not `reasoning_effort` alone.
    """
    choice = _tool_choice(asked)
    if choice in (None, *_UNFORCED) or body.get("tool_choice") != "auto":
        return None
    forcing = {"tool_choice": choice, "thinking": _DISABLED}
    if not reads_thinking:
        _express_thinking_as_effort(forcing)
    return forcing


def forced_body(body: Json, forcing: Mapping[str, Any], text: str) -> Json:
    """Return the body that forces a tool call after the model has thought and answered in text.

    Args:
        body: What was sent.
        forcing: The parameters that force the call.
        text: The answer.
    """
    kept = {name: value for name, value in body.items() if name != "reasoning_effort"}
    answer = {"role": "assistant", "content": text}
    return {**kept, **forcing, "messages": [*body["messages"], answer]}


def _use_json_mode_for_result(body: Json, result_tool: str) -> None:
    """Ask for a structured result in JSON mode, which goes together with thinking."""
    tools = body.pop("tools", [])
    functions = {tool["function"]["name"]: tool["function"] for tool in tools if "function" in tool}
    function = functions[result_tool]
    if others := [tool for tool in tools if tool.get("function") is not function]:
        body["tools"] = others
    body.pop("tool_choice", None)
    told = {key: function[key] for key in ("description",) if function.get(key)}
    schema = {"title": result_tool, **told, **(function.get("parameters") or {})}
    body["response_format"] = {"type": "json_schema", "json_schema": {"schema": schema}}


def _is_thinking_requested(body: Json) -> bool:
    return body.get("thinking", _DISABLED) != _DISABLED or "reasoning_effort" in body


def _tool_choice(choice: Any) -> str | Json | None:
    """Return a tool choice in DeepSeek's form, whichever of the usual forms it has."""
    if choice is None or choice is False:
        return None
    if choice is True:
        return "required"
    if isinstance(choice, str):
        if choice in _ANY_TOOL:
            return "required"
        return choice if choice in _UNFORCED else _named(choice)
    kind = choice.get("type") if isinstance(choice, Mapping) else None
    if kind in _ANY_TOOL or kind in _UNFORCED:
        return _tool_choice(kind)
    named = (choice.get("function") or choice) if kind else None
    name = named.get("name") if isinstance(named, Mapping) else None
    if not isinstance(name, str):
        msg = f"`tool_choice` {choice!r} names no tool."
        raise ValueError(msg)  # noqa: TRY004 - the value is what is wrong
    return _named(name)


def _named(tool: str) -> Json:
    return {"type": "function", "function": {"name": tool}}


def _add_json_instruction(body: Json) -> None:
    """Say in the prompt that JSON is wanted: DeepSeek's JSON mode demands the word.

    `json_schema` is not served on chat completions, so its schema goes into the system text.
    https://api-docs.deepseek.com/guides/json_mode
    """
    wanted = body.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, Mapping) else "json_schema"
    if wanted is None or kind == "text":
        # The default, which said aloud DeepSeek refuses beside strict tools.
        body.pop("response_format", None)
        return
    if kind != "json_object":
        schema = _wanted_schema(wanted)
        body["response_format"] = {"type": "json_object"}
        _add_to_system_text(
            body, f"Answer with one JSON object that matches this JSON schema:\n{schema}"
        )
    elif not _mentions_json(body["messages"]):
        _add_to_system_text(body, "Answer with one JSON object.")


def _wanted_schema(wanted: Any) -> str:
    """Return the schema of a `response_format` as text: one in OpenAI's form, bare, or a class."""
    schema = wanted
    if isinstance(wanted, Mapping) and wanted.get("type") != "object":
        schema = wanted.get("json_schema") if wanted.get("type") == "json_schema" else None
    if isinstance(schema, Mapping):
        schema = schema["schema"] if isinstance(schema.get("schema"), Mapping) else schema
    elif callable(schema):
        schema = json_schema_of(schema)
    else:
        msg = (
            "`response_format` must be of the type 'text', 'json_object' or 'json_schema' with the "
            f"schema under 'json_schema', or itself a JSON schema or class, not {wanted!r:.200}."
        )
        raise ValueError(msg)  # noqa: TRY004 - the value is what is wrong
    try:
        return json.dumps(schema, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        raise ValueError(encoding_error_message(schema, "response_format")) from None


def _mentions_json(messages: list[Json]) -> bool:
    return any("json" in text.lower() for message in messages for text in _texts(message))


def _texts(message: Json) -> list[str]:
    content = message["content"]
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content if part["type"] == "text"]


def _add_to_system_text(body: Json, text: str) -> None:
    messages = body["messages"]
    first = messages[0] if messages else {}
    if first.get("role") != "system":
        messages.insert(0, {"role": "system", "content": text})
    elif isinstance(first["content"], str):
        first["content"] = f"{first['content']}\n\n{text}"
    else:
        first["content"].append({"type": "text", "text": text})


def needs_beta(body: Json) -> bool:
    """Return whether a request uses a feature that DeepSeek serves on its beta path only.

    https://api-docs.deepseek.com/guides/tool_calls and /guides/chat_prefix_completion
    """
    return _has_strict_tools(body) or _has_prefix(body)


def _has_strict_tools(body: Json) -> bool:
    return any(tool.get("function", {}).get("strict") for tool in body.get("tools", ()))


def _has_prefix(body: Json) -> bool:
    return "prefix" in body["messages"][-1] if body["messages"] else False


def _check_prefix(body: Json, *, has_beta: bool) -> None:
    if not has_beta:
        msg = (
            "prefix completion needs DeepSeek's beta path: use routing='provider-native' "
            "(CLOUDFLARE_AI_GATEWAY_ROUTING)."
        )
        raise ValueError(msg)
    if body.get("tools"):
        msg = "prefix completion goes without `tools`: bind none, or end with another message."
        raise ValueError(msg)


def _apply_strict(body: Json, *, has_beta: bool) -> None:
    if not _has_strict_tools(body):
        return
    obstacle = _obstacle_to_strict(body, has_beta=has_beta)
    if obstacle is None:
        try:
            body["tools"] = strict_tools(body["tools"])
        except LooseSchemaError as error:
            obstacle = str(error)
        else:
            return
    warn_once(f"{obstacle}: the tools are sent without `strict`.")
    body["tools"] = loose_tools(body["tools"])


def _obstacle_to_strict(body: Json, *, has_beta: bool) -> str | None:
    if not has_beta:
        return "strict tools need DeepSeek's beta path, which only 'provider-native' routing has"
    if body.get("response_format") == {"type": "json_object"}:
        return "DeepSeek does not take strict tools in JSON mode"
    return None
