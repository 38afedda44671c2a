"""Copies of a model, changed or not, and chains that hold one."""

import copy
import pickle
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import cloudpickle
import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, Runnable
from pydantic import BaseModel, SecretStr

from langchain_cf_deepseek import (
    ChatCloudflareDeepSeek,
    GatewayOptions,
)
from langchain_cf_deepseek.errors import CFDeepSeekError
from langchain_cf_deepseek.local import LocalGateway
from tests.conftest import PATHS, Ask
from tests.model_settings import SETTINGS, sent_settings

COPIES: dict[str, Callable[[ChatCloudflareDeepSeek], ChatCloudflareDeepSeek]] = {
    "pickle": lambda llm: pickle.loads(pickle.dumps(llm)),
    "cloudpickle": lambda llm: pickle.loads(cloudpickle.dumps(llm)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "model_copy": lambda llm: llm.model_copy(),
    "deep model_copy": lambda llm: llm.model_copy(deep=True),
    "with_gateway": lambda llm: llm.with_gateway(),
}


@pytest.mark.parametrize("copied_by", COPIES)
def test_copy_is_equal_and_works_after_the_original_is_closed(
    gw: LocalGateway, ask: Ask, copied_by: str
) -> None:
    llm = gw.chat_model(**SETTINGS, default_headers={"X-Team": "search"})
    ask(llm, "Hello")
    original = sent_settings(gw)
    other = COPIES[copied_by](llm)
    assert dict(other) == dict(llm)
    llm.close()
    del llm
    assert ask(other, "Hello").content
    assert sent_settings(gw) == original


@pytest.mark.parametrize("copied_by", COPIES)
def test_models_with_equal_settings_are_equal(gw: LocalGateway, copied_by: str) -> None:
    llm = gw.chat_model(**SETTINGS)
    llm.invoke("Hello")
    assert COPIES[copied_by](llm) == llm
    assert gw.chat_model(**SETTINGS) == llm
    assert gw.chat_model(**SETTINGS, top_p=0.5) != llm


class _City(BaseModel):
    """A city."""

    name: str


CHAINS: dict[str, Callable[[ChatCloudflareDeepSeek], Runnable[Any, Any]]] = {
    "prompt and parser": lambda llm: (
        ChatPromptTemplate.from_messages(["{question}"]) | llm | StrOutputParser()
    ),
    "bound tools": lambda llm: llm.bind_tools([_City]),
    "structured output": lambda llm: llm.with_structured_output(_City),
    "retry and fallback": lambda llm: llm.with_retry().with_fallbacks([llm.with_gateway()]),
    "configurable fields": lambda llm: llm.configurable_fields(
        api_key=ConfigurableField(id="api_key")
    ),
}


@pytest.mark.parametrize("chain", CHAINS)
def test_chain_with_a_used_model_can_be_pickled(gw: LocalGateway, chain: str) -> None:
    llm = gw.chat_model()
    llm.invoke("Hello")
    asked = {"question": "Hello"} if chain == "prompt and parser" else "Hello"
    there = pickle.loads(cloudpickle.dumps(CHAINS[chain](llm)))
    assert there.invoke(asked)
    assert len(gw.requests) == 2


# Settings of the original; the change; the difference in the request.
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "model": ({}, {"model_name": "deepseek-v4-pro"}, {"model": "deepseek-v4-pro"}),
    "api_key": ({}, {"api_key": SecretStr("other")}, {"authorization": "Bearer other"}),
    "gateway_token": (
        {},
        {"gateway_token": SecretStr("other")},
        {"cf-aig-authorization": "Bearer other"},
    ),
    "cloudflare_api_token": (
        {"routing": "unified"},
        {"cloudflare_api_token": SecretStr("other")},
        {"authorization": "Bearer other"},
    ),
    "gateway_id": (
        {"routing": "unified"},
        {"gateway_id": "other"},
        {"cf-aig-gateway-id": "other"},
    ),
    "routing": ({}, {"routing": "compat"}, {"model": "deepseek/deepseek-flash"}),
    "base_url": (
        {},
        {"base_url": "{url}/v1/elsewhere/deepseek"},
        {"path": "/v1/elsewhere/deepseek/chat/completions"},
    ),
    "gateway": (
        {"gateway": {"cache_ttl": 60}},
        {"gateway": GatewayOptions(cache_ttl=120)},
        {"cf-aig-cache-ttl": "120"},
    ),
    "default_headers": (
        {"default_headers": {"X-Team": "search"}},
        {"default_headers": {"X-Team": SecretStr("ads")}},
        {"x-team": "ads"},
    ),
    "default_query": ({}, {"default_query": {"a": "1"}}, {"query": "a=1"}),
    "temperature": ({"temperature": 0.1}, {"temperature": 0.7}, {"temperature": 0.7}),
    "thinking": ({}, {"thinking": "disabled"}, {"thinking": {"type": "disabled"}}),
    "user_id": ({}, {"user_id": "user-1"}, {"user_id": "user-1"}),
}


def _changed_by_model_copy(llm: ChatCloudflareDeepSeek, change: dict[str, Any]) -> Any:
    return llm.model_copy(update=change)


def _changed_by_deep_model_copy(llm: ChatCloudflareDeepSeek, change: dict[str, Any]) -> Any:
    return llm.model_copy(update=change, deep=True)


def _changed_by_configurable_fields(llm: ChatCloudflareDeepSeek, change: dict[str, Any]) -> Any:
    fields: dict[str, Any] = {name: ConfigurableField(id=name) for name in change}
    return llm.configurable_fields(**fields).with_config(configurable=change)


CHANGING = {
    "model_copy": _changed_by_model_copy,
    "deep model_copy": _changed_by_deep_model_copy,
    "configurable_fields": _changed_by_configurable_fields,
}


@pytest.mark.parametrize(
    ("copied_by", "path"),
    [
        ("model_copy", "invoke"),
        ("model_copy", "astream"),
        ("deep model_copy", "invoke"),
        ("configurable_fields", "astream"),
    ],
)
@pytest.mark.parametrize("field", CHANGES)
def test_changed_copy_of_a_used_model_sends_the_change_and_leaves_the_original(
    gw: LocalGateway, path: str, field: str, copied_by: str
) -> None:
    ask = PATHS[path]
    base, change, difference = CHANGES[field]
    llm = gw.chat_model(**base)
    if "base_url" in change:
        change = {"base_url": change["base_url"].format(url=gw.url)}
    ask(llm, "Hello")
    original = sent_settings(gw)
    # The gateway rejects the other credentials and addresses.
    with suppress(CFDeepSeekError):
        ask(CHANGING[copied_by](llm, change), "Hello")
    changed = sent_settings(gw)
    ask(llm, "Hello")
    assert len(gw.requests) == 3
    assert (changed, sent_settings(gw)) == ({**original, **difference}, original)


@pytest.mark.parametrize("copied_by", CHANGING)
def test_changed_copy_has_its_account_and_gateway_in_its_url(
    gw: LocalGateway, copied_by: str
) -> None:
    llm = gw.chat_model(base_url=None)
    changed = CHANGING[copied_by](llm, {"account_id": "f" * 32, "gateway_id": "other"})
    if copied_by == "configurable_fields":
        changed, _ = changed.prepare()
    host = "https://gateway.ai.cloudflare.com/v1"
    assert (changed.endpoint, llm.endpoint) == (
        f"{host}/{'f' * 32}/other/deepseek/chat/completions",
        f"{host}/{gw.account_id}/local/deepseek/chat/completions",
    )


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"api_key": "other"}, {"authorization": "Bearer other"}),
        ({"gateway_token": "other"}, {"cf-aig-authorization": "Bearer other"}),
        ({"gateway": {"cache_ttl": 120}}, {"cf-aig-cache-ttl": "120"}),
        ({"gateway": None}, {}),
    ],
)
@pytest.mark.parametrize("copied_by", CHANGING)
def test_changed_copy_accepts_values_as_the_constructor_does(
    gw: LocalGateway, copied_by: str, change: dict[str, Any], difference: dict[str, Any]
) -> None:
    llm = gw.chat_model()
    llm.invoke("Hello")
    original = sent_settings(gw)
    changed = CHANGING[copied_by](llm, change)
    if isinstance(changed, ChatCloudflareDeepSeek):
        assert "other" not in repr(changed)
    with suppress(CFDeepSeekError):
        changed.invoke("Hello")
    assert len(gw.requests) == 2
    assert sent_settings(gw) == {**original, **difference}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"temprature": 0.5}, "temprature"),
        ({"routing": "nowhere"}, "routing"),
        ({"gateway": {"cache_ttl": 59}}, "cache_ttl"),
        ({"base_url": "http://ai.example.com"}, "base_url"),
        ({"default_headers": {"X-Team": "a\r\nX-Evil: b"}}, "X-Team"),
    ],
)
@pytest.mark.parametrize("copied_by", ["model_copy", "deep model_copy"])
def test_changed_copy_with_an_invalid_value_is_rejected_before_sending(
    gw: LocalGateway, copied_by: str, change: dict[str, Any], named: str
) -> None:
    llm = gw.chat_model()
    with pytest.raises(ValueError, match=named):
        CHANGING[copied_by](llm, change).invoke("Hello")
    assert gw.requests == []
