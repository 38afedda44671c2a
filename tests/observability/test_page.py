"""`docs/observability.md`: its programs record what it says, and its table is what was recorded."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from langchain_cf_deepseek.local import LocalGateway
from tests.observability.conftest import REASON
from tests.observability.sink import Sink, serve_sink
from tests.observability.spans import received_spans
from tests.observability.tracers import (
    TRACERS,
    langfuse,
    langsmith,
    mlflow,
    openinference,
    traceloop,
)
from tests.observability.tracing import Tracer
from tests.pages import account, blocks

ROOT = str(Path(__file__).parents[2])
PAGE = Path(ROOT, "docs", "observability.md").read_text()
COLUMNS = (
    "provider",
    "requested_model",
    "served_model",
    "input_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "tool_calls",
    "error_class",
    "log_id",
)
"""The fields in the order of the table's columns."""

LANGSMITH_PROGRAM = """\
from langchain_core.tracers.langchain import wait_for_all_tracers

from langchain_cf_deepseek import ChatCloudflareDeepSeek

ChatCloudflareDeepSeek(model="deepseek-flash").invoke("What is 6 * 7?")
wait_for_all_tracers()
"""


@pytest.fixture
def sink() -> Iterator[Sink]:
    with serve_sink(langsmith.sink_responses()) as sink:
        yield sink


def _program(heading: str, package: str) -> str:
    """Return the one program of a section that imports a package.

    Programs that need a tracer are marked `py`; `tests/test_readme.py` runs those marked `python`.
    """
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    section = section.replace("```python\n", "```text\n").replace("```py\n", "```python\n")
    programs = [block.code for block in blocks(section, "python")]
    [program] = [
        code for code in programs if re.search(rf"^(from|import) {package}\b", code, re.MULTILINE)
    ]
    return program


def _run(program: str, directory: Path, gateway: LocalGateway, **settings: str) -> None:
    """Run a program of the page in a process of its own."""
    subprocess.run(  # noqa: S603 - our own page
        [sys.executable, "-c", program],
        env=os.environ | account(gateway) | {"PYTHONPATH": ROOT} | settings,
        cwd=directory,
        check=True,
        timeout=120,
    )


def _require(tracer: Tracer) -> None:
    for module in tracer.modules:
        pytest.importorskip(module, reason=REASON)


def test_the_variables_of_langsmith_switch_it_on(
    gw: LocalGateway, sink: Sink, tmp_path: Path
) -> None:
    assert "export LANGSMITH_TRACING=true" in PAGE
    settings = {
        "LANGSMITH_TRACING": "true",
        "LANGSMITH_API_KEY": langsmith.API_KEY,
        "LANGSMITH_ENDPOINT": sink.url,
    }
    _run(LANGSMITH_PROGRAM, tmp_path, gw, **settings)
    assert len(langsmith.read_runs(sink)) == len(gw.requests) == 1


@pytest.mark.parametrize(
    ("heading", "module"), [("OpenInference", openinference), ("Traceloop", traceloop)]
)
def test_an_instrumentation_exports_a_request_once(
    gw: LocalGateway, sink: Sink, tmp_path: Path, heading: str, module: ModuleType
) -> None:
    _require(module.TRACER)
    _run(_program(heading, module.MODULE), tmp_path, gw, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
    spans = [span for span in received_spans(sink) if module.is_request(span)]
    assert [module.read_span(span).requested_model for span in spans] == ["deepseek-flash"]
    assert len(gw.requests) == 1


def test_the_callback_handler_of_langfuse_exports_a_request_once(
    gw: LocalGateway, sink: Sink, tmp_path: Path
) -> None:
    _require(langfuse.TRACER)
    _run(_program("Langfuse", "langfuse"), tmp_path, gw, **_langfuse_settings(sink))
    spans = [span for span in received_spans(sink) if langfuse.is_request(span)]
    assert [langfuse.read_span(span).requested_model for span in spans] == ["deepseek-flash"]
    assert len(gw.requests) == 1


def test_mlflow_stores_the_requests_of_an_agent_once(gw: LocalGateway, tmp_path: Path) -> None:
    _require(mlflow.TRACER)
    _run(_program("MLflow", "mlflow"), tmp_path, gw)
    first, second = mlflow.read_requests(mlflow.search_traces(_store(tmp_path)))
    assert first.tool_calls == [("get_weather", {"city": "Paris"})]
    assert second.tool_calls == []
    assert len(gw.requests) == 2


def test_the_log_id_is_on_a_span_of_langfuse(gw: LocalGateway, sink: Sink, tmp_path: Path) -> None:
    _require(langfuse.TRACER)
    _run(_program("The gateway's log id", "langfuse"), tmp_path, gw, **_langfuse_settings(sink))
    [span] = [span for span in received_spans(sink) if span.name == "answer"]
    metadata = span.attributes["langfuse.observation.metadata.cloudflare_log_id"]
    _assert_log_entry(gw, json.loads(metadata))


def test_the_log_id_is_on_a_span_of_mlflow(gw: LocalGateway, tmp_path: Path) -> None:
    _require(mlflow.TRACER)
    _run(_program("The gateway's log id", "mlflow"), tmp_path, gw)
    [trace] = mlflow.search_traces(_store(tmp_path))
    [span] = [span for span in trace.data.spans if span.name == "answer"]
    _assert_log_entry(gw, span.attributes["cloudflare_log_id"])


def test_the_headers_and_the_log_id_join_the_current_span_to_the_gateway(
    gw: LocalGateway, sink: Sink, tmp_path: Path
) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason=REASON)
    program = _program("Cloudflare's spans in your trace", "opentelemetry")
    _run(program, tmp_path, gw, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
    [span] = received_spans(sink)
    [request] = gw.requests
    sent = {
        name: request.headers.get(f"cf-aig-otel-{name}") for name in ("trace-id", "parent-span-id")
    }
    assert sent == {"trace-id": span.trace_id, "parent-span-id": span.span_id}
    _assert_log_entry(gw, span.attributes["cloudflare.log_id"])


def _langfuse_settings(sink: Sink) -> dict[str, str]:
    return {
        "LANGFUSE_PUBLIC_KEY": "pk-lf-of-the-test",
        "LANGFUSE_SECRET_KEY": "sk-lf-of-the-test",
        "LANGFUSE_BASE_URL": sink.url,
    }


def _store(directory: Path) -> str:
    return f"sqlite:///{directory / 'mlflow.db'}"


def _assert_log_entry(gateway: LocalGateway, log_id: str) -> None:
    assert gateway.logs().get(log_id).id == log_id


def test_the_table_is_what_the_tracers_record() -> None:
    for name, tracer in TRACERS.items():
        cells = [_cell(tracer, field) for field in COLUMNS]
        assert f"\n| {name} | {' | '.join(cells)} |\n" in PAGE


def _cell(tracer: Tracer, field: str) -> str:
    if field in tracer.deviations:
        shown = tracer.deviations[field]
        return "no" if shown is None else f"`{shown}`"
    if field == "error_class" and field in tracer.error_deviations:
        return "no"
    return "not on streams" if field in tracer.stream_deviations else "yes"
