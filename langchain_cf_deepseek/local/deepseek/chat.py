"""DeepSeek's chat API: its own library validates every request and builds every response."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from deepseek_recipe import (
    ChatCompletionRequest,
    ConversationRequest,
    ConversionError,
    ConversionOptions,
    ImageError,
    ImageQuota,
    ImageResolver,
    ModelVersion,
    OpenCvImagePreprocessor,
    ReasoningContentBehavior,
    ReqwestImageFetcher,
)

from langchain_cf_deepseek.local.cloudflare.assumptions import Assumptions
from langchain_cf_deepseek.local.deepseek.completions import Completion, encode_chunks
from langchain_cf_deepseek.local.deepseek.continuations import Continuations
from langchain_cf_deepseek.local.deepseek.extensions import Extensions, extract_extensions
from langchain_cf_deepseek.local.deepseek.file_parts import resolve_files
from langchain_cf_deepseek.local.deepseek.files import Files
from langchain_cf_deepseek.local.deepseek.fireworks_format import fireworks_response
from langchain_cf_deepseek.local.deepseek.models import Model
from langchain_cf_deepseek.local.deepseek.prompt_cache import PromptCache, prompt_tokens
from langchain_cf_deepseek.local.deepseek.server_tools import (
    READ_URL,
    WEB_SEARCH,
    run_server_tools,
)
from langchain_cf_deepseek.local.exchange import (
    DEEPSEEK_ERROR_TYPE,
    EVENT_STREAM,
    Call,
    GatewayResponse,
    RefusedError,
    Stream,
    dump,
)
from langchain_cf_deepseek.local.faults.error_bodies import deepseek_refusal
from langchain_cf_deepseek.local.simulated_model.inference import Inference, render
from langchain_cf_deepseek.local.simulated_model.replies import simulated_reply
from langchain_cf_deepseek.local.simulated_model.scripted_replies import Reply
from langchain_cf_deepseek.local.simulated_model.web import Web

Passback = Literal["off", "pro-like", "strict"]
UsageChunk = Literal["deepseek", "catalogue"]
JSON = dict[str, Any]

MAX_USER_ID_BYTES = 512
_PREFIX_NEEDS_BETA = (
    'prefix is only available when using beta api (set base_url="https://api.deepseek.com/beta")'
)
_TITLE_WORDS = 6

MAX_IMAGE_TOKENS = 1024
"""https://api-docs.deepseek.com/guides/vision"""


@dataclass(frozen=True)
class ChatSettings:
    """How the chat API responds. `LocalGateway` documents each field."""

    models: Mapping[str, Model]
    passback: Passback
    keep_alive: int
    usage_chunk: UsageChunk | None
    assumptions: Assumptions
    web: Web


class Chat:
    """The chat API."""

    def __init__(self, settings: ChatSettings, files: Files) -> None:
        self._settings = settings
        self._models = settings.models
        self._files = files
        self._prompt_cache = PromptCache()
        self._continuations = Continuations()

    async def respond(self, call: Call) -> GatewayResponse:
        """Respond to a chat request; raises `RefusedError` with DeepSeek's own error."""
        completion = self._completion(call)
        fireworks = self._in_fireworks_format(call)
        if completion.inference.request.stream:
            return GatewayResponse(200, self._stream(completion, fireworks), EVENT_STREAM)
        await asyncio.sleep(completion.review_seconds)
        payload = completion.whole()
        body = dump(fireworks_response(payload) if fireworks else payload)
        return GatewayResponse(200, b"\n" * self._settings.keep_alive + body)

    async def _stream(self, completion: Completion, fireworks: bool) -> Stream:
        for _ in range(self._settings.keep_alive):
            yield b": keep-alive\n\n"
        for chunk, is_last in encode_chunks(completion, fireworks=fireworks):
            if is_last:
                await asyncio.sleep(completion.review_seconds)
            yield b"data: " + chunk + b"\n\n"
            # Concurrent streams interleave chunk by chunk, as on a busy service.
            await asyncio.sleep(0)
        yield b"data: [DONE]\n\n"

    def _in_fireworks_format(self, call: Call) -> bool:
        if not call.on_rest_host:
            return False
        if self._settings.usage_chunk is not None:
            return self._settings.usage_chunk == "catalogue"
        model = self._models.get(call.model)
        return call.unified_billing and model is not None and model.resold

    def _completion(self, call: Call) -> Completion:
        raw, extensions = self._extract_extensions(call)
        try:
            chat = ChatCompletionRequest(raw)
        except ValueError as error:
            raise RefusedError(
                GatewayResponse(400, _parse_error(str(error)), "text/plain")
            ) from error
        messages = call.request.body["messages"]
        if not call.beta and any(message.get("prefix") for message in messages):
            raise deepseek_refusal(400, _PREFIX_NEEDS_BETA)
        name = chat.model
        model = self._model(call, name)
        try:
            request = chat.convert(self._options(name, model))
            prompt = render(request.model_version, request.conversation)
            tokens = prompt_tokens(prompt) + _image_tokens(request)
            max_tokens = request.resolve_max_tokens(tokens, model.context_tokens)
        except ConversionError as error:
            response = GatewayResponse(error.status_code, error.body.encode(), DEEPSEEK_ERROR_TYPE)
            raise RefusedError(response) from error
        except ImageError as error:
            raise deepseek_refusal(400, str(error)) from error
        user_id = _user_id(call)
        reply, is_scripted = self._reply(call, request, extensions.server_tools)
        cached_tokens = reply.cached_tokens
        if not is_scripted:
            cached_tokens = self._prompt_cache.cached_tokens(prompt, user_id)
        inference = Inference(
            id=str(uuid.uuid4()),
            model=model.served,
            request=request,
            prompt=prompt,
            prompt_tokens=max(tokens, cached_tokens),
            cached_tokens=cached_tokens,
            max_tokens=max_tokens,
            reply=reply,
        )
        return Completion(
            inference=inference,
            extensions=extensions,
            output=run_server_tools(reply, extensions.server_tools, self._settings.web),
            title=reply.title or " ".join(_question(request).split()[:_TITLE_WORDS]),
            carrier=self._settings.assumptions.server_tool_blocks,
        )

    def _model(self, call: Call, name: str) -> Model:
        model = self._models.get(name)
        if model is not None:
            return model
        if call.not_deepseek:
            return Model(name, ModelVersion.DeepseekV41Flash)
        names = ", ".join(dict.fromkeys(model.served for model in self._models.values()))
        message = f"The supported API model names are {names}, but you passed {name}."
        raise deepseek_refusal(400, message)

    def _reply(
        self, call: Call, request: ConversationRequest, server_tools: frozenset[str]
    ) -> tuple[Reply, bool]:
        """Return the reply after the prefix of the request, and whether it is scripted."""
        messages = call.request.body["messages"]
        scripted = self._continuations.next_reply(messages, call.replies)
        reply = scripted
        if reply is None:
            reply = simulated_reply(request.conversation)
            if not reply.tool_calls and request.conversation.response_format != "json_object":
                reply = self._settings.web.answer(
                    reply,
                    _question(request),
                    can_search=WEB_SEARCH in server_tools,
                    can_read=READ_URL in server_tools,
                )
        return self._continuations.after_prefix(messages, reply), scripted is not None

    def _extract_extensions(self, call: Call) -> tuple[bytes, Extensions]:
        """Return the body for DeepSeek's library, and what that library does not know."""
        body = call.request.body
        if not isinstance(body, dict):
            return call.raw, Extensions()
        model = self._models.get(call.model)
        changed, extensions = dict(body), Extensions()
        if model is not None and model.thinking is not None:
            # The model's name fixes it.
            changed["thinking"] = {"type": "enabled" if model.thinking else "disabled"}
        if self._settings.assumptions.november_2026:
            is_flash = model is None or model.version != ModelVersion.DeepseekV4Pro
            changed, extensions = extract_extensions(changed, is_flash=is_flash)
            if isinstance(changed.get("messages"), list):
                changed["messages"] = resolve_files(changed["messages"], self._files)
        if changed == body:
            return call.provider_body(), extensions
        return dump(changed | ({"model": call.model} if call.model else {})), extensions

    def _options(self, name: str, model: Model) -> ConversionOptions:
        passback = self._settings.passback
        rejects = passback == "strict" or (
            passback == "pro-like" and model.version == ModelVersion.DeepseekV4Pro
        )
        behavior = ReasoningContentBehavior
        return ConversionOptions(
            reasoning_content_behavior=behavior.Reject if rejects else behavior.FillEmpty
        ).with_model_versions_by_name({name: model.version})


def _question(request: ConversationRequest) -> str:
    users = [message for message in request.conversation.messages if message.role == "user"]
    return users[-1].content if users else ""


def _image_tokens(request: ConversationRequest) -> int:
    """Validate inline images, and count the tokens of all images. Linked images are not fetched.

    Each image counts as the largest possible one, as in the client's own count before sending; the
    prompt already contains one token of it.
    """
    messages = request.conversation.messages
    sources = [source for message in messages for source in message.image_sources]
    if inline := [source for source in sources if source.kind == "data_url"]:
        resolver = ImageResolver(ReqwestImageFetcher(), OpenCvImagePreprocessor())
        resolver.resolve(inline, ImageQuota())
    return len(sources) * (MAX_IMAGE_TOKENS - 1)


def _user_id(call: Call) -> str:
    user_id = call.request.body.get("user_id")
    if not isinstance(user_id, str):
        return ""
    length = len(user_id.encode())
    if length > MAX_USER_ID_BYTES:
        message = (
            "Invalid 'user_id': string too long. Expected a string with maximum length "
            f"{MAX_USER_ID_BYTES}, but got a string with length {length} instead"
        )
        raise deepseek_refusal(400, message)
    return user_id


def _parse_error(error: str) -> bytes:
    """Format a parse error as DeepSeek's web framework does."""
    kind, _, detail = error.partition(": ")
    if kind == "invalid JSON request":
        return f"Failed to parse the request body as JSON: {detail}".encode()
    return f"Failed to deserialize the JSON body into the target type: {detail}".encode()
