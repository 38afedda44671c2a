"""What Search and Fetch share: the chat model whose settings they use, responses, and errors."""

import os
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from pydantic import BaseModel, Field, ValidationError, model_validator
from typing_extensions import override

from langchain_cf_deepseek._api.web import Count, Localization, search_body
from langchain_cf_deepseek._errors.bodies import has_error
from langchain_cf_deepseek._errors.invalid_requests import invalid_request
from langchain_cf_deepseek._errors.responses import build_error, error_from_response
from langchain_cf_deepseek._errors.rules import Api
from langchain_cf_deepseek._http.stream import parse_body
from langchain_cf_deepseek._http.transport import BodyReader
from langchain_cf_deepseek._settings import first_validation_message
from langchain_cf_deepseek._wire_requests import build_tool_request, tool_url
from langchain_cf_deepseek.chat_models import ChatCloudflareDeepSeek
from langchain_cf_deepseek.data.routings import VARIABLES
from langchain_cf_deepseek.errors import (
    CFDeepSeekAPIError,
    CFDeepSeekContentBlockedError,
    CFDeepSeekError,
    CFDeepSeekFetchError,
    CFDeepSeekInvalidRequestError,
)

_MODEL_SETTINGS = (
    "account_id",
    "gateway_id",
    "api_key",
    "gateway_token",
    "base_url",
    "gateway",
    "timeout",
    "max_retries",
    "default_headers",
    "default_query",
    "http_client",
    "http_async_client",
)
"""The settings of a chat model that apply to Search and Fetch."""

_NATIVE = {"routing": "provider-native", "model": "deepseek-flash"}
"""The only routing with these paths. The model's name is not sent."""


class OnModel(BaseModel):
    """Something that sends requests with the settings of a chat model."""

    _api: ClassVar[Api]

    llm: ChatCloudflareDeepSeek = Field(repr=False)
    """The chat model whose settings and connections are used, on `provider-native` routing."""

    @model_validator(mode="before")
    @classmethod
    def _build_model(cls, fields: Any) -> Any:
        if not isinstance(fields, Mapping):
            return fields
        settings = {name: fields[name] for name in _MODEL_SETTINGS if name in fields}
        rest = {name: value for name, value in fields.items() if name not in settings}
        try:
            return rest | {"llm": _native_model(fields.get("llm"), settings)}
        except ValidationError as error:
            # Not chained: pydantic's error holds the values that it rejects.
            raise ValueError(first_validation_message(error)) from None

    @classmethod
    def of(cls, llm: ChatCloudflareDeepSeek, **fields: Any) -> Self:
        """Return one with the settings and the connections of a chat model.

        Args:
            llm: The model. One on `unified` or `compat` routing gives its account, gateway and
                credentials, for requests on `provider-native` routing.
            **fields: Fields of this class, and settings that differ from the model's.

        Raises:
            pydantic.ValidationError: A field or setting is missing or malformed.
        """
        return cls(llm=llm, **fields)

    @property
    def endpoint(self) -> str:
        """The URL of the requests."""
        return tool_url(self.llm, self._api)

    def _send(self, body: dict[str, Any], read: BodyReader) -> dict[str, Any]:
        request = build_tool_request(self.llm, self._api, body, self.llm.http_client)
        return self.llm._transport.send(request, read)[1]  # noqa: SLF001 - shares its connections

    async def _asend(self, body: dict[str, Any], read: BodyReader) -> dict[str, Any]:
        request = build_tool_request(self.llm, self._api, body, self.llm.http_async_client)
        return (await self.llm._transport.asend(request, read))[1]  # noqa: SLF001 - as above


def _native_model(llm: Any, settings: dict[str, Any]) -> Any:
    """Return `llm`, or a model made from the environment, on `provider-native` with `settings`.

    Raises:
        ValueError: Its `base_url` is the address of another routing, or it is no such model.
    """
    if llm is None:
        routing = os.environ.get(VARIABLES["routing"])
        base_url = os.environ.get(VARIABLES["base_url"])
    elif isinstance(llm, ChatCloudflareDeepSeek):
        routing, base_url = llm.routing, llm.base_url
    else:
        msg = f"`llm` must be a ChatCloudflareDeepSeek, not a {type(llm).__name__}."
        raise ValueError(msg)
    is_native = not routing or routing == _NATIVE["routing"]
    if base_url and not is_native and "base_url" not in settings:
        msg = (
            f"`base_url` (CLOUDFLARE_AI_GATEWAY_BASE_URL) is for routing {routing!r}, which has no "
            "Search and Fetch: pass the `base_url` of `provider-native` routing, which ends before "
            "/v1/tools."
        )
        raise ValueError(msg)
    if llm is None:
        return ChatCloudflareDeepSeek(**_NATIVE, **settings)
    changes = settings if is_native else _NATIVE | settings
    return llm.model_copy(update=changes) if changes else llm


class DeepSeekTool(OnModel, BaseTool):
    """What Search and Fetch have in common as tools."""

    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"

    @override
    def run(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().run(*args, **kwargs)
        except (CFDeepSeekError, ValidationError) as error:
            return self._error_message(error, kwargs.get("tool_call_id"))

    @override
    async def arun(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().arun(*args, **kwargs)
        except (CFDeepSeekError, ValidationError) as error:
            return self._error_message(error, kwargs.get("tool_call_id"))

    def _error_message(
        self, error: CFDeepSeekError | ValidationError, tool_call_id: str | None
    ) -> ToolMessage:
        """Return an error as the result of a model's call, if other arguments can avoid it.

        Raises:
            CFDeepSeekError: The caller is not a model, or other arguments cannot avoid it.
        """
        if isinstance(error, CFDeepSeekError):
            if tool_call_id is None or not _is_about_arguments(error):
                raise error
            message = error.message
        else:
            message = first_validation_message(error)
            if tool_call_id is None:
                # Not chained: pydantic's error holds the values that it rejects.
                raise invalid_request(message) from None
        return ToolMessage(
            f"Error: {message}", name=self.name, tool_call_id=tool_call_id, status="error"
        )


def _is_about_arguments(error: CFDeepSeekError) -> bool:
    """Return whether DeepSeek rejected the arguments of a call."""
    if error.origin != "deepseek":
        return False
    if isinstance(error, CFDeepSeekInvalidRequestError):
        return error.status_code in {400, 422}
    return isinstance(error, CFDeepSeekFetchError | CFDeepSeekContentBlockedError)


class SearchSettings(OnModel):
    """What every search of one tool or retriever asks for, unless a call says otherwise."""

    _api: ClassVar[Api] = "search"

    count: Count = 10
    """How many results, 1 to 50. It does not change the price."""

    localization: Localization = ""
    """The user's IP address, by which DeepSeek localises the results; "" for none."""

    need_content: bool = False
    """Whether each result holds the text of its page in `content`."""

    def _search_body(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        defaults = {name: getattr(self, name) for name in ("count", "localization", "need_content")}
        return search_body(arguments, defaults)


def read_search(response: Any) -> dict[str, Any]:
    """Return the JSON of a response of Search; its `results` are a list of objects, or null.

    Raises:
        CFDeepSeekError: It reports an error, or is not such a response.
    """
    body = _read_object(response)
    results = body.get("results", "missing")
    if isinstance(results, list) and all(isinstance(result, dict) for result in results):
        return body
    if results is None:
        return body
    raise _malformed(response, "`results` is not a list of objects")


def read_page(response: Any) -> dict[str, Any]:
    """Return the JSON of a response of Fetch; its `content` is a text, or null.

    Raises:
        CFDeepSeekError: It reports an error, or is not such a response.
    """
    body = _read_object(response)
    if isinstance(body.get("content", 0), str | None):
        return body
    raise _malformed(response, "`content` is not a text")


def _read_object(response: Any) -> dict[str, Any]:
    body = parse_body(response, response.content)
    if not isinstance(body, dict):
        raise _malformed(response, "it is not a JSON object")
    if has_error(body) or body.get("cloudflare_error"):
        raise error_from_response(response, body=body)
    return body


def _malformed(response: Any, reason: str) -> Exception:
    return build_error(CFDeepSeekAPIError, f"the response is malformed: {reason}", response)
