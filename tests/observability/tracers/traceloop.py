"""Traceloop's LangChain instrumentation, in OpenTelemetry's conventions for generative AI."""

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from langchain_core.callbacks import BaseCallbackManager

from tests.observability.spans import Span, SpanMemory
from tests.observability.tracing import TracedRequest, Tracer, Tracing, log_id_in

MODULE = "opentelemetry.instrumentation.langchain"


@contextmanager
def start(_directory: Path) -> Iterator[Tracing]:
    memory = SpanMemory()
    instrumentor = importlib.import_module(MODULE).LangchainInstrumentor()
    # Its `uninstrument` leaves this method wrapped.
    with patch.object(BaseCallbackManager, "__init__", BaseCallbackManager.__init__):
        instrumentor.instrument(tracer_provider=memory.provider)
        try:
            yield Tracing(
                read_requests=lambda: [
                    read_span(span) for span in memory.spans if is_request(span)
                ],
                read_export=memory.export,
            )
        finally:
            instrumentor.uninstrument()


def is_request(span: Span) -> bool:
    return bool(span.attributes.get("gen_ai.operation.name") == "chat")


def read_span(span: Span) -> TracedRequest:
    attributes = span.attributes
    return TracedRequest(
        provider=attributes["gen_ai.provider.name"],
        requested_model=attributes["gen_ai.request.model"],
        served_model=attributes["gen_ai.response.model"],
        input_tokens=attributes.get("gen_ai.usage.input_tokens"),
        output_tokens=attributes.get("gen_ai.usage.output_tokens"),
        cached_tokens=attributes.get("gen_ai.usage.cache_read.input_tokens"),
        reasoning_tokens=attributes.get("gen_ai.usage.reasoning.output_tokens"),
        tool_calls=_tool_calls(span),
        error_class=attributes.get("error.type"),
        log_id=log_id_in(span.status_message),
        seconds=span.seconds,
    )


def _tool_calls(span: Span) -> list[tuple[str, Any]]:
    return [
        (part["name"], part["arguments"])
        for message in json.loads(span.attributes.get("gen_ai.output.messages", "[]"))
        for part in message["parts"]
        if part["type"] == "tool_call"
    ]


TRACER = Tracer(
    start,
    modules=[MODULE, "opentelemetry.sdk"],
    # It derives the provider from a table of LangChain's own class names.
    deviations={"provider": "langchain", "reasoning_tokens": None, "log_id": None},
    stream_deviations={"served_model": "dynamic/support"},
    error_deviations={"provider": "langchain", "served_model": "dynamic/support"},
)
