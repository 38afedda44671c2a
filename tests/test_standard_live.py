"""LangChain's own tests against Cloudflare and DeepSeek themselves, where credentials are set.

Set CLOUDFLARE_ACCOUNT_ID, CLOUDFLARE_GATEWAY_ID, and for provider-native routing DEEPSEEK_API_KEY
or CF_AIG_TOKEN, for unified routing CLOUDFLARE_API_TOKEN; then run this file.
"""

import os
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_cf_deepseek import ChatCloudflareDeepSeek
from langchain_cf_deepseek.data.routings import Routing

# Read when the module is loaded: the tests themselves run without the variables of the machine.
_SETTINGS: dict[str, str | None] = {
    "account_id": os.environ.get("CLOUDFLARE_ACCOUNT_ID"),
    "gateway_id": os.environ.get("CLOUDFLARE_GATEWAY_ID"),
    "api_key": os.environ.get("DEEPSEEK_API_KEY"),
    "gateway_token": os.environ.get("CF_AIG_TOKEN"),
    "cloudflare_api_token": os.environ.get("CLOUDFLARE_API_TOKEN"),
}


class _LiveTests(ChatModelIntegrationTests):
    routing: Routing
    served: str

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatCloudflareDeepSeek

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": self.served, "routing": self.routing, **_SETTINGS}

    @property
    def supports_json_mode(self) -> bool:
        return True


@pytest.mark.skipif(
    not (_SETTINGS["account_id"] and (_SETTINGS["api_key"] or _SETTINGS["gateway_token"])),
    reason="CLOUDFLARE_ACCOUNT_ID and DEEPSEEK_API_KEY or CF_AIG_TOKEN are not set",
)
class TestLiveProviderNative(_LiveTests):
    routing = "provider-native"
    served = "deepseek-flash"


@pytest.mark.skipif(
    not (_SETTINGS["account_id"] and _SETTINGS["cloudflare_api_token"]),
    reason="CLOUDFLARE_ACCOUNT_ID and CLOUDFLARE_API_TOKEN are not set",
)
class TestLiveUnified(_LiveTests):
    routing = "unified"
    served = "deepseek-v4-pro"
