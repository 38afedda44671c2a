"""Completions: built by DeepSeek's own library, with what the library does not know added."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deepseek_recipe import ChatCompletionResponse

from langchain_cf_deepseek.local.deepseek.extensions import Extensions
from langchain_cf_deepseek.local.deepseek.fireworks_format import fireworks_chunks
from langchain_cf_deepseek.local.deepseek.server_tools import (
    Carrier,
    ServerToolOutput,
    carry_in_chunks,
    carry_in_message,
)
from langchain_cf_deepseek.local.exchange import dump
from langchain_cf_deepseek.local.simulated_model.inference import Inference, generate

JSON = dict[str, Any]


@dataclass(frozen=True)
class Completion:
    """What the simulated model generates, and what the service adds to it."""

    inference: Inference
    extensions: Extensions
    output: ServerToolOutput
    title: str
    carrier: Carrier

    @property
    def review_seconds(self) -> float:
        """How long the finished text is reviewed before the response ends."""
        return self.inference.reply.review_seconds if self.extensions.review else 0

    @property
    def is_plain(self) -> bool:
        """Whether the chunks of DeepSeek's library are sent as they are."""
        extended = self.extensions.title or self.extensions.server_tools
        return not extended and self.inference.reply.finish_reason is None

    def whole(self) -> JSON:
        """Return the whole response."""
        inference = self.inference
        response = ChatCompletionResponse(
            inference.id,
            inference.model,
            int(time.time()),
            inference.prompt_tokens,
            inference.cached_tokens,
        )
        for chunk in generate(inference):
            response.accumulate(chunk)
        payload = json.loads(response.to_json())
        message = payload["choices"][0]["message"]
        carry_in_message(message, self.output, self.carrier)
        return self._finished(payload, message)

    def chunks(self) -> Iterator[JSON]:
        """Yield the chunks of a stream."""
        chunks = (json.loads(chunk.to_json()) for chunk in generate(self.inference))
        for chunk in carry_in_chunks(chunks, self.output, self.carrier):
            yield self._finished(chunk, chunk["choices"][0]["delta"])

    def _finished(self, payload: JSON, message: JSON) -> JSON:
        """Complete a whole response or a closing chunk, which has the finish reason."""
        choice = payload["choices"][0]
        if choice["finish_reason"] is None:
            return payload
        choice["finish_reason"] = self.inference.reply.finish_reason or choice["finish_reason"]
        if self.extensions.title:
            message["title"] = self.title
        if payload.get("usage") is not None:
            payload["usage"] |= self.output.usage
        return payload


def encode_chunks(completion: Completion, *, fireworks: bool) -> Iterator[tuple[bytes, bool]]:
    """Yield each chunk as JSON, and whether it is the closing one."""
    if completion.is_plain and not completion.review_seconds and not fireworks:
        for chunk in generate(completion.inference):
            yield chunk.to_json().encode(), False
        return
    chunks = completion.chunks()
    for payload in fireworks_chunks(chunks) if fireworks else chunks:
        is_last = any(choice["finish_reason"] is not None for choice in payload["choices"])
        yield dump(payload), is_last
