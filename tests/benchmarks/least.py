"""The least that a chat model of LangChain can be: it keeps the text of an answer, nothing else."""

from collections.abc import AsyncIterator, Iterator
from functools import cached_property
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from typing_extensions import override

from tests.benchmarks.bare import async_client, body, client, data_of


def _result(completion: Any) -> ChatResult:
    message = AIMessage(completion["choices"][0]["message"]["content"])
    return ChatResult(generations=[ChatGeneration(message=message)])


def _chunk(event: Any) -> ChatGenerationChunk:
    text = event["choices"][0]["delta"].get("content") or ""
    return ChatGenerationChunk(message=AIMessageChunk(content=text))


class LeastChatModel(BaseChatModel):
    url: str

    @cached_property
    def _client(self) -> Any:
        return client()

    @cached_property
    def _async_client(self) -> Any:
        return async_client()

    @property
    @override
    def _llm_type(self) -> str:
        return "least"

    @override
    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        asked = body(messages[0].text, stream=False)
        return _result(self._client.post(self.url, json=asked).json())

    @override
    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        asked = body(messages[0].text, stream=False)
        return _result((await self._async_client.post(self.url, json=asked)).json())

    @override
    def _stream(
        self, messages: list[BaseMessage], *_: Any, **__: Any
    ) -> Iterator[ChatGenerationChunk]:
        asked = body(messages[0].text, stream=True)
        with self._client.stream("POST", self.url, json=asked) as response:
            for line in response.iter_lines():
                if data := data_of(line):
                    yield _chunk(data)

    @override
    async def _astream(
        self, messages: list[BaseMessage], *_: Any, **__: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        asked = body(messages[0].text, stream=True)
        async with self._async_client.stream("POST", self.url, json=asked) as response:
            async for line in response.aiter_lines():
                if data := data_of(line):
                    yield _chunk(data)
