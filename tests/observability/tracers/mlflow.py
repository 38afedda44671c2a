"""MLflow's LangChain tracing into a SQLite store."""

import importlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.observability.tracing import TracedRequest, Tracer, Tracing, log_id_in


@contextmanager
def start(directory: Path) -> Iterator[Tracing]:
    mlflow = importlib.import_module("mlflow")
    directory.mkdir(exist_ok=True)
    store = f"sqlite:///{directory / 'mlflow.db'}"
    mlflow.set_tracking_uri(store)
    experiment = mlflow.create_experiment(str(uuid4()), artifact_location=directory.as_uri())
    mlflow.set_experiment(experiment_id=experiment)
    mlflow.langchain.autolog()
    try:
        yield Tracing(
            read_requests=lambda: read_requests(search_traces(store, [experiment])),
            read_export=lambda: b"".join(
                path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()
            ),
        )
    finally:
        mlflow.langchain.autolog(disable=True)


def search_traces(store: str, experiments: Sequence[str] | None = None) -> Sequence[Any]:
    """Return the traces in a store, oldest first; of all experiments without their ids."""
    client = importlib.import_module("mlflow").MlflowClient(store)
    every = experiments or [experiment.experiment_id for experiment in client.search_experiments()]
    found: Sequence[Any] = client.search_traces(locations=every, order_by=["timestamp_ms ASC"])
    return found


def read_requests(traces: Sequence[Any]) -> list[TracedRequest]:
    return [
        _read_span(span)
        for trace in traces
        for span in trace.data.spans
        if span.span_type == "CHAT_MODEL"
    ]


def _read_span(span: Any) -> TracedRequest:
    usage = span.attributes.get("mlflow.chat.tokenUsage", {})
    errors = [event.attributes for event in span.events if event.name == "exception"]
    choices = (span.outputs or {}).get("choices", [])
    return TracedRequest(
        provider=span.attributes["mlflow.llm.provider"],
        requested_model=span.attributes["mlflow.llm.model"],
        input_tokens=usage.get("input_tokens"),
        output_tokens=usage.get("output_tokens"),
        cached_tokens=usage.get("cache_read_input_tokens"),
        reasoning_tokens=usage.get("reasoning_tokens"),
        tool_calls=[
            (call["function"]["name"], json.loads(call["function"]["arguments"]))
            for choice in choices
            for call in choice["message"]["tool_calls"] or []
        ],
        error_class=errors[0]["exception.type"] if errors else None,
        log_id=log_id_in(errors[0]["exception.message"]) if errors else None,
        seconds=(span.end_time_ns - span.start_time_ns) / 1e9,
    )


TRACER = Tracer(
    start,
    modules=["mlflow", "pandas", "sqlalchemy"],
    # It converts a completion to a format of its own, which has none of these.
    deviations={"served_model": None, "reasoning_tokens": None, "log_id": None},
)
