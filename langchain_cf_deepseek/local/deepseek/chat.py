"""DeepSeek's chat API: its own library validates every request and builds every response."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from deepseek_recipe import (
    ChatCompletionRequest,
    ChatCompletionResponse,
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

from langchain_cf_deepseek.local.deepseek.fireworks_format import (
    fireworks_chunks,
    fireworks_response,
)
from langchain_cf_deepseek.local.deepseek.models import Model
from langchain_cf_deepseek.local.deepseek.prompt_cache import PromptCache, prompt_tokens
from langchain_cf_deepseek.local.exchange import (
    DEEPSEEK_ERROR_TYPE,
    EVENT_STREAM,
    Call,
    GatewayResponse,
    RefusedError,
    Stream,
    dump,
    json_response,
)
from langchain_cf_deepseek.local.faults.error_bodies import deepseek_refusal
from langchain_cf_deepseek.local.simulated_model.inference import Inference, generate, render
from langchain_cf_deepseek.local.simulated_model.replies import Reply, simulated_reply

Passback = Literal["off", "pro-like", "strict"]
UsageChunk = Literal["deepseek", "catalogue"]

MAX_USER_ID_BYTES = 512
_PREFIX_NEEDS_BETA = (
    'prefix is only available when using beta api (set base_url="https://api.deepseek.com/beta")'
)

MAX_IMAGE_TOKENS = 1024
"""https://api-docs.deepseek.com/guides/vision"""


class DeepSeek:
    """DeepSeek's chat API, served by the simulated model."""

    def __init__(
        self,
        *,
        models: Mapping[str, Model],
        passback: Passback,
        keep_alive: int,
        usage_chunk: UsageChunk | None,
    ) -> None:
        self._models = models
        self._passback = passback
        self._keep_alive = keep_alive
        self._usage_chunk = usage_chunk
        self._prompt_cache = PromptCache()

    def fresh(self) -> DeepSeek:
        """Return the same API with an empty prompt cache."""
        return DeepSeek(
            models=self._models,
            passback=self._passback,
            keep_alive=self._keep_alive,
            usage_chunk=self._usage_chunk,
        )

    async def aclose(self) -> None:
        """Do nothing: no connection is open."""

    async def respond(self, call: Call) -> GatewayResponse:
        """Respond to a call; raises `RefusedError` with DeepSeek's own error."""
        if call.endpoint == "models":
            return self._model_list()
        inference = self._inference(call)
        fireworks = self._in_fireworks_format(call)
        if inference.request.stream:
            return GatewayResponse(200, self._stream(inference, fireworks), EVENT_STREAM)
        completion = _completion(inference)
        body = dump(fireworks_response(completion) if fireworks else completion)
        return GatewayResponse(200, b"\n" * self._keep_alive + body)

    def _in_fireworks_format(self, call: Call) -> bool:
        if not call.on_rest_host:
            return False
        if self._usage_chunk is not None:
            return self._usage_chunk == "catalogue"
        model = self._models.get(call.model)
        return call.unified_billing and model is not None and model.resold

    def _model_list(self) -> GatewayResponse:
        data = [
            {"id": name, "object": "model", "owned_by": "deepseek"}
            for name in self._current_names()
        ]
        return json_response(200, {"object": "list", "data": data})

    def _inference(self, call: Call) -> Inference:
        body = self._body(call)
        try:
            chat = ChatCompletionRequest(body)
        except ValueError as error:
            raise RefusedError(
                GatewayResponse(400, _parse_error(str(error)), "text/plain")
            ) from error
        if not call.beta and any(
            message.get("prefix") for message in call.request.body["messages"]
        ):
            raise deepseek_refusal(400, _PREFIX_NEEDS_BETA)
        name = chat.model
        model = self._models.get(name)
        if model is None and call.not_deepseek:
            model = Model(name, ModelVersion.DeepseekV41Flash)
        if model is None:
            names = ", ".join(self._current_names())
            message = f"The supported API model names are {names}, but you passed {name}."
            raise deepseek_refusal(400, message)
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
        scripted = call.replies.popleft() if call.replies else None
        if scripted is None:
            reply = simulated_reply(request.conversation)
            cached_tokens = self._prompt_cache.cached_tokens(prompt, user_id)
        else:
            reply, cached_tokens = scripted, scripted.cached_tokens
        return Inference(
            id=str(uuid.uuid4()),
            model=model.served,
            request=request,
            prompt=prompt,
            prompt_tokens=max(tokens, cached_tokens),
            cached_tokens=cached_tokens,
            max_tokens=max_tokens,
            reply=reply,
        )

    def _body(self, call: Call) -> bytes:
        """The request body for DeepSeek, with `thinking` where the model's name fixes it."""
        body = call.provider_body()
        model = self._models.get(call.model)
        if model is None or model.thinking is None:
            return body
        thinking = {"type": "enabled" if model.thinking else "disabled"}
        return dump({**json.loads(body), "thinking": thinking})

    def _options(self, name: str, model: Model) -> ConversionOptions:
        rejects = self._passback == "strict" or (
            self._passback == "pro-like" and model.version == ModelVersion.DeepseekV4Pro
        )
        behavior = ReasoningContentBehavior
        return ConversionOptions(
            reasoning_content_behavior=behavior.Reject if rejects else behavior.FillEmpty
        ).with_model_versions_by_name({name: model.version})

    def _current_names(self) -> list[str]:
        return list(dict.fromkeys(model.served for model in self._models.values()))

    async def _stream(self, inference: Inference, fireworks: bool) -> Stream:
        for _ in range(self._keep_alive):
            yield b": keep-alive\n\n"
        for chunk in _chunks(inference, fireworks):
            yield b"data: " + chunk + b"\n\n"
            # Concurrent streams interleave chunk by chunk, as on a busy service.
            await asyncio.sleep(0)
        yield b"data: [DONE]\n\n"


def _chunks(inference: Inference, fireworks: bool) -> Iterator[bytes]:
    texts = (chunk.to_json() for chunk in generate(inference))
    if inference.reply.finish_reason is None and not fireworks:
        return (text.encode() for text in texts)
    chunks = (_with_finish_reason(json.loads(text), inference.reply) for text in texts)
    return map(dump, fireworks_chunks(chunks) if fireworks else chunks)


def _completion(inference: Inference) -> dict[str, Any]:
    response = ChatCompletionResponse(
        inference.id,
        inference.model,
        int(time.time()),
        inference.prompt_tokens,
        inference.cached_tokens,
    )
    for chunk in generate(inference):
        response.accumulate(chunk)
    return _with_finish_reason(json.loads(response.to_json()), inference.reply)


def _with_finish_reason(payload: dict[str, Any], reply: Reply) -> dict[str, Any]:
    """Set the finish reason of a scripted reply."""
    for choice in payload["choices"]:
        if reply.finish_reason is not None and choice["finish_reason"] is not None:
            choice["finish_reason"] = reply.finish_reason
    return payload


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
