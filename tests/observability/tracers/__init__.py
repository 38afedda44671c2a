"""Every tracer by name: how to switch it on, how to read it, and where it deviates."""

from tests.observability.tracers import langfuse, langsmith, mlflow, openinference, traceloop
from tests.observability.tracing import Tracer

TRACERS: dict[str, Tracer] = {
    "LangSmith": langsmith.TRACER,
    "OpenInference": openinference.TRACER,
    "Traceloop": traceloop.TRACER,
    "Langfuse": langfuse.TRACER,
    "MLflow": mlflow.TRACER,
}
