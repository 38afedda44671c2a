"""LangSmith's two ingestion endpoints."""

from pathlib import Path

import pytest

from langchain_cf_deepseek.local import LocalGateway
from tests.observability.tracers import langsmith


@pytest.mark.parametrize("multipart", [True, False], ids=["multipart", "batch"])
def test_a_run_is_complete_on_both_ingestion_endpoints(
    gw: LocalGateway, tmp_path: Path, multipart: bool
) -> None:
    with langsmith.start(tmp_path, multipart=multipart) as tracing:
        llm = gw.chat_model()
        message = llm.invoke("What is 6 * 7?", config={"callbacks": list(tracing.callbacks)})
        [request] = tracing.read_requests()
        is_multipart = tracing.read_export().startswith(b"--")
    assert request.log_id == message.response_metadata["cloudflare_gateway"]["log_id"]
    assert request.served_model == "deepseek-flash"
    assert is_multipart == multipart
