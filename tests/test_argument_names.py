"""Arguments of other chat model classes: each is a field here, or the error says what to write."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_deepseek import ChatDeepSeek
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from pydantic import ValidationError

from langchain_cf_deepseek import ChatCloudflareDeepSeek
from langchain_cf_deepseek.chat_models import _unused_fields

SETTINGS = {
    "model": "deepseek-flash",
    "account_id": "0" * 32,
    "gateway_id": "production",
    "api_key": "sk-0",
}

REJECTED = set(_unused_fields(ChatCloudflareDeepSeek))

OWN_FIELDS = {
    "cache",
    "callbacks",
    "custom_get_token_ids",
    "default_headers",
    "default_query",
    "disable_streaming",
    "disabled_params",
    "extra_body",
    "frequency_penalty",
    "http_async_client",
    "http_client",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_retries",
    "max_tokens",
    "metadata",
    "model",
    "model_kwargs",
    "model_name",
    "n",
    "name",
    "output_version",
    "presence_penalty",
    "profile",
    "rate_limiter",
    "reasoning_effort",
    "request_timeout",
    "seed",
    "stop",
    "stop_sequences",
    "stream_chunk_timeout",
    "stream_usage",
    "streaming",
    "tags",
    "temperature",
    "timeout",
    "top_logprobs",
    "top_p",
    "verbose",
    *SETTINGS,
    "base_url",
    "cloudflare_api_token",
}
"""Fields of other classes that mean the same here."""

CLOUDFLARE_WORKERS_AI = """
    account_id ai_gateway aig_allowed_models aig_backoff aig_max_attempts aig_no_session_affinity
    aig_request_timeout aig_retry_delay aig_session_id aig_turn_id api_token async_client base_url
    binding client cloudflare_account_id cloudflare_ai_gateway cloudflare_api_base
    cloudflare_api_token default_query endpoint_format frequency_penalty http_async_client
    http_client max_retries max_tokens model model_kwargs model_name n presence_penalty
    reject_if_busy repetition_penalty request_timeout session_id stop stop_sequences temperature
    timeout top_k top_p
"""
"""The fields of `langchain_cloudflare.ChatCloudflareWorkersAI` 0.4."""

LITELLM = """
    anthropic_api_key api_base api_key azure_api_key base_model client cohere_api_key
    custom_llm_provider extra_headers huggingface_api_key max_retries max_tokens model model_kwargs
    model_name n num_ctx openai_api_key openrouter_api_key organization replicate_api_key
    request_timeout stream_options streaming temperature together_ai_api_key top_k top_p
    use_responses_api
"""
"""The fields of `langchain_litellm.ChatLiteLLM` 0.3."""

INIT_CHAT_MODEL = "model model_provider configurable_fields config_prefix"

OFTEN_WRITTEN = """
    base cf_aig_token deepseek_api_base deepseek_api_key endpoint function_call functions headers
    http_proxy https_proxy max_concurrency max_output_tokens messages num_retries
    parallel_tool_calls provider proxies proxy response_format response_schema schema strict stream
    system system_prompt thinking_budget token tool_choice tools user
"""


OTHER_VALUES = {"prompt_cache_options": {"ttl": "1h"}, "store": True}
"""Where text would be refused for its type."""


def _names() -> Iterator[str]:
    for model_class in (ChatOpenAI, AzureChatOpenAI, ChatDeepSeek):
        for name, field in model_class.model_fields.items():
            yield name
            yield field.alias or name
    for names in (CLOUDFLARE_WORKERS_AI, LITELLM, INIT_CHAT_MODEL, OFTEN_WRITTEN):
        yield from names.split()


@pytest.mark.parametrize("name", sorted(set(_names()) - OWN_FIELDS))
def test_arguments_of_other_classes_are_rejected_with_the_right_name(name: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        ChatCloudflareDeepSeek(**SETTINGS, **{name: OTHER_VALUES.get(name, "value")})
    (error,) = refusal.value.errors()
    message = str(error["msg"]).removeprefix("Value error, ")
    assert f"{name}" in message
    assert "unknown argument" not in message
    assert "did you mean" not in message
    for advised in re.findall(r"use `(\w+)", message):
        assert advised not in REJECTED
        assert advised in ChatCloudflareDeepSeek.model_fields.keys() | OWN_FIELDS or hasattr(
            ChatCloudflareDeepSeek, advised
        )


def test_advice_of_the_error_is_accepted_when_followed() -> None:
    settings: dict[str, Any] = {**SETTINGS, "aig_retry_delay": 200}
    with pytest.raises(ValidationError, match=r"`aig_retry_delay` .*`gateway=\{'retry_delay_ms'"):
        ChatCloudflareDeepSeek(**settings)
    settings = {**SETTINGS, "gateway": {"retry_delay_ms": 200}}
    assert ChatCloudflareDeepSeek(**settings).gateway.headers == {"cf-aig-retry-delay": "200"}
