"""Which fields of langchain-openai's base class have an effect, whichever version it is of."""

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai.chat_models.base import BaseChatOpenAI
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from langchain_cf_deepseek import ChatCloudflareDeepSeek
from langchain_cf_deepseek.chat_models import USED_PARENT_FIELDS
from tests.conftest import ACCOUNT

UNUSED: dict[str, Any] = {
    "async_client": object(),
    "client": object(),
    "context_management": [{"type": "compaction"}],
    "disabled_params": {"parallel_tool_calls": None},
    "http_socket_options": [(1, 2, 3)],
    "include": ["reasoning.encrypted_content"],
    "include_response_headers": True,
    "openai_api_base": "https://example.com",
    "openai_api_key": "key",
    "openai_organization": "organization",
    "openai_proxy": "http://example.com",
    "prompt_cache_options": {"ttl": "1h"},
    "reasoning": {"effort": "high"},
    "root_async_client": object(),
    "root_client": object(),
    "service_tier": "flex",
    "store": True,
    "tiktoken_model_name": "gpt-4o",
    "truncation": "auto",
    "use_previous_response_id": True,
    "use_responses_api": True,
    "verbosity": "low",
}
"""The other fields, with a value of each."""


def model(**settings: Any) -> ChatCloudflareDeepSeek:
    return ChatCloudflareDeepSeek(
        model="deepseek-flash",
        account_id=ACCOUNT,
        gateway_id="main",
        api_key=SecretStr("key"),
        **settings,
    )


def test_every_field_of_the_parent_is_known_to_be_used_or_unused() -> None:
    own = BaseChatOpenAI.model_fields.keys() - BaseChatModel.model_fields.keys()
    assert own == USED_PARENT_FIELDS | UNUSED.keys()
    assert not USED_PARENT_FIELDS & UNUSED.keys()


@pytest.mark.parametrize("name", UNUSED)
def test_an_unused_field_of_the_parent_is_rejected_when_it_is_set(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        model(**{name: UNUSED[name]})
    (error,) = caught.value.errors()
    assert error["msg"].startswith(f"Value error, `{name}` is not for this model: ")


@pytest.fixture
def newer_parent(monkeypatch: pytest.MonkeyPatch) -> type[ChatCloudflareDeepSeek]:
    """The class on a langchain-openai whose base class has one more field."""
    added = FieldInfo(annotation=str, default="standard", alias="tier")
    monkeypatch.setitem(BaseChatOpenAI.model_fields, "service_level", added)

    class Newer(ChatCloudflareDeepSeek):
        service_level: str = added  # type: ignore[assignment]

    return Newer


@pytest.mark.parametrize("name", ["service_level", "tier"])
def test_a_field_of_a_newer_parent_is_rejected_when_it_is_set(
    newer_parent: type[ChatCloudflareDeepSeek], name: str
) -> None:
    settings = {"model": "deepseek-flash", "account_id": ACCOUNT, "gateway_id": "g", "api_key": "k"}
    with pytest.raises(ValidationError) as caught:
        newer_parent(**settings, **{name: "priority"})
    (error,) = caught.value.errors()
    assert error["msg"] == (
        f"Value error, `{name}` is not for this model: it has no effect here; use `extra_body` to "
        "send a parameter of its name."
    )


def test_a_field_of_a_newer_parent_is_no_obstacle_to_a_copy(
    newer_parent: type[ChatCloudflareDeepSeek],
) -> None:
    settings = {"model": "deepseek-flash", "account_id": ACCOUNT, "gateway_id": "g", "api_key": "k"}
    llm = newer_parent(**settings)
    assert llm.model_copy(update={"temperature": 0.5}).temperature == 0.5
    assert llm.with_gateway(skip_cache=True).gateway.skip_cache
