"""Settings of the model: environment variables, checks, and arguments that are rejected."""

import difflib
import os
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from langchain_cf_deepseek._http.http_library import library_of
from langchain_cf_deepseek._models import is_default_profile
from langchain_cf_deepseek._redaction import shown
from langchain_cf_deepseek.data.routings import CREDENTIAL_VARIABLES
from langchain_cf_deepseek.gateway import GatewayOptions

# What to do instead, for fields of the parent class that are not in use.
_REFUSED = {
    "async_client": "use `http_async_client`",
    "client": "use `http_client`",
    "context_management": "it needs OpenAI's Responses API, which DeepSeek's chat does not have",
    "http_socket_options": "pass an `http_client` (and `http_async_client`) with the transport",
    "disabled_params": "leave the parameters out",
    "include": "it needs OpenAI's Responses API, which DeepSeek's chat does not have",
    "include_response_headers": 'read response_metadata["cloudflare_gateway"]',
    "openai_api_base": "use `base_url`",
    "openai_api_key": "use `api_key`",
    "openai_organization": "DeepSeek has no organisations",
    "openai_proxy": "set HTTPS_PROXY, or pass an `http_client` (and `http_async_client`)",
    "organization": "DeepSeek has no organisations",
    "reasoning": "use `thinking` and `reasoning_effort`",
    "root_async_client": "use `http_async_client`",
    "root_client": "use `http_client`",
    "tiktoken_model_name": "tokens are counted with DeepSeek's own tokenizer (extra `tokens`)",
    "truncation": "it needs OpenAI's Responses API, which DeepSeek's chat does not have",
    "use_previous_response_id": "it needs OpenAI's Responses API",
    "use_responses_api": "DeepSeek's chat completions are used; there is no other choice",
}

_SEND_IN_EXTRA_BODY = "it has no effect here; use `extra_body` to send a parameter of its name"

# How many bounds a timeout has: connect and read, or write and pool as well.
_BOUND_COUNTS = range(2, 5)

_MAX_USER_ID_BYTES = 512

MAX_TIMEOUT = threading.TIMEOUT_MAX
"""Seconds; no operating system can wait longer."""


_USE_GATEWAY_OPTION = "an option of the gateway: use `gateway={{{!r}: ...}}` or `with_gateway`"
_USE_BIND_TOOLS = "use `bind_tools`"
_ONLY_WORKERS_AI = 'only Workers AI (`@cf/...`) reads it: use `extra_body={{"{}": ...}}` there'
_USE_PROXY_VARIABLE = "set HTTPS_PROXY, or pass an `http_client` (and `http_async_client`)"

# What replaces the arguments of other chat models.
REPLACEMENTS = {
    "account": "use `account_id`",
    "ai_gateway": "use `gateway_id`",
    "api_base": "use `base_url`, or `account_id` and `gateway_id`",
    "api_token": "use `gateway_token`, or `cloudflare_api_token` on `unified`",
    "api_version": "the API has no versions",
    "base": "use `base_url`",
    "base_model": "use `model`",
    "binding": "it needs a Worker; here requests go over HTTP",
    "cf_account_id": "use `account_id`",
    "cf_api_token": "use `gateway_token`, or `cloudflare_api_token` on `unified`",
    "cloudflare_account_id": "use `account_id`",
    "cloudflare_ai_gateway": "use `gateway_id`",
    "cloudflare_api_base": "use `base_url`",
    "config": "pass it to `invoke`",
    "config_prefix": "use `configurable_fields` of the model, with the prefix in each id",
    "configurable_fields": "call `configurable_fields` on the model",
    "custom_llm_provider": "leave it out: this class is the provider",
    "deepseek_api_base": "use `base_url`",
    "deepseek_api_key": "use `api_key`",
    "deployment_name": "use `model`",
    "endpoint": "use `base_url`, which ends before /chat/completions",
    "endpoint_format": "use `routing`",
    "extra_headers": "use `default_headers`",
    "function_call": _USE_BIND_TOOLS,
    "functions": _USE_BIND_TOOLS,
    "headers": "use `default_headers`",
    "http_proxy": _USE_PROXY_VARIABLE,
    "https_proxy": _USE_PROXY_VARIABLE,
    "input": "pass it to `invoke`",
    "max_concurrency": 'pass it with a call: `batch(inputs, {"max_concurrency": 16})`',
    "max_output_tokens": "use `max_tokens`",
    "messages": "pass it to `invoke`",
    "model_id": "use `model`",
    "model_provider": "leave it out: this class is the provider",
    "model_version": "use `model`",
    "num_ctx": "the model's context cannot be set; `max_tokens` bounds the response",
    "num_retries": "use `max_retries`",
    "openai_api_type": "leave it out: this class is the provider",
    "openai_api_version": "the API has no versions",
    "parallel_tool_calls": _USE_BIND_TOOLS,
    "provider": "use `routing`",
    "proxies": _USE_PROXY_VARIABLE,
    "proxy": _USE_PROXY_VARIABLE,
    "repetition_penalty": _ONLY_WORKERS_AI.format("repetition_penalty"),
    "response_format": "use `with_structured_output`, or `bind(response_format=...)`",
    "response_schema": "use `with_structured_output`",
    "schema": "use `with_structured_output`",
    "stream": "use `stream()`, or `streaming=True`",
    "stream_options": "use `stream_usage`",
    "strict": "use `bind_tools(..., strict=True)`",
    "system": "begin the messages with a SystemMessage",
    "system_prompt": "begin the messages with a SystemMessage",
    "thinking_budget": "use `reasoning_effort`",
    "token": "use `gateway_token`, or `cloudflare_api_token` on `unified`",
    "tool_choice": _USE_BIND_TOOLS,
    "tools": _USE_BIND_TOOLS,
    "top_k": _ONLY_WORKERS_AI.format("top_k"),
    "user": "use `user_id`",
    **dict.fromkeys(
        (
            "anthropic_api_key",
            "azure_api_key",
            "cohere_api_key",
            "huggingface_api_key",
            "openrouter_api_key",
            "replicate_api_key",
            "together_ai_api_key",
        ),
        "use `api_key`",
    ),
    **dict.fromkeys(
        (
            "azure_ad_async_token_provider",
            "azure_ad_token",
            "azure_ad_token_provider",
            "azure_deployment",
            "azure_endpoint",
            "validate_base_url",
        ),
        "leave it out: requests go through Cloudflare AI Gateway, not to Azure",
    ),
    **{name: _USE_GATEWAY_OPTION.format(name) for name in GatewayOptions.model_fields},
    **{f"aig_{name}": _USE_GATEWAY_OPTION.format(name) for name in GatewayOptions.model_fields},
    # Milliseconds under both names.
    "aig_request_timeout": _USE_GATEWAY_OPTION.format("request_timeout_ms"),
    "aig_retry_delay": _USE_GATEWAY_OPTION.format("retry_delay_ms"),
    "cf_aig_token": "use `gateway_token`",
    "reject_if_busy": (
        'only Workers AI (`@cf/...`) reads it: use `extra_body={"options": {"rejectIfBusy": True}}`'
    ),
}
"""What to write instead, by name of an argument of the model or of a call."""


def from_env(variable: str, default: str | None = None) -> Callable[[], Any]:
    """Return a factory that reads `variable`; an empty value counts as not set."""
    return lambda: os.environ.get(variable) or default


def secret_from_env(variable: str) -> Callable[[], SecretStr | None]:
    """Return a factory that reads `variable` as a secret."""
    return lambda: SecretStr(value) if (value := os.environ.get(variable)) else None


def output_version_from_env() -> str | None:
    """Read LC_OUTPUT_VERSION; a value for other models in the same process is ignored."""
    version = os.environ.get("LC_OUTPUT_VERSION")
    return version if version in _OUTPUT_VERSIONS else None


_OUTPUT_VERSIONS = {"v0", "v1"}


def _check_output_version(value: str | None) -> str | None:
    if value is not None and value not in _OUTPUT_VERSIONS:
        msg = "`output_version` must be 'v0' or 'v1'; others need OpenAI's Responses API."
        raise ValueError(msg)
    return value


def _check_user_id(value: str | None) -> str | None:
    if value is not None and len(value.encode()) > _MAX_USER_ID_BYTES:
        msg = f"`user_id` must be at most {_MAX_USER_ID_BYTES} bytes."
        raise ValueError(msg)
    return value


OutputVersion = Annotated[str | None, AfterValidator(_check_output_version)]
UserId = Annotated[str | None, AfterValidator(_check_user_id)]


def check_arguments(
    arguments: Mapping[str, Any], known: Collection[str], unused: Mapping[str, FieldInfo]
) -> None:
    """Check that every argument has an effect.

    Args:
        arguments: The arguments, by name.
        known: The names of all fields, aliases included.
        unused: The fields that nothing reads, aliases included; only their defaults are accepted,
            which copying a model passes.

    Raises:
        ValueError: An argument has no effect; the message names it and what to do instead.
    """
    for name, value in arguments.items():
        if name in unused or name in _REFUSED:
            if value and not (name in unused and _is_default(unused[name], value)):
                hint = _REFUSED.get(name) or REPLACEMENTS.get(name, _SEND_IN_EXTRA_BODY)
                msg = f"`{name}` is not for this model: {hint}."
                raise ValueError(msg)
        elif name not in known and name in REPLACEMENTS:
            msg = f"`{name}` is not an argument of this model: {REPLACEMENTS[name]}."
            raise ValueError(msg)
        elif name not in known:
            near = difflib.get_close_matches(name, set(known) - unused.keys(), n=1)
            hint = f"did you mean `{near[0]}`?" if near else "use `extra_body` to send it."
            msg = f"unknown argument `{name}`: {hint}"
            raise ValueError(msg)


def _is_default(field: FieldInfo, value: Any) -> bool:
    return bool(value == field.get_default(call_default_factory=True))


def check_timeout(timeout: Any, name: str) -> None:
    """Check that a timeout is one that a socket can wait for.

    Args:
        timeout: Seconds, a (connect, read) pair, a `Timeout` of the HTTP library, or `None`.
        name: Its name in an error message.

    Raises:
        ValueError: It is none of these, or infinite, NaN or negative.
    """
    bounds = timeout.as_dict().values() if hasattr(timeout, "as_dict") else timeout
    if not isinstance(timeout, tuple) and bounds is timeout:
        bounds = (timeout, timeout)
    if len(bounds) not in _BOUND_COUNTS or not all(map(_is_valid_timeout, bounds)):
        msg = (
            f"`{name}` must be seconds of at least 0, a (connect, read) pair or a `Timeout` of the "
            f"HTTP library, each bound finite or None, not {shown(timeout)}."
        )
        raise ValueError(msg)


def _is_valid_timeout(value: Any) -> bool:
    if value is None:
        return True
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value <= MAX_TIMEOUT


def check_http_client(client: Any, *, is_async: bool) -> None:
    """Check that a client is one of the HTTP library, sync or async as required.

    Raises:
        ValueError: It is not.
    """
    kind = "AsyncClient" if is_async else "Client"
    if client is not None and not isinstance(client, getattr(library_of(type(client)), kind)):
        msg = f"must be an `httpx.{kind}`, not {type(client).__name__}."
        raise ValueError(msg)


def first_validation_message(error: ValidationError, named: str = "") -> str:
    """Return the message of the first fault that pydantic found, without pydantic's decoration.

    Args:
        error: The error.
        named: What was validated, named before the field.
    """
    first = error.errors(include_input=False, include_url=False)[0]
    message = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
    where = ".".join(filter(None, [named, *map(str, first["loc"])]))
    if not where or f"`{where}`" in message:
        return f"{message}."
    return f"`{where}`: {message}."


def hide_secrets(
    arguments: dict[str, Any],
    known: Collection[str],
    secret: Collection[str] = CREDENTIAL_VARIABLES,
) -> None:
    """Wrap the `secret` among `arguments` as `SecretStr` in place.

    So are unknown ones: a name that is about to be rejected can be a misspelt credential.
    """
    for name, value in arguments.items():
        is_hidden = name in secret or name in _REFUSED or name not in known
        if is_hidden and isinstance(value, str):
            arguments[name] = SecretStr(value)
    if isinstance(headers := arguments.get("default_headers"), Mapping):
        arguments["default_headers"] = {
            name: SecretStr(value) if isinstance(value, str) else value
            for name, value in headers.items()
        }


def drop_default_profile(arguments: dict[str, Any]) -> None:
    """Drop a default profile, which a copy passes: the copy can be of another model."""
    if arguments.get("profile") and is_default_profile(arguments["profile"]):
        del arguments["profile"]
