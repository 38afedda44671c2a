"""OpenInference's LangChain instrumentation, the one of Arize Phoenix."""

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.observability.spans import Span, SpanMemory
from tests.observability.tracing import TracedRequest, Tracer, Tracing, log_id_in

MODULE = "openinference.instrumentation.langchain"


@contextmanager
def start(_directory: Path) -> Iterator[Tracing]:
    memory = SpanMemory()
    instrumentor = importlib.import_module(MODULE).LangChainInstrumentor()
    instrumentor.instrument(tracer_provider=memory.provider)
    try:
        yield Tracing(
            read_requests=lambda: [read_span(span) for span in memory.spans if is_request(span)],
            read_export=memory.export,
        )
    finally:
        instrumentor.uninstrument()


def is_request(span: Span) -> bool:
    return bool(span.attributes.get("openinference.span.kind") == "LLM")


def read_span(span: Span) -> TracedRequest:
    attributes = span.attributes
    error = span.events.get("exception", {})
    return TracedRequest(
        provider=attributes["llm.provider"],
        requested_model=json.loads(attributes["llm.invocation_parameters"])["model"],
        served_model=attributes["llm.model_name"],
        input_tokens=attributes.get("llm.token_count.prompt"),
        output_tokens=attributes.get("llm.token_count.completion"),
        cached_tokens=attributes.get("llm.token_count.prompt_details.cache_read"),
        reasoning_tokens=attributes.get("llm.token_count.completion_details.reasoning"),
        tool_calls=_tool_calls(span),
        error_class=error["exception.type"].rpartition(".")[2] if error else None,
        log_id=log_id_in(error["exception.message"]) if error else _log_id(span),
        seconds=span.seconds,
    )


def _tool_calls(span: Span) -> list[tuple[str, Any]]:
    prefix = "llm.output_messages.0.message.tool_calls."
    name, arguments = ".tool_call.function.name", ".tool_call.function.arguments"
    return [
        (value, json.loads(span.attributes[key.removesuffix(name) + arguments]))
        for key, value in span.attributes.items()
        if key.startswith(prefix) and key.endswith(name)
    ]


def _log_id(span: Span) -> Any:
    message = json.loads(span.attributes["output.value"])["generations"][0][0]["message"]
    return message["kwargs"]["response_metadata"]["cloudflare_gateway"]["log_id"]


TRACER = Tracer(
    start,
    modules=[MODULE, "opentelemetry.sdk"],
    # It reads the served model from `LLMResult.llm_output`, which LangChain leaves empty on a
    # stream and on an error.
    stream_deviations={"served_model": "dynamic/support"},
    error_deviations={"served_model": "dynamic/support"},
)
