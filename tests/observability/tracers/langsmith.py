"""LangSmith's SDK, which sends runs over HTTP."""

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from email import message_from_bytes
from functools import partial
from pathlib import Path
from typing import Any

from langchain_core.tracers import LangChainTracer
from langsmith import Client

from tests.observability.sink import ReceivedRequest, Sink, serve_sink
from tests.observability.tracing import TracedRequest, Tracer, Tracing, log_id_in

API_KEY = "lsv2_sk_of_the_test"


def sink_responses(*, multipart: bool = True) -> dict[str, Any]:
    """Return what LangSmith's server tells the SDK about itself."""
    config = {
        "use_multipart_endpoint": multipart,
        "size_limit": 100,
        "size_limit_bytes": 20_000_000,
        "scale_up_nthreads_limit": 1,
        "scale_up_qsize_trigger": 1000,
        "scale_down_nempty_trigger": 4,
    }
    return {"/info": {"version": "1.0.0", "batch_ingest_config": config}}


@contextmanager
def start(_directory: Path, *, multipart: bool = True) -> Iterator[Tracing]:
    with serve_sink(sink_responses(multipart=multipart)) as sink:
        client = Client(api_url=sink.url, api_key=API_KEY)

        def read() -> list[TracedRequest]:
            client.flush()
            return read_runs(sink)

        yield Tracing(
            read_requests=read,
            read_export=lambda: b"".join(request.body for request in sink.received),
            callbacks=[LangChainTracer(client=client)],
        )
        client.close()


def read_runs(sink: Sink) -> list[TracedRequest]:
    """Return the model runs that arrived; a run that was created twice is there twice."""
    created: list[str] = []
    runs: dict[str, dict[str, Any]] = defaultdict(dict)
    for operation, run_id, fields in _operations(sink):
        if operation == "post":
            created.append(run_id)
        # An update leaves out, or sends empty, what the run already has.
        runs[run_id] |= {name: value for name, value in fields.items() if value}
    traced = [(runs[run_id], _read_run(runs[run_id])) for run_id in created]
    return [request for run, request in traced if run["run_type"] == "llm"]


def _operations(sink: Sink) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for request in sink.received:
        if request.path == "/runs/multipart":
            yield from _multipart_operations(request)
        elif request.path == "/runs/batch":
            for operation, runs in json.loads(request.body).items():
                yield from ((operation, run["id"], run) for run in runs)


def _multipart_operations(request: ReceivedRequest) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Assemble runs from parts named `post.<id>`, for the run, and `post.<id>.<field>`."""
    content_type = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    operations: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
    for part in message_from_bytes(content_type + request.body).walk():
        if part.is_multipart():
            continue
        name = str(part.get_param("name", header="content-disposition"))
        operation, run_id, *field = name.split(".")
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        value = json.loads(content)
        operations[operation, run_id] |= {field[0]: value} if field else value
    for (operation, run_id), fields in operations.items():
        yield operation, run_id, fields


def _read_run(run: dict[str, Any]) -> TracedRequest:
    metadata = run["extra"]["metadata"]
    request = partial(
        TracedRequest,
        provider=metadata["ls_provider"],
        requested_model=metadata["ls_model_name"],
        seconds=(
            datetime.fromisoformat(run["end_time"]) - datetime.fromisoformat(run["start_time"])
        ).total_seconds(),
    )
    if "error" in run:
        error_class = run["error"].partition("(")[0]
        return request(error_class=error_class, log_id=log_id_in(run["error"]))
    message = run["outputs"]["generations"][0][0]["message"]["kwargs"]
    usage = metadata["usage_metadata"]
    return request(
        served_model=message["response_metadata"]["model_name"],
        input_tokens=usage["input_tokens"],
        output_tokens=usage["output_tokens"],
        cached_tokens=usage["input_token_details"]["cache_read"],
        reasoning_tokens=usage["output_token_details"]["reasoning"],
        tool_calls=[(call["name"], call["args"]) for call in message["tool_calls"]],
        log_id=message["response_metadata"]["cloudflare_gateway"]["log_id"],
    )


TRACER = Tracer(start, modules=["langsmith"])
