"""Calls are recorded by vcrpy and played again, as those of other chat models are."""

from pathlib import Path
from typing import Any

import pytest
import vcr

from langchain_cf_deepseek.local import LocalGateway
from tests.conftest import PATHS

CREDENTIALS = ["authorization", "cf-aig-authorization"]


def _cassette(path: Path) -> Any:
    return vcr.use_cassette(
        str(path), record_mode="once", filter_headers=[(name, "**") for name in CREDENTIALS]
    )


@pytest.mark.parametrize("path", PATHS)
def test_cassette_records_and_replays_a_call(gw: LocalGateway, path: str, tmp_path: Path) -> None:
    file = tmp_path / "cassette.yaml"
    with _cassette(file):
        recorded = PATHS[path](gw.chat_model(), "What is 6 * 7?")
    with _cassette(file):
        played = PATHS[path](gw.chat_model(max_retries=0), "What is 6 * 7?")
    assert len(gw.requests) == 1
    assert played.content == recorded.content == "6 * 7 = 42"
    assert played.response_metadata == recorded.response_metadata
    assert "log_id" in played.response_metadata["cloudflare_gateway"]
    assert [secret for secret in (gw.api_key, gw.gateway_token) if secret in file.read_text()] == []


@pytest.mark.parametrize("path", PATHS)
def test_cassette_no_longer_serves_calls_after_its_block(
    gw: LocalGateway, path: str, tmp_path: Path
) -> None:
    llm = gw.chat_model(max_retries=0)
    with _cassette(tmp_path / "cassette.yaml"):
        PATHS[path](llm, "Hello")
    assert PATHS[path](llm, "Hello").content
    assert len(gw.requests) == 2
