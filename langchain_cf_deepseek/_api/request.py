"""Parameters and messages as the body of one request to DeepSeek's chat completions.

The rules by which DeepSeek's requests differ from OpenAI's are here, for all ways to call a model.
https://api-docs.deepseek.com/api/create-chat-completion
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from langchain_cf_deepseek._api.json_schemas import (
    UnsupportedSchemaError,
    json_schema_of,
    make_tools_strict,
    remove_strict,
)
from langchain_cf_deepseek._api.messages import build_wire_messages
from langchain_cf_deepseek._api.parameters import PARAMETERS, check_parameters
from langchain_cf_deepseek._api.server_tools import (
    check_server_tools,
    function_tools,
    is_high_safety,
    normalize_tool,
    server_tools,
)
from langchain_cf_deepseek._api.tool_choice import is_forcing, parse_tool_choice
from langchain_cf_deepseek._json import encoding_error_message
from langchain_cf_deepseek._redaction import shown
from langchain_cf_deepseek._settings import REPLACEMENTS
from langchain_cf_deepseek._warnings import warn_once

Json = dict[str, Any]

_DISABLED = {"type": "disabled"}
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra")
_NON_EXTRA_BODY_KEYS = ("messages", "model", "stream")


def build_body(
    defaults: Mapping[str, Any],
    call: Mapping[str, Any],
    messages: Sequence[BaseMessage],
    *,
    has_beta: bool,
    sees_images: bool,
    result_tool: str | None = None,
    reads_thinking: bool = True,
    serves_tools: bool = True,
    is_deepseek: bool = True,
    takes_reminder: bool = True,
) -> Json:
    """Return the body of one request.

    Args:
        defaults: The model's own parameters.
        call: The parameters of this call, which override the model's.
        messages: The conversation.
        has_beta: Whether the endpoint has a beta path.
        sees_images: Whether the model has vision.
        result_tool: The tool whose arguments are a structured result, which JSON mode can replace.
        reads_thinking: Whether the model reads `thinking`, and not only `reasoning_effort`.
        serves_tools: Whether the model can have server tools.
        is_deepseek: Whether DeepSeek's own API serves the model.
        takes_reminder: Whether the model takes the role `latest_reminder`.

    Raises:
        ValueError: DeepSeek would reject the request, or ignore a part of it.
    """
    if unknown := (defaults.keys() | call.keys()) - PARAMETERS:
        replacements = [
            f"`{name}`: {REPLACEMENTS[name]}." for name in sorted(unknown & REPLACEMENTS.keys())
        ]
        hint = " ".join(replacements) or (
            "DeepSeek silently ignores them. Use `extra_body` to send a parameter that this "
            "package does not know."
        )
        msg = f"unknown parameters {sorted(unknown)}: {hint}"
        raise ValueError(msg)
    body = _merge(_normalize(defaults), _normalize(call))
    _check_limits(body)
    if isinstance(tools := body.get("tools"), list | tuple):
        body["tools"] = list(map(normalize_tool, tools))
    check_parameters(body)
    check_server_tools(body, serves_tools=serves_tools)
    _check_safety(body, is_deepseek=is_deepseek)
    if result_tool is not None and not _can_force(body):
        _use_json_mode_for_result(body, result_tool)
    _resolve_tool_choice(body)
    _warn_about_parallel_tool_calls(body)
    body["messages"] = build_wire_messages(
        messages,
        send_reasoning=body.get("thinking") != _DISABLED,
        sees_images=sees_images,
        takes_reminder=takes_reminder,
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
    """Replace `thinking` by `reasoning_effort`, for models that read only the latter."""
    thinking = body.pop("thinking", None)
    if thinking == _DISABLED:
        body["reasoning_effort"] = "none"
    elif thinking is not None:
        body.setdefault("reasoning_effort", "high")


def _warn_about_parallel_tool_calls(body: Json) -> None:
    # LangChain sets the parameter itself where one tool is forced.
    is_named = isinstance(body.get("tool_choice"), Mapping)
    if body.get("parallel_tool_calls") is False and body.get("tools") and not is_named:
        warn_once(
            "DeepSeek ignores `parallel_tool_calls`: the model can call several tools at once."
        )


def _normalize(parameters: Mapping[str, Any]) -> Json:
    """Return parameters under DeepSeek's names, with thinking and effort in one form."""
    body = dict(parameters)
    body.update(_checked_extra_body(body.pop("extra_body", None) or {}))
    if "max_completion_tokens" in body:
        # DeepSeek silently ignores this name, and with it the limit.
        body["max_tokens"] = body.pop("max_completion_tokens")
    _expand_short_forms(body)
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
        msg = f"`thinking` is disabled, so `reasoning_effort` {effort!r} has no effect."
        raise ValueError(msg)
    return body


def _expand_short_forms(body: Json) -> None:
    if isinstance(body.get("safety_check"), str):
        body["safety_check"] = {"level": body["safety_check"]}
    if isinstance(body.get("title"), bool):
        body["title"] = {"enabled": True} if body["title"] else None


def _checked_extra_body(extra: Any) -> Mapping[str, Any]:
    if not isinstance(extra, Mapping):
        msg = f"`extra_body` must be a dict of parameters, not {extra!r:.200}."
        raise ValueError(msg)  # noqa: TRY004 - the value is what is wrong
    for name in _NON_EXTRA_BODY_KEYS:
        if name in extra:
            msg = f"`extra_body` cannot hold `{name}`: pass `{name}` itself."
            raise ValueError(msg)
    return extra


def _merge(defaults: Json, call: Json) -> Json:
    """Return the model's parameters overridden by the call's, without conflict over thinking."""
    body = defaults | call
    if call.get("thinking") == _DISABLED:
        body.pop("reasoning_effort", None)
    elif call.get("reasoning_effort") is not None and body.get("thinking") == _DISABLED:
        del body["thinking"]
    return {name: value for name, value in body.items() if value is not None}


def _check_limits(body: Json) -> None:
    if body.pop("n", 1) != 1:
        msg = "`n` must be 1: DeepSeek returns one completion per request; use `batch` for several."
        raise ValueError(msg)
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        msg = "`top_logprobs` needs `logprobs=True`."
        raise ValueError(msg)


def _check_safety(body: Json, *, is_deepseek: bool) -> None:
    """Check `safety_check`, which only DeepSeek's own servers read.

    https://api-docs.deepseek.com/guides/safety
    """
    safety = body.get("safety_check")
    if safety is None:
        return
    if safety.get("level") not in ("low", "high"):
        msg = f"`safety_check` must be 'low' or 'high', not {shown(safety.get('level'))}."
        raise ValueError(msg)
    if not is_deepseek:
        warn_once(
            "`safety_check` is a parameter of DeepSeek's own API: a server of another provider "
            "silently ignores it, and reviews nothing."
        )


def _can_force(body: Json) -> bool:
    """Return whether the first request can force a tool call, with thinking turned off for it.

    Whether a tool call can be forced beside server tools is not published.
    """
    return not (_is_thinking_requested(body) or server_tools(body) or is_high_safety(body))


def _resolve_tool_choice(body: Json) -> None:
    """Separate a forced tool choice from thinking: DeepSeek rejects them together.

    Thinking is on by default. Unless the caller requested it, it is turned off for this request;
    if the caller requested it, the choice becomes `auto`. So it does beside server tools: whether
    DeepSeek accepts a forced choice there is undocumented.
    https://api-docs.deepseek.com/guides/thinking_mode and /guides/safety
    """
    choice = parse_tool_choice(body.pop("tool_choice", None))
    if choice is None or not body.get("tools"):
        return
    if is_forcing(choice) and is_high_safety(body):
        msg = (
            "`safety_check` 'high' excludes a forced `tool_choice`: use 'auto' or 'none', "
            "`with_structured_output` for a result, and in agents "
            "`response_format=ProviderStrategy(...)`."
        )
        raise ValueError(msg)
    if is_forcing(choice) and server_tools(body):
        choice = "auto"
    elif is_forcing(choice) and body.get("thinking") != _DISABLED:
        if _is_thinking_requested(body):
            choice = "auto"
            warn_once(
                "DeepSeek does not take a forced tool choice while thinking: the choice is sent "
                "as 'auto', and if the model answers without a tool call, a second request forces "
                "one without thinking. Set thinking='disabled' to force it at once."
            )
        else:
            body["thinking"] = _DISABLED
    body["tool_choice"] = choice


def forcing_parameters(requested: Any, body: Json, *, reads_thinking: bool) -> Json | None:
    """Return the parameters of a second request that forces the tool call; `None` without need.

    Args:
        requested: The tool choice that the caller requested.
        body: The body of the first request, which has 'auto' in its place while thinking.
        reads_thinking: Whether the model reads `thinking`, and not only `reasoning_effort`.
    """
    choice = parse_tool_choice(requested)
    if not is_forcing(choice) or body.get("tool_choice") != "auto":
        return None
    forcing: Json = {"tool_choice": choice, "thinking": _DISABLED}
    if server_tools(body):
        forcing["tools"] = function_tools(body["tools"])
    if not reads_thinking:
        _express_thinking_as_effort(forcing)
    return forcing


def forced_body(body: Json, forcing: Mapping[str, Any], text: str) -> Json:
    """Return the body that forces a tool call after the model has thought and answered in text.

    Args:
        body: The body of the first request.
        forcing: The parameters that force the call.
        text: The text of the first response.
    """
    rest = {name: value for name, value in body.items() if name != "reasoning_effort"}
    turn = {"role": "assistant", "content": text}
    return {**rest, **forcing, "messages": [*body["messages"], turn]}


def _use_json_mode_for_result(body: Json, result_tool: str) -> None:
    """Replace a result tool by JSON mode, which DeepSeek accepts together with thinking."""
    tools = body.pop("tools", [])
    functions = {tool["function"]["name"]: tool["function"] for tool in tools if "function" in tool}
    function = functions[result_tool]
    if others := [tool for tool in tools if tool.get("function") is not function]:
        body["tools"] = others
    body.pop("tool_choice", None)
    description = function.get("description")
    schema = {
        "title": result_tool,
        **({"description": description} if description else {}),
        **(function.get("parameters") or {}),
    }
    body["response_format"] = {"type": "json_schema", "json_schema": {"schema": schema}}


def _is_thinking_requested(body: Json) -> bool:
    return body.get("thinking", _DISABLED) != _DISABLED or "reasoning_effort" in body


def _add_json_instruction(body: Json) -> None:
    """Add an instruction to the prompt if needed: DeepSeek's JSON mode requires the word JSON.

    Chat completions do not support `json_schema`, so its schema is added to the system message.
    https://api-docs.deepseek.com/guides/json_mode
    """
    response_format = body.get("response_format")
    kind = response_format.get("type") if isinstance(response_format, Mapping) else "json_schema"
    if response_format is None or kind == "text":
        # DeepSeek rejects the default beside strict tools when it is sent explicitly.
        body.pop("response_format", None)
        return
    if kind != "json_object":
        schema = _encode_schema(response_format)
        body["response_format"] = {"type": "json_object"}
        _add_to_system_message(
            body, f"Answer with one JSON object that matches this JSON schema:\n{schema}"
        )
    elif not _mentions_json(body["messages"]):
        _add_to_system_message(body, "Answer with one JSON object.")


def _encode_schema(response_format: Any) -> str:
    """Return the schema of a `response_format`: in OpenAI's form, a JSON schema or a class."""
    schema = response_format
    if isinstance(schema, Mapping) and schema.get("type") != "object":
        schema = schema.get("json_schema") if schema.get("type") == "json_schema" else None
    if isinstance(schema, Mapping):
        schema = schema["schema"] if isinstance(schema.get("schema"), Mapping) else schema
    elif callable(schema):
        schema = json_schema_of(schema)
    else:
        msg = (
            "`response_format` must be of the type 'text', 'json_object' or 'json_schema' with the "
            f"schema under 'json_schema', or itself a JSON schema or class, not "
            f"{response_format!r:.200}."
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


def _add_to_system_message(body: Json, text: str) -> None:
    messages = body["messages"]
    first = messages[0] if messages else {}
    if first.get("role") != "system":
        messages.insert(0, {"role": "system", "content": text})
    elif isinstance(first["content"], str):
        first["content"] = f"{first['content']}\n\n{text}"
    else:
        first["content"].append({"type": "text", "text": text})


def needs_beta(body: Json) -> bool:
    """Return whether a request needs a feature that only DeepSeek's beta path has.

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
        msg = "prefix completion excludes `tools`: bind none, or end with another message."
        raise ValueError(msg)


def _apply_strict(body: Json, *, has_beta: bool) -> None:
    if not _has_strict_tools(body):
        return
    obstacle = _find_obstacle_to_strict(body, has_beta=has_beta)
    if obstacle is None:
        try:
            body["tools"] = make_tools_strict(body["tools"])
        except UnsupportedSchemaError as error:
            obstacle = str(error)
        else:
            return
    warn_once(f"{obstacle}: the tools are sent without `strict`.")
    body["tools"] = remove_strict(body["tools"])


def _find_obstacle_to_strict(body: Json, *, has_beta: bool) -> str | None:
    if not has_beta:
        return "strict tools need DeepSeek's beta path, which only 'provider-native' routing has"
    if body.get("response_format") == {"type": "json_object"}:
        return "DeepSeek does not take strict tools in JSON mode"
    return None
