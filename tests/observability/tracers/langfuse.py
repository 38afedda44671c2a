"""Langfuse's SDK, which sends OpenTelemetry spans over HTTP."""

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from tests.observability.sink import serve_sink
from tests.observability.spans import Span, received_spans
from tests.observability.tracing import TracedRequest, Tracer, Tracing, log_id_in

MODULE = "langfuse.langchain"


@contextmanager
def start(_directory: Path) -> Iterator[Tracing]:
    handler = importlib.import_module(MODULE).CallbackHandler
    langfuse = importlib.import_module("langfuse").Langfuse
    provider = importlib.import_module("opentelemetry.sdk.trace").TracerProvider()
    # The SDK keeps one client for each public key.
    public_key = f"pk-lf-{uuid4()}"
    with serve_sink() as sink:
        client = langfuse(
            public_key=public_key,
            secret_key="sk-lf-of-the-test",
            base_url=sink.url,
            tracer_provider=provider,
        )

        def read() -> list[TracedRequest]:
            client.flush()
            return [read_span(span) for span in received_spans(sink) if is_request(span)]

        yield Tracing(
            read_requests=read,
            read_export=lambda: b"".join(request.body for request in sink.received),
            callbacks=[handler(public_key=public_key)],
        )
        client.shutdown()


def is_request(span: Span) -> bool:
    return bool(span.attributes.get("langfuse.observation.type") == "generation")


def read_span(span: Span) -> TracedRequest:
    attributes = span.attributes
    usage = json.loads(attributes.get("langfuse.observation.usage_details", "{}"))
    cached, reasoning = usage.get("input_cache_read"), usage.get("output_reasoning")
    output = json.loads(attributes.get("langfuse.observation.output", "{}"))
    return TracedRequest(
        provider=json.loads(attributes["langfuse.observation.metadata.ls_provider"]),
        requested_model=json.loads(attributes["langfuse.observation.metadata.ls_model_name"]),
        served_model=attributes["langfuse.observation.model.name"],
        # Langfuse counts each token once, so these exclude cached and reasoning tokens.
        input_tokens=usage["input"] + cached if usage else None,
        output_tokens=usage["output"] + reasoning if usage else None,
        cached_tokens=cached,
        reasoning_tokens=reasoning,
        tool_calls=[(call["name"], call["args"]) for call in output.get("tool_calls", [])],
        error_class=span.events.get("exception", {}).get("exception.type"),
        log_id=log_id_in(span.status_message),
        seconds=span.seconds,
    )


TRACER = Tracer(
    start,
    modules=[MODULE],
    deviations={"log_id": None},
    stream_deviations={"served_model": "dynamic/support"},
    # It keeps the message of an error, not its class.
    error_deviations={"served_model": "dynamic/support", "error_class": None},
)
