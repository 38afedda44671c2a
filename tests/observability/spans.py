"""OpenTelemetry spans in memory, and as they are sent over HTTP."""

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.observability.sink import Sink


@dataclass(frozen=True)
class Span:
    """What the tests read of a span."""

    name: str
    trace_id: str
    span_id: str
    attributes: Mapping[str, Any]
    events: Mapping[str, Mapping[str, Any]]
    """Attributes of each event, by its name."""
    seconds: float
    status_message: str


class SpanMemory:
    """A tracer provider that keeps its spans in memory."""

    def __init__(self) -> None:
        trace = importlib.import_module("opentelemetry.sdk.trace")
        export = importlib.import_module("opentelemetry.sdk.trace.export")
        memory = importlib.import_module("opentelemetry.sdk.trace.export.in_memory_span_exporter")
        self._exporter = memory.InMemorySpanExporter()
        self.provider = trace.TracerProvider()
        self.provider.add_span_processor(export.SimpleSpanProcessor(self._exporter))

    @property
    def spans(self) -> list[Span]:
        return [
            Span(
                name=span.name,
                trace_id=f"{span.context.trace_id:032x}",
                span_id=f"{span.context.span_id:016x}",
                attributes=span.attributes,
                events={event.name: event.attributes for event in span.events},
                seconds=(span.end_time - span.start_time) / 1e9,
                status_message=span.status.description or "",
            )
            for span in self._exporter.get_finished_spans()
        ]

    def export(self) -> bytes:
        """Return everything in memory as JSON."""
        return "".join(span.to_json() for span in self._exporter.get_finished_spans()).encode()


def received_spans(sink: Sink) -> Iterator[Span]:
    """Parse the spans that arrived at a sink as OTLP over HTTP."""
    service = importlib.import_module("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    for request in sink.received:
        if not request.path.endswith("/v1/traces"):
            continue
        export = service.ExportTraceServiceRequest.FromString(request.body)
        for resource in export.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    yield Span(
                        name=span.name,
                        trace_id=span.trace_id.hex(),
                        span_id=span.span_id.hex(),
                        attributes=_attributes(span.attributes),
                        events={event.name: _attributes(event.attributes) for event in span.events},
                        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                        status_message=span.status.message,
                    )


def _attributes(pairs: Any) -> dict[str, Any]:
    """Convert OTLP attributes; the tests read no other kinds than these."""
    return {
        pair.key: getattr(pair.value, kind)
        for pair in pairs
        if (kind := pair.value.WhichOneof("value"))
        in {"string_value", "bool_value", "int_value", "double_value"}
    }
