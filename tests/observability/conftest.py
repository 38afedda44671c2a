"""Each tracer in turn, without any setting of this machine."""

import os
from collections.abc import Iterator

import pytest

from tests.observability.tracers import TRACERS
from tests.observability.tracing import Tracer, Tracing

REASON = "installed by .ci/observability only"


@pytest.fixture(autouse=True)
def _no_tracer_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("LANGCHAIN_", "LANGFUSE_", "MLFLOW_", "OTEL_", "TRACELOOP_")):
            monkeypatch.delenv(name)
    # MLflow reports its use over the network otherwise.
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    # Its queue sends once in several seconds.
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")


@pytest.fixture(params=TRACERS)
def tracer(request: pytest.FixtureRequest) -> Tracer:
    """Each tracer that is installed."""
    tracer = TRACERS[request.param]
    for module in tracer.modules:
        pytest.importorskip(module, reason=REASON)
    return tracer


@pytest.fixture
def tracing(tracer: Tracer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracing]:
    """The tracer, switched on."""
    # One directory for the whole run: creating MLflow's tables takes a second.
    with tracer.start(tmp_path_factory.getbasetemp() / "tracer") as tracing:
        yield tracing


@pytest.fixture
def method(request: pytest.FixtureRequest) -> str:
    """The name of the method that `ask` uses."""
    return str(request.node.callspec.params["ask"])
