"""The chat model: its fields, and LangChain's override points.

Requests are built in `_wire_requests.py` and `_api`, sent in `_http`, and their responses read in
`_api`.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import cache
from hashlib import sha256
from operator import is_
from typing import Any, Literal, Self

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
    Callbacks,
)
from langchain_core.language_models import BaseChatModel, LanguageModelInput, ModelProfile
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult, LLMResult
from langchain_core.prompt_values import ChatPromptValue, PromptValue
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool
from langchain_core.utils import get_pydantic_field_names
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_openai.chat_models.base import BaseChatOpenAI
from pydantic import (
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from typing_extensions import override

from langchain_cf_deepseek._api.assistant_messages import MODEL_PROVIDER
from langchain_cf_deepseek._api.json_schemas import described_tool, valid_tool_name
from langchain_cf_deepseek._api.messages import make_traceable
from langchain_cf_deepseek._api.response import ResponseReader
from langchain_cf_deepseek._api.server_blocks import register
from langchain_cf_deepseek._api.server_tools import (
    check_server_tools,
    function_tools,
    is_server_tool,
    normalize_tool,
)
from langchain_cf_deepseek._api.structured_output import RawAndParsed, parser_of
from langchain_cf_deepseek._errors.callbacks import ReportedStream, message_traced, usage_reported
from langchain_cf_deepseek._errors.invalid_requests import refused_before_sending
from langchain_cf_deepseek._headers import merge_headers
from langchain_cf_deepseek._http.transport import Transport
from langchain_cf_deepseek._models import profile_of
from langchain_cf_deepseek._redaction import construct
from langchain_cf_deepseek._resumption import RequestSequence
from langchain_cf_deepseek._settings import (
    MAX_TIMEOUT,
    OutputVersion,
    UserId,
    check_arguments,
    check_http_client,
    check_timeout,
    drop_default_profile,
    from_env,
    hide_secrets,
    output_version_from_env,
    secret_from_env,
)
from langchain_cf_deepseek._version import __version__
from langchain_cf_deepseek._wire_requests import (
    build_request_body,
    build_wire_request,
    check_settings,
    endpoint_of,
)
from langchain_cf_deepseek.data.routings import (
    CREDENTIAL_VARIABLES,
    DEFAULT_ROUTING,
    VARIABLES,
    Routing,
)
from langchain_cf_deepseek.gateway import GatewayOptions

register()

USED_PARENT_FIELDS = frozenset(
    {
        "default_headers",
        "default_query",
        "extra_body",
        "frequency_penalty",
        "http_async_client",
        "http_client",
        "logit_bias",
        "logprobs",
        "max_retries",
        "max_tokens",
        "model_kwargs",
        "model_name",
        "n",
        "presence_penalty",
        "reasoning_effort",
        "request_timeout",
        "seed",
        "stop",
        "stream_chunk_timeout",
        "stream_usage",
        "streaming",
        "temperature",
        "top_logprobs",
        "top_p",
    }
)
"""The fields of `BaseChatOpenAI` that have an effect here.

All others are rejected, those that a newer version adds too: the code that would read them is
replaced. Fields of LangChain's `BaseChatModel`, whose code is in use, are all accepted.
"""


@cache
def _unused_fields(model_class: type[BaseChatOpenAI]) -> dict[str, FieldInfo]:
    """Return the inherited fields that nothing reads, by name and by alias."""
    inherited = BaseChatOpenAI.model_fields.keys() - BaseChatModel.model_fields.keys()
    fields = {name: model_class.model_fields[name] for name in inherited - USED_PARENT_FIELDS}
    return fields | {field.alias: field for field in fields.values() if field.alias}


class ChatCloudflareDeepSeek(BaseChatOpenAI):
    """DeepSeek's chat models through Cloudflare AI Gateway.

    Setup:
        Install the package and set the environment variables of your routing; the fields below
        name the variable of each, and say which credential each routing sends.

        ```bash
        pip install langchain-cf-deepseek
        export CLOUDFLARE_ACCOUNT_ID=... CLOUDFLARE_GATEWAY_ID=... DEEPSEEK_API_KEY=...
        ```

    Key init args, completion params:
        model:
            DeepSeek's bare name, on every routing.
        thinking, reasoning_effort:
            Whether, and how much, the model reasons before it answers.
        max_tokens, temperature, top_p, stop:
            As in DeepSeek's API; `temperature` has no effect while the model reasons.

    Key init args, client params:
        account_id, gateway_id, routing, base_url:
            Which gateway, and its endpoint.
        api_key, gateway_token, cloudflare_api_token:
            The three credentials; none is ever sent in place of another.
        gateway:
            Cache, tags, retries and all other options of the gateway; see `GatewayOptions`.
        timeout, max_retries, default_headers, http_client, http_async_client:
            As in LangChain's other chat models.

    Instantiate:
        ```python
        from langchain_cf_deepseek import ChatCloudflareDeepSeek

        llm = ChatCloudflareDeepSeek(
            model="deepseek-flash",
            gateway={"cache_ttl": 3600, "metadata": {"team": "search"}},
        )
        ```

    Invoke:
        ```python
        message = llm.invoke("What is 6 * 7?")
        print(message.text)
        print(message.additional_kwargs["reasoning_content"])
        ```

        ```text
        6 * 7 = 42
        The user says: "What is 6 * 7?" No tool is needed.
        ```

    Stream:
        ```python
        for chunk in llm.stream("What is 6 * 7?"):
            print(chunk.text, end="|")
        ```

    Async:
        ```python
        await llm.ainvoke("What is 6 * 7?")
        await llm.abatch(["What is 6 * 7?", "What is 6 * 8?"])
        async for chunk in llm.astream("What is 6 * 7?"):
            print(chunk.text, end="|")
        ```

    Tool calling:
        ```python
        def get_weather(city: str) -> str:
            '''Get the weather of a city.'''
            return f"18 degrees in {city}"


        called = llm.bind_tools([get_weather]).invoke("What is the weather in Paris?")
        print(called.tool_calls[0]["name"], called.tool_calls[0]["args"])
        ```

        ```text
        get_weather {'city': 'Paris'}
        ```

    Structured output:
        ```python
        from pydantic import BaseModel


        class Person(BaseModel):
            name: str
            born: int


        print(llm.with_structured_output(Person).invoke("Ada Lovelace was born in 1815."))
        ```

        ```text
        name='Ada Lovelace' born=1815
        ```

    Token usage:
        ```python
        usage = message.usage_metadata
        print(usage["input_tokens"], usage["output_tokens"], usage["output_token_details"])
        ```

        ```text
        49 27 {'reasoning': 19}
        ```

    Response metadata:
        ```python
        print(message.response_metadata["model_name"])
        print(message.response_metadata["cloudflare_gateway"]["cache_status"])  # and log_id, ...
        ```

        ```text
        deepseek-flash
        MISS
        ```

    Raises:
        pydantic.ValidationError: A setting is missing or malformed; one sentence names its field
            and environment variable.
        CFDeepSeekError: A request failed; see `langchain_cf_deepseek.errors`.

    A request that fails with a transient error is retried up to `max_retries` times (default 2);
    with `max_attempts` of the gateway set, only the gateway retries. Retry middleware multiplies
    both.
    """

    model_config = ConfigDict(populate_by_name=True, hide_input_in_errors=True)

    model_name: str = Field(alias="model", min_length=1)
    """Which model: DeepSeek's bare name (`deepseek-flash`), with or without `deepseek/`.

    On `unified` and `compat` routing also `dynamic/<route>`, `@cf/...`, `custom-<slug>/...` and
    `cloudflare/auto`.
    """

    routing: Routing = Field(
        default_factory=from_env(VARIABLES["routing"], DEFAULT_ROUTING),
        validate_default=True,
    )
    """Which Cloudflare endpoint requests use; variable CLOUDFLARE_AI_GATEWAY_ROUTING.

    `provider-native` (the default) is the gateway's own host and DeepSeek's whole API; `unified`
    is Cloudflare's current endpoint for all models; `compat` is its older one.
    """

    account_id: str | None = Field(default_factory=from_env(VARIABLES["account_id"]))
    """Cloudflare account, 32 lower-case hexadecimal digits; variable CLOUDFLARE_ACCOUNT_ID."""

    gateway_id: str | None = Field(default_factory=from_env(VARIABLES["gateway_id"]))
    """Name of the gateway; environment variable CLOUDFLARE_GATEWAY_ID.

    Optional on `unified` routing, where Cloudflare then uses the account's `default` gateway.
    """

    api_key: SecretStr | None = Field(default_factory=secret_from_env(VARIABLES["api_key"]))
    """DeepSeek key, sent on `provider-native` and `compat`; variable DEEPSEEK_API_KEY.

    Without it the gateway uses a key stored in it (BYOK), and no `Authorization` header is sent.
    https://developers.cloudflare.com/ai-gateway/configuration/bring-your-own-keys/
    """

    gateway_token: SecretStr | None = Field(
        default_factory=secret_from_env(VARIABLES["gateway_token"])
    )
    """Cloudflare token with the permission AI Gateway Run; environment variable CF_AIG_TOKEN.

    Sent as `cf-aig-authorization` on `provider-native` and `compat`, nowhere else.
    """

    cloudflare_api_token: SecretStr | None = Field(
        default_factory=secret_from_env(VARIABLES["cloudflare_api_token"])
    )
    """Cloudflare token with the permission Workers AI Read; variable CLOUDFLARE_API_TOKEN.

    Sent as `Authorization` on `unified`, nowhere else.
    """

    base_url: str | None = Field(default_factory=from_env(VARIABLES["base_url"]))
    """Replaces the URL up to, not including, `/chat/completions`: custom domain, local gateway.

    Environment variable CLOUDFLARE_AI_GATEWAY_BASE_URL.
    """

    gateway: GatewayOptions = Field(default_factory=GatewayOptions)
    """Options of the gateway for every request; also per call, and by `with_gateway`."""

    thinking: Literal["enabled", "disabled"] | None = None
    """Whether the model reasons before it answers; `None` is DeepSeek's default: on.

    Also per call: `llm.invoke(..., thinking="disabled")`.
    https://api-docs.deepseek.com/guides/thinking_mode
    """

    reasoning_effort: str | None = None
    """How much the model reasons: `low`, `high` (DeepSeek's default), `max`, or `none`.

    Also per call. https://api-docs.deepseek.com/guides/thinking_mode
    """

    safety_check: Literal["low", "high"] | None = None
    """How strictly DeepSeek reviews input and output: `high`, or `low` (the same as `None`).

    Also per call. A review that fails raises `CFDeepSeekContentBlockedError`, on a stream after its
    text, which `partial` holds. With `high` no tool call can be forced. Servers of other providers
    ignore it. https://api-docs.deepseek.com/guides/safety
    """

    title: bool | None = None
    """Whether the model also writes a title of the conversation; also per call.

    It is in `response_metadata["title"]`, which is absent where none was written.
    https://api-docs.deepseek.com/guides/conversation_title
    """

    user_id: UserId = None
    """Your user, at most 512 bytes: DeepSeek separates cache and scheduling by user.

    https://api-docs.deepseek.com/quick_start/rate_limit
    """

    max_tokens: int | None = Field(default=None, alias="max_completion_tokens")
    """Upper bound of completion tokens, reasoning included.

    OpenAI's newer name `max_completion_tokens`, which DeepSeek ignores, is sent as this one.
    """

    stream_usage: bool | None = True
    """Whether a stream ends with its token usage."""

    stream_chunk_timeout: float | None = Field(
        default=600.0, ge=0, le=MAX_TIMEOUT, allow_inf_nan=False
    )
    """Seconds of silence after which a stream fails; `None` or 0: no bound but `timeout`.

    Silence is: no byte at all, or, after the first chunk, only keep-alive comments. Before the
    first chunk they mean that the request is queued, which DeepSeek ends after ten minutes; the
    default is as long. After 15 minutes of nothing but comments a stream fails as well.
    """

    resume: int = Field(default=0, ge=0, strict=True)
    """How often a stream that breaks after it has begun is continued; also per call.

    For `stream`, `astream`, and `invoke` with `streaming=True`. A stream breaks when it is cut,
    reset or silent, or reports a retryable failure. Its reasoning and text so far are sent back as
    a prefix (https://api-docs.deepseek.com/guides/chat_prefix_completion), after a delay as before
    a retry, and the same stream goes on; prompt and prefix are billed again. If nothing was
    received yet, the request is sent again.

    Not continued, because prefix completion excludes them: declared tools (unless `tool_choice` is
    "none"), tool calls in the conversation, JSON mode, other routings than `provider-native`. The
    error is then raised as without `resume`, with a note of the reason. So it is when the
    continuation itself is rejected: that Cloudflare forwards the beta path is not documented.

    `max_tokens` of the continuation is reduced by the tokens received, counted by
    `get_num_tokens`: exact with the extra `tokens`, else an estimate. The gateway's cache is
    skipped, and does not store the continuation.

    `response_metadata["resumed"]` lists the breaks: `error` (class), `message`,
    `reasoning_characters` and `text_characters` received until then, `usage` of the broken part
    (`None`: it reported none, though it is billed; `usage_metadata` is the sum of what was
    reported), `log_id` of the broken part and `next_log_id` of the one that followed.
    """

    default_headers: Mapping[str, str | SecretStr] | None = Field(  # type: ignore[assignment]
        # The parent's type has no secrets, but its code does not read the field here.
        default=None,
        exclude=True,
        repr=False,
    )
    """Further headers of every request, for example those of Cloudflare Access.

    A value may be a `SecretStr`. Never dumped or traced.
    """

    output_version: OutputVersion = Field(default_factory=output_version_from_env)
    """Form of a message's content: text (`v0`) or blocks (`v1`); variable LC_OUTPUT_VERSION."""

    # Not in use: the parent's definitions read OpenAI's environment variables.
    openai_api_key: None = Field(default=None, exclude=True, repr=False)
    openai_api_base: None = Field(default=None, exclude=True, repr=False)
    openai_organization: None = Field(default=None, exclude=True, repr=False)
    openai_proxy: None = Field(default=None, exclude=True, repr=False)

    _transport: Transport = PrivateAttr(default_factory=Transport)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Create a model from its fields; see the class.

        Raises:
            pydantic.ValidationError: A field is missing or malformed; the error contains no value.
        """
        construct(super().__init__, *args, **kwargs)

    @model_validator(mode="before")
    @classmethod
    @override
    def build_extra(cls, values: dict[str, Any]) -> Any:
        """Reject arguments that have no effect here, or that DeepSeek ignores."""
        # A validation error keeps its input, which must hold no readable credential.
        known = get_pydantic_field_names(cls)
        hide_secrets(values, known)
        drop_default_profile(values)
        check_arguments(values, known, _unused_fields(cls))
        return values

    @field_validator("gateway", mode="before")
    @classmethod
    def _convert_gateway(cls, value: Any) -> Any:
        return GatewayOptions() if value is None else value

    @field_validator("request_timeout", mode="before")
    @classmethod
    def _convert_timeout(cls, value: Any) -> Any:
        # JSON has no tuples: a (connect, read) pair is loaded as a list.
        timeout = tuple(value) if isinstance(value, list) else value
        check_timeout(timeout, "timeout")
        return timeout

    @field_validator("http_client", "http_async_client")
    @classmethod
    def _check_http_client(cls, value: Any, field: ValidationInfo) -> Any:
        check_http_client(value, is_async=field.field_name == "http_async_client")
        return value

    @model_validator(mode="after")
    @override
    def validate_environment(self) -> Self:
        """Check the settings before the first request.

        Replaces the parent's validator of this name, which reads OpenAI's and LangSmith's
        variables.
        """
        check_settings(self, self._default_params)
        return self

    @model_validator(mode="after")
    def _set_cf_deepseek_version(self) -> Self:
        self._add_version("langchain-cf-deepseek", __version__)
        return self

    @property
    def endpoint(self) -> str:
        """The complete URL of chat requests."""
        return f"{endpoint_of(self).base_url}/chat/completions"

    def with_gateway(self, **options: Any) -> Self:
        """Return a copy of this model with further options of the gateway.

        Args:
            **options: Fields of `GatewayOptions`; metadata is merged key by key.
        """
        return self.model_copy(update={"gateway": self.gateway.merge(options)})

    @override
    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with the fields in `update`, checked like the arguments of a new model.

        The copy shares the connections of this model, unless it is deep.
        """
        if not update:
            return super().model_copy(deep=deep)
        fields = type(self).model_fields
        name_of = {field.alias: name for name, field in fields.items() if field.alias}
        changes = {name_of.get(name, name): value for name, value in update.items()}
        checked = type(self)(**{name: getattr(self, name) for name in fields} | changes)
        changes = {name: getattr(checked, name) for name in changes}
        if "profile" not in changes:
            changes["profile"] = checked.profile
        copy = super().model_copy(update=changes, deep=deep)
        copy.__dict__.pop("_serialized", None)  # LangChain's cache of the fields before
        return copy

    def close(self) -> None:
        """Close the connections of sync calls, shared with copies; the next call opens new ones."""
        self._transport.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop; the next call opens new ones."""
        await self._transport.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @override
    def generate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> LLMResult:
        with usage_reported(callbacks, self.callbacks):
            return super().generate(messages, stop, callbacks, **kwargs)

    @override
    async def agenerate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> LLMResult:
        with usage_reported(callbacks, self.callbacks):
            return await super().agenerate(messages, stop, callbacks, **kwargs)

    @override
    def stream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[AIMessageChunk]:
        with usage_reported((config or {}).get("callbacks"), self.callbacks):
            yield from super().stream(input, config, **kwargs)

    @override
    def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[AIMessageChunk]:
        chunks = super().astream(input, config, **kwargs)
        return ReportedStream(chunks, (config or {}).get("callbacks"), self.callbacks)

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        options = {**kwargs, "stream": False}
        reader, requests = self._start(messages, stop, options, self.http_client)
        with message_traced(run_manager), reader.attach_partial_message():
            for request in requests:
                response, completion = self._transport.send(request)
                reader.start_response(response, request.body, forcing=request.forcing)
                reader.read(completion)
            return reader.result()

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        options = {**kwargs, "stream": False}
        reader, requests = self._start(messages, stop, options, self.http_async_client)
        with message_traced(run_manager), reader.attach_partial_message():
            for request in requests:
                response, completion = await self._transport.asend(request)
                reader.start_response(response, request.body, forcing=request.forcing)
                reader.read(completion)
            return reader.result()

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        options = {**kwargs, "stream": True}
        reader, requests = self._start(messages, stop, options, self.http_client)
        for request in requests:
            with (
                reader.attach_partial_message(),
                requests.resumed_if_broken(),
                self._transport.stream(request) as (response, events),
            ):
                reader.start_response(response, request.body, forcing=request.forcing)
                for event in events:
                    if chunk := reader.chunk(event):
                        if run_manager:
                            run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk
        if chunk := reader.closing_chunk():
            yield chunk
        reader.check()

    @override
    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        options = {**kwargs, "stream": True}
        reader, requests = self._start(messages, stop, options, self.http_async_client)
        async for request in requests:
            with reader.attach_partial_message(), requests.resumed_if_broken():
                async with self._transport.astream(request) as (response, events):
                    reader.start_response(response, request.body, forcing=request.forcing)
                    async for event in events:
                        if chunk := reader.chunk(event):
                            if run_manager:
                                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                            yield chunk
        if chunk := reader.closing_chunk():
            yield chunk
        reader.check()

    @override
    @refused_before_sending()
    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        parallel_tool_calls: bool | None = None,
        strict: bool | None = None,
        response_format: Any = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return this model with `tools` that it can call.

        Args:
            tools: Functions, Pydantic classes, LangChain tools or their JSON schemas, and server
                tools, which `deepseek-flash` executes when it decides to:
                `{"type": "deepseek_web_search"}`, `{"type": "deepseek_read_url"}`.
            tool_choice: The name of the tool to call, `"any"` for one of them, `"auto"`, `"none"`.
            parallel_tool_calls: Sent, but DeepSeek ignores it.
            strict: Constrain tool calls to the schemas; needs DeepSeek's beta path, which only
                `provider-native` routing has, and no `response_format`.
            response_format: A schema for the answer, sent in the system text with JSON mode.
            **kwargs: Parameters of each request.

        How chat completions carry the calls, results and citations of server tools is not
        published: blocks in `content`, under another key (kept in `additional_kwargs["deepseek"]`)
        and in `tool_calls` are kept, sent back unchanged, and shown in `content_blocks`.
        `response_metadata["server_tool_use"]` counts what is billed. Whether a function tool can be
        forced beside them is not published either: if the response is text, a second request
        without them forces it. https://api-docs.deepseek.com/guides/web_tools

        Raises:
            CFDeepSeekInvalidRequestError: A tool has no schema that can be sent, is the server tool
                of another provider, or is a server tool that is forced or `strict`.
        """
        parameters = {"tool_choice": tool_choice, "parallel_tool_calls": parallel_tool_calls}
        kwargs |= {name: value for name, value in parameters.items() if value is not None}
        # Schemas are made strict when they are sent: LangChain would close open objects in them.
        tools = list(map(normalize_tool, tools))
        functions = function_tools(tools)
        bound = super().bind_tools(functions, **kwargs)
        is_strict = strict if response_format is None else False
        converted = iter(bound.kwargs["tools"])  # type: ignore[attr-defined]
        described = [
            tool
            if is_server_tool(tool)
            else described_tool(tool, next(converted), strict=is_strict)
            for tool in tools
        ]
        check_server_tools({**bound.kwargs, "tools": described}, serves_tools=True)  # type: ignore[attr-defined]
        bound = bound.bind(tools=described)
        if response_format is None:
            return bound
        # Agents request strict tools together with a schema for the answer from every OpenAI-like
        # model; OpenAI requires that, and DeepSeek rejects it.
        return bound.bind(response_format=response_format)

    @override
    @refused_before_sending()
    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: Literal["function_calling", "json_mode", "json_schema"] = "function_calling",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Return this model with results that match `schema`.

        Args:
            schema: A Pydantic class, a `TypedDict` class, a JSON schema or a tool.
            method: `function_calling` (the default) forces a tool call, which DeepSeek accepts only
                without thinking: unless `thinking` or `reasoning_effort` is set, on the model or
                for the call, thinking is turned off for the request. If one of them is set, JSON
                mode is used instead of the tool, with the schema in the system text, so that the
                response has both reasoning and result. So it is with `safety_check="high"` and
                beside server tools.
                `json_mode` requests JSON without a schema. `json_schema` is not served by
                DeepSeek's chat, and means `function_calling`.
            include_raw: Return a dict of `raw` (the message), `parsed` and `parsing_error`, which
                also holds the error of a response that is not a valid completion.
            strict: Constrain the tool call to the schema; needs DeepSeek's beta path, which only
                `provider-native` routing has.
            **kwargs: Parameters of each request; `tools`: further tools that the model can call
                while it thinks, and with `json_mode`.

        Raises:
            CFDeepSeekMaxTokensError: When called: the result is truncated by `max_tokens`.
            CFDeepSeekAPIError: When called: the model answered in text instead.
            langchain_core.exceptions.OutputParserException: When called: the result does not fit
                the schema; `pydantic.ValidationError` for arguments that do not fit a class.

        https://api-docs.deepseek.com/guides/tool_calls and /guides/json_mode
        """
        tools = kwargs.pop("tools", ())
        if method == "json_schema":
            method = "function_calling"
        traced = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
        bound: Runnable[LanguageModelInput, AIMessage]
        if method == "json_mode":
            json_mode = {"response_format": {"type": "json_object"}, **kwargs}
            if tools:
                json_mode["tools"] = [
                    tool if is_server_tool(tool) else convert_to_openai_tool(tool)
                    for tool in map(normalize_tool, tools)
                ]
            bound = self.bind(ls_structured_output_format=traced, **json_mode)
            parser = parser_of(schema, {}, None)
        elif method != "function_calling" or schema is None:
            msg = (
                "`method` must be 'function_calling', 'json_mode' or 'json_schema', with a "
                f"`schema` unless it is 'json_mode', not {method!r} with {schema!r:.100}."
            )
            raise ValueError(msg)
        else:
            tool = described_tool(schema, convert_to_openai_tool(schema), strict=strict)
            function = tool["function"]
            name = valid_tool_name(function["name"])
            bound = self.bind_tools(
                [{**tool, "function": {**function, "name": name}}, *tools],
                tool_choice=name,
                strict=strict,
                result_tool=name,
                ls_structured_output_format=traced,
                **kwargs,
            )
            parser = parser_of(schema, function.get("parameters") or {}, name)
        return RawAndParsed(llm=bound, parser=parser) if include_raw else bound | parser

    @override
    def get_token_ids(self, text: str) -> list[int]:
        """Return the ids of DeepSeek's tokens of `text`, computed on this machine.

        Raises:
            ImportError: The extra `tokens`, which brings DeepSeek's tokenizer, is not installed.
        """
        from langchain_cf_deepseek._tokens import token_ids  # noqa: PLC0415  # seldom used

        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        return token_ids(text)

    @override
    def get_num_tokens(self, text: str) -> int:
        """Return the number of tokens of `text`, counted on this machine.

        Exact with the extra `tokens`, else by DeepSeek's rule of thumb: 0.3 token per English
        character, 0.6 per Chinese character.
        """
        from langchain_cf_deepseek._tokens import count_text  # noqa: PLC0415  # seldom used

        if self.custom_get_token_ids is not None:
            return len(self.custom_get_token_ids(text))
        return count_text(text)

    @override
    def get_num_tokens_from_messages(
        self,
        messages: Sequence[BaseMessage],
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool] | None = None,
        *,
        allow_fetching_images: bool = True,
    ) -> int:
        """Return the number of tokens of a request's prompt, counted on this machine.

        With the extra `tokens` the count is exact: the prompt that DeepSeek renders from the body
        that `invoke` sends. Without it, DeepSeek's rule of thumb is applied to the text of messages
        and tools: compared with the exact count +40 % for English prose, +23 % for code, -2 % for
        Chinese, -28 % for JSON and -35 % for a history of tool calls, so leave room. Of a request
        that DeepSeek rejects, the text is counted. Never raises, and never uses the network.

        Args:
            messages: The conversation.
            tools: The tools that you bind: without tools, DeepSeek leaves the reasoning of earlier
                turns out of the prompt.
            allow_fetching_images: Not used: an image counts 1024 tokens, DeepSeek's upper bound,
                and is never fetched. So does a file by its id, with a warning: only DeepSeek knows
                how many tokens a parsed document has.
        """
        from langchain_cf_deepseek._tokens import count_messages  # noqa: PLC0415

        return count_messages(
            messages,
            tools or (),
            request=None if self.custom_get_token_ids else self._get_request_payload,
            count_text=self.get_num_tokens,
        )

    @override
    @refused_before_sending()
    def _convert_input(self, model_input: LanguageModelInput) -> PromptValue:
        prompt = super()._convert_input(model_input)
        if not isinstance(prompt, ChatPromptValue):
            return prompt
        messages = make_traceable(prompt.messages)
        unchanged = all(map(is_, messages, prompt.messages))
        return prompt if unchanged else ChatPromptValue(messages=messages)

    @refused_before_sending()
    def _start(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        options: dict[str, Any],
        http_client: Any,
    ) -> tuple[ResponseReader, RequestSequence]:
        """Return the requests of a call, and the reader of their responses."""
        payload = self._get_request_payload(messages, stop=stop, **options)
        first = build_wire_request(self, options, payload, http_client)
        reader = ResponseReader(as_blocks=self.output_version == "v1")
        return reader, RequestSequence(first, reader, self.get_num_tokens)

    @override
    def _get_request_payload(
        self, input_: LanguageModelInput, *, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Return the JSON body of a request, on every path."""
        if isinstance(input_, list) and all(isinstance(given, BaseMessage) for given in input_):
            messages = input_
        else:
            messages = self._convert_input(input_).to_messages()
        if stop:
            kwargs["stop"] = stop
        if kwargs.get("stream") and self._should_stream_usage(**kwargs):
            kwargs["stream_options"] = {"include_usage": True}
        return build_request_body(self, self._default_params, kwargs, messages)

    @property
    @override
    def _default_params(self) -> dict[str, Any]:
        own = {
            "safety_check": self.safety_check,
            "thinking": self.thinking,
            "title": self.title or None,
            "user_id": self.user_id,
        }
        return {**own, **super()._default_params}

    @override
    def _use_responses_api(self, payload: dict[str, Any]) -> bool:
        return False

    @override
    def _resolve_model_profile(self) -> ModelProfile | None:
        return profile_of(self.model_name, routing=self.routing)

    @property
    @override
    def _identifying_params(self) -> dict[str, Any]:
        # Part of the key of LangChain's cache: gateways can answer differently.
        return {
            **super()._identifying_params,
            "routing": self.routing,
            "account_id": self.account_id,
            "gateway_id": self.gateway_id,
            "base_url": self.base_url,
        }

    @override
    @refused_before_sending()
    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """Return the key of this model and call in LangChain's cache.

        Built on each call, because a model can change. Headers can affect the response and can be
        credentials, so the key holds a digest of them.
        """
        headers = merge_headers(self.default_headers, kwargs.get("extra_headers"))
        sent = sorted((name.lower(), str(value)) for name, value in headers.items())
        key = {
            **self._identifying_params,
            **self._get_invocation_params(stop=stop, **kwargs),
            "gateway": self.gateway.merge(kwargs.get("gateway")).headers,
            "headers": sha256(json.dumps(sent).encode()).hexdigest(),
        }
        return str(sorted(key.items()))

    @override
    def _get_invocation_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Return the parameters that tracers record, with header values masked."""
        params = super()._get_invocation_params(stop=stop, **kwargs)
        for name in ("extra_headers", "extra_query"):
            if isinstance(params.get(name), Mapping):
                params[name] = dict.fromkeys(params[name], "**********")
        if isinstance(gateway := params.get("gateway"), GatewayOptions):
            params["gateway"] = gateway.model_dump(exclude_unset=True)
        return params

    @override
    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return {
            **super()._get_ls_params(stop=stop, **kwargs),
            "ls_provider": MODEL_PROVIDER,
        }

    @property
    @override
    def _llm_type(self) -> str:
        return "cloudflare-deepseek-chat"

    @classmethod
    @override
    def is_lc_serializable(cls) -> bool:
        return True

    @property
    @override
    def lc_secrets(self) -> dict[str, str]:
        return CREDENTIAL_VARIABLES

    @property
    @override
    def lc_attributes(self) -> dict[str, Any]:
        return {"gateway": self.gateway.model_dump(exclude_unset=True)}
