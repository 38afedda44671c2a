"""Instrumentations of the `openai` package beside those of LangChain."""

import pytest

from langchain_cf_deepseek.local import LocalGateway
from tests.observability.conftest import REASON
from tests.observability.spans import SpanMemory


def test_an_instrumentation_of_the_openai_package_records_nothing(gw: LocalGateway) -> None:
    module = pytest.importorskip("openinference.instrumentation.openai", reason=REASON)
    memory = SpanMemory()
    instrumentor = module.OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=memory.provider)
    try:
        llm = gw.chat_model()
        llm.invoke("What is 6 * 7?")
        list(llm.stream("What is 6 * 7?"))
    finally:
        instrumentor.uninstrument()
    assert len(gw.requests) == 2
    assert memory.spans == []
