"""DeepSeek's service: its chat, files, and web search behind one address."""

from __future__ import annotations

from langchain_cf_deepseek.local.deepseek.chat import Chat, ChatSettings
from langchain_cf_deepseek.local.deepseek.documents import FileLimits
from langchain_cf_deepseek.local.deepseek.files import Files
from langchain_cf_deepseek.local.deepseek.web_api import WebApi
from langchain_cf_deepseek.local.exchange import Call, GatewayResponse, json_response


class DeepSeek:
    """DeepSeek's APIs, served by the simulated model."""

    def __init__(self, chat: ChatSettings, file_limits: FileLimits) -> None:
        self._settings = chat, file_limits
        self.files = Files(file_limits)
        self._chat = Chat(chat, self.files)
        self._web_api = WebApi(chat.web)
        names = dict.fromkeys(model.served for model in chat.models.values())
        self._models = [{"id": name, "object": "model", "owned_by": "deepseek"} for name in names]

    def fresh(self) -> DeepSeek:
        """Return the same APIs without files and with an empty prompt cache."""
        return DeepSeek(*self._settings)

    async def aclose(self) -> None:
        """Do nothing: no connection is open."""

    async def respond(self, call: Call) -> GatewayResponse:
        """Respond to a call; raises `RefusedError` with DeepSeek's own error."""
        if call.endpoint == "models":
            return json_response(200, {"object": "list", "data": self._models})
        if call.endpoint.startswith("files"):
            return await self.files.respond(call)
        if call.endpoint.startswith("v1/tools/"):
            return self._web_api.respond(call)
        return await self._chat.respond(call)
