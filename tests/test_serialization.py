"""Models dumped and loaded by LangChain's serialization."""

import json
from typing import Any

import pytest
from langchain_core.load import dumpd, dumps, load, loads

from langchain_cf_deepseek import (
    ChatCloudflareDeepSeek,
)
from langchain_cf_deepseek.local import LocalGateway
from tests.conftest import Ask
from tests.model_settings import SETTINGS, sent_settings

BETA = pytest.mark.filterwarnings("ignore:The function `loads?` is in beta")


def _revive(gw: LocalGateway) -> dict[str, Any]:
    return {
        "allowed_objects": [ChatCloudflareDeepSeek],
        "valid_namespaces": ["langchain_cf_deepseek"],
        "secrets_map": {
            "DEEPSEEK_API_KEY": gw.api_key,
            "CF_AIG_TOKEN": gw.gateway_token,
            "CLOUDFLARE_API_TOKEN": gw.cloudflare_api_token,
        },
    }


@BETA
@pytest.mark.parametrize("routing", ["provider-native", "unified", "compat"])
def test_serialized_model_is_loaded_equal_and_works(
    gw: LocalGateway, ask: Ask, routing: Any
) -> None:
    llm = gw.chat_model(routing=routing)
    ask(llm, "Hello")
    original = sent_settings(gw)
    original_fields = dict(llm)
    for loaded in (
        loads(dumps(llm), **_revive(gw)),
        load(json.loads(dumps(llm)), **_revive(gw)),
        load(dumpd(llm), **_revive(gw)),
    ):
        assert dict(loaded) == original_fields
        assert ask(loaded, "Hello").content
        assert sent_settings(gw) == original


@BETA
@pytest.mark.parametrize("setting", SETTINGS)
def test_serialized_settings_survive_loading(gw: LocalGateway, setting: str) -> None:
    llm = gw.chat_model(**{setting: SETTINGS[setting]})
    loaded = loads(dumps(llm), **_revive(gw))
    assert dict(loaded) == dict(llm)
    assert loaded.invoke("Hello").content


@BETA
def test_serialized_model_reads_its_secrets_from_the_environment(
    gw: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = dumps(gw.chat_model())
    monkeypatch.setenv("DEEPSEEK_API_KEY", gw.api_key)
    monkeypatch.setenv("CF_AIG_TOKEN", gw.gateway_token)
    revive = {**_revive(gw), "secrets_map": {}, "secrets_from_env": True}
    assert loads(text, **revive).invoke("Hello").content
