"""LangChain's cache of completions."""

import copy
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache

from langchain_cf_deepseek import (
    GatewayOptions,
)
from langchain_cf_deepseek.local import LocalGateway
from tests.conftest import PATHS


def test_llm_cache_serves_the_same_model_twice(gw: LocalGateway) -> None:
    llm = gw.chat_model(cache=InMemoryCache())
    answers = [PATHS[path](llm, "Hello").content for path in ("invoke", "ainvoke", "invoke")]
    assert (len(set(map(str, answers))), len(gw.requests)) == (1, 1)


OTHERS: dict[str, dict[str, Any]] = {
    "gateway_id": {"gateway_id": "default"},
    "account_id": {"account_id": "f" * 32},
    "routing": {"routing": "compat", "base_url": "{url}/v1/{account}/local/compat"},
    "base_url": {"base_url": "{url}/v1/{account}/default/deepseek"},
    "gateway": {"gateway": GatewayOptions(metadata={"team": "search"})},
    "model_name": {"model_name": "deepseek-v4-pro"},
    "temperature": {"temperature": 0.9},
    "thinking": {"thinking": "disabled"},
}


@pytest.mark.parametrize("path", ["invoke", "ainvoke"])
@pytest.mark.parametrize("difference", OTHERS)
def test_llm_cache_does_not_share_completions_between_different_models(
    gw: LocalGateway, path: str, difference: str
) -> None:
    cache = InMemoryCache()
    ask = PATHS[path]
    change = {
        name: value.format(url=gw.url, account=gw.account_id) if name == "base_url" else value
        for name, value in OTHERS[difference].items()
    }
    llm = gw.chat_model(cache=cache)
    ask(llm, "Hello")
    # Created after the first call, which set private attributes of the model.
    changed = {
        "model_copy": llm.model_copy(update=change),
        "deep model_copy": llm.model_copy(update=change, deep=True),
        "construction": gw.chat_model(
            **{"model" if name == "model_name" else name: value for name, value in change.items()},
            cache=cache,
        ),
    }
    ask(changed["model_copy"], "Hello")
    assert len(gw.requests) == 2
    ask(changed["construction"], "Hello")
    ask(llm, "Hello")
    assert len(gw.requests) == 2
    # A deep copy has a deep copy of the cache as well.
    ask(changed["deep model_copy"], "Hello")
    assert len(gw.requests) == 3


def test_llm_cache_recognises_a_model_that_was_changed_in_place(gw: LocalGateway) -> None:
    llm = gw.chat_model(cache=InMemoryCache(), routing="unified")
    other = copy.copy(llm)
    llm.invoke("Hello")
    another = copy.copy(llm)
    for changed in (llm, other, another):
        changed.gateway_id = "default"
    llm.invoke("Hello")
    other.invoke("Hello")
    another.invoke("Hello")
    assert [request.headers["cf-aig-gateway-id"] for request in gw.requests] == ["local", "default"]


def test_llm_cache_does_not_share_completions_between_calls_with_other_options(
    gw: LocalGateway,
) -> None:
    llm = gw.chat_model(cache=InMemoryCache())
    for options in ({}, {"cache_key": "a"}, {"cache_key": "b"}, {"cache_key": "a"}):
        llm.invoke("Hello", gateway=options)
    sent = [request.headers.get("cf-aig-cache-key") for request in gw.requests]
    assert sent == [None, "a", "b"]


def test_llm_cache_does_not_share_completions_between_different_headers_of_a_call(
    gw: LocalGateway,
) -> None:
    llm = gw.chat_model(cache=InMemoryCache())
    for team in ("search", "ads", "search"):
        llm.invoke("Hello", extra_headers={"X-Team": team})
    assert [request.headers["x-team"] for request in gw.requests] == ["search", "ads"]
