"""Feedback on a real message in a real gateway, where credentials are set.

Set CLOUDFLARE_ACCOUNT_ID, CLOUDFLARE_GATEWAY_ID, DEEPSEEK_API_KEY or CF_AIG_TOKEN, and
CLOUDFLARE_API_TOKEN to a token with the permissions AI Gateway Read and Edit; then run this file.
"""

import os
from typing import Any

import pytest

from langchain_cf_deepseek import ChatCloudflareDeepSeek, GatewayOptions
from langchain_cf_deepseek.logs import GatewayLogs

# Read when the module is loaded: the tests themselves run without the variables of the machine.
_SETTINGS: dict[str, Any] = {
    "account_id": os.environ.get("CLOUDFLARE_ACCOUNT_ID"),
    "gateway_id": os.environ.get("CLOUDFLARE_GATEWAY_ID"),
    "api_key": os.environ.get("DEEPSEEK_API_KEY"),
    "gateway_token": os.environ.get("CF_AIG_TOKEN"),
    "cloudflare_api_token": os.environ.get("CLOUDFLARE_API_TOKEN"),
}

pytestmark = pytest.mark.skipif(
    not (
        _SETTINGS["account_id"]
        and _SETTINGS["gateway_id"]
        and _SETTINGS["cloudflare_api_token"]
        and (_SETTINGS["api_key"] or _SETTINGS["gateway_token"])
    ),
    reason="CLOUDFLARE_ACCOUNT_ID, CLOUDFLARE_GATEWAY_ID, CLOUDFLARE_API_TOKEN, and "
    "DEEPSEEK_API_KEY or CF_AIG_TOKEN are not all set",
)


async def test_feedback_on_a_real_message_is_in_its_log() -> None:
    llm = ChatCloudflareDeepSeek(
        model="deepseek-flash", gateway=GatewayOptions(metadata={"test": "live"}), **_SETTINGS
    )
    message = await llm.ainvoke("Say hello.", max_tokens=200)
    logs = GatewayLogs.of(llm)
    await logs.afeedback(message, 1, score=90)
    entry = await logs.aget(message)
    assert entry.id == message.response_metadata["cloudflare_gateway"]["log_id"]
    tags: Any = entry.metadata  # a string to the SDK's types
    assert (entry.success, tags) == (True, {"test": "live"})
    assert logs.request(message)["messages"][0]["content"] == "Say hello."
    assert logs.response(message)["choices"][0]["message"]["content"] == message.text
