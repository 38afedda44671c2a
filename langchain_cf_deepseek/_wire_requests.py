"""The HTTP requests of one call, built from the fields of the model and the call's options.

The body is built in `_api/request.py`, URL and credentials in `_routing.py`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import openai
from langchain_core.messages import BaseMessage

from langchain_cf_deepseek._api.request import (
    build_body,
    forcing_parameters,
    needs_beta,
)
from langchain_cf_deepseek._api.server_tools import is_high_safety, server_tools
from langchain_cf_deepseek._errors.invalid_requests import refused_before_sending
from langchain_cf_deepseek._errors.rules import Api
from langchain_cf_deepseek._headers import merge_headers
from langchain_cf_deepseek._http.transport import WireRequest
from langchain_cf_deepseek._models import (
    is_served_by_deepseek,
    profile_of,
    sees_images,
    serves_server_tools,
)
from langchain_cf_deepseek._redaction import is_credential_header
from langchain_cf_deepseek._routing import Endpoint, RouteSettings
from langchain_cf_deepseek._settings import check_timeout
from langchain_cf_deepseek._warnings import warn_once
from langchain_cf_deepseek.gateway import GatewayOptions

if TYPE_CHECKING:
    from langchain_cf_deepseek.chat_models import ChatCloudflareDeepSeek

_NON_BODY_OPTIONS = (
    "extra_headers",
    "extra_query",
    "gateway",
    "result_tool",
    "resume",
    "stream_usage",
    "timeout",
)


def check_settings(llm: "ChatCloudflareDeepSeek", defaults: Mapping[str, Any]) -> None:
    """Check that requests can be built from the fields of a model.

    Args:
        llm: The model.
        defaults: The parameters of its requests.

    Raises:
        ValueError: A field is missing or malformed, or two contradict each other.
    """
    build_request_body(llm, defaults, {}, ())
    merge_headers(llm.default_headers)


def endpoint_of(llm: "ChatCloudflareDeepSeek", model: Any = None) -> Endpoint:
    """Return the endpoint of requests.

    Args:
        llm: The model.
        model: The model name of the call; `None`: the name in `llm`.

    Raises:
        ValueError: A field is missing or malformed.
    """
    name = model or llm.model_name
    if not isinstance(name, str):
        msg = f"`model` must be a string, not {name!r:.200}."
        raise ValueError(msg)  # noqa: TRY004 - the value is what is wrong
    return RouteSettings(
        routing=llm.routing,
        model=name,
        account_id=llm.account_id,
        gateway_id=llm.gateway_id,
        base_url=llm.base_url,
        api_key=llm.api_key,
        gateway_token=llm.gateway_token,
        cloudflare_api_token=llm.cloudflare_api_token,
        has_own_headers=any(map(is_credential_header, llm.default_headers or ())),
    ).endpoint()


def build_request_body(
    llm: "ChatCloudflareDeepSeek",
    defaults: Mapping[str, Any],
    options: Mapping[str, Any],
    messages: Sequence[BaseMessage],
) -> dict[str, Any]:
    """Return the JSON body of a request.

    Args:
        llm: The model.
        defaults: The parameters of its requests.
        options: The options of the call, which override them.
        messages: The conversation.

    Raises:
        ValueError: The request cannot be sent; the message names the field or option.
    """
    model = options.get("model")
    endpoint = endpoint_of(llm, model)
    profile = profile_of(model, routing=llm.routing) if model else llm.profile
    body = build_body(
        defaults,
        {name: options[name] for name in options if name not in _NON_BODY_OPTIONS},
        messages,
        has_beta=endpoint.beta_url is not None,
        sees_images=sees_images(profile),
        result_tool=options.get("result_tool"),
        reads_thinking=endpoint.reads_thinking,
        serves_tools=serves_server_tools(model or llm.model_name),
        is_deepseek=is_served_by_deepseek(model or llm.model_name, routing=llm.routing),
        takes_reminder=not (model or llm.model_name).startswith("@cf/"),
    )
    return {**body, "model": endpoint.model}


def build_wire_request(
    llm: "ChatCloudflareDeepSeek",
    options: Mapping[str, Any],
    payload: Mapping[str, Any],
    http_client: Any,
) -> WireRequest:
    """Return the request of a call.

    Args:
        llm: The model.
        options: The options of the call.
        payload: The body, and options that a subclass adds to it: subclasses of langchain-openai's
            base change requests in `_get_request_payload`, whose result goes to the SDK there.
        http_client: The caller's own HTTP client, if there is one.

    Raises:
        CFDeepSeekInvalidRequestError: An option is malformed.
        ValueError: Likewise.
    """
    body = {name: payload[name] for name in payload if name not in _NON_BODY_OPTIONS}
    body.update(body.pop("extra_body", None) or {})
    options = {
        **options,
        **{name: payload[name] for name in _NON_BODY_OPTIONS if name in payload},
    }
    _check_options(options)
    endpoint = endpoint_of(llm, options.get("model"))
    with refused_before_sending("gateway"):
        gateway = llm.gateway.merge(options.get("gateway"))
    for name in endpoint.ignored_options:
        if getattr(gateway, name) is not None:
            warn_once(f"routing {llm.routing!r} ignores the gateway option `{name}`.")
    path = "/chat/completions"
    beta_url = f"{endpoint.beta_url}{path}" if endpoint.beta_url else None
    return WireRequest(
        url=beta_url if beta_url and needs_beta(body) else f"{endpoint.base_url}{path}",
        body=body,
        **_send_settings(llm, endpoint, gateway, options),
        chunk_timeout=llm.stream_chunk_timeout,
        keep_alive_is_progress=bool(server_tools(body)) or is_high_safety(body),
        http_client=http_client,
        resume=llm.resume if options.get("resume") is None else options["resume"],
        beta_url=beta_url,
        forcing=forcing_parameters(
            options.get("tool_choice"), body, reads_thinking=endpoint.reads_thinking
        ),
    )


def tool_url(llm: "ChatCloudflareDeepSeek", api: Api) -> str:
    """Return the URL of DeepSeek's Search or Fetch; `llm` is on `provider-native` routing."""
    return f"{endpoint_of(llm).tools_url}/{api}"


@refused_before_sending()
def build_tool_request(
    llm: "ChatCloudflareDeepSeek", api: Api, body: dict[str, Any], http_client: Any
) -> WireRequest:
    """Return a request to DeepSeek's Search or Fetch, with the settings of a model.

    Args:
        llm: The model, on `provider-native` routing.
        api: Which of the two.
        body: The JSON body.
        http_client: The caller's own HTTP client, if there is one.

    Raises:
        CFDeepSeekInvalidRequestError: A field of the model is malformed.
    """
    return WireRequest(
        url=tool_url(llm, api),
        body=body,
        api=api,
        **_send_settings(llm, endpoint_of(llm), llm.gateway, {}),
        http_client=http_client,
    )


def _send_settings(
    llm: "ChatCloudflareDeepSeek",
    endpoint: Endpoint,
    gateway: GatewayOptions,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the fields of a `WireRequest` that do not depend on the API."""
    default_retries = openai.DEFAULT_MAX_RETRIES if gateway.max_attempts is None else 0
    return {
        "headers": merge_headers(
            endpoint.headers, llm.default_headers, gateway.headers, options.get("extra_headers")
        ),
        "routing": llm.routing,
        "query": {**(llm.default_query or {}), **(options.get("extra_query") or {})},
        "timeout": options.get("timeout", llm.request_timeout),
        "max_retries": default_retries if llm.max_retries is None else llm.max_retries,
    }


def _check_options(options: Mapping[str, Any]) -> None:
    for name in ("extra_headers", "extra_query"):
        if not isinstance(options.get(name) or {}, Mapping):
            msg = f"`{name}` must be a dict, not a {type(options[name]).__name__}."
            raise ValueError(msg)  # noqa: TRY004 - the value is what is wrong
    check_timeout(options.get("timeout"), "timeout")
    resume = options.get("resume")
    if resume is not None and (type(resume) is not int or resume < 0):
        msg = f"`resume` must be a whole number of at least 0, not {resume!r:.100}."
        raise ValueError(msg)
