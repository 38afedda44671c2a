"""Reports failed but billed calls to LangChain's callbacks.

LangChain's usage callbacks count successful calls only, and its tracers get the HTTP response of a
failed `invoke` without the tokens in it.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Self
from weakref import WeakSet

from langchain_core.callbacks import CallbackManager, Callbacks, UsageMetadataCallbackHandler
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGeneration, LLMResult

from langchain_cf_deepseek.errors import CFDeepSeekError

_counted_errors: WeakSet[CFDeepSeekError] = WeakSet()
"""Errors whose tokens are counted: one of `invoke` can pass through `stream` as well."""


@contextmanager
def usage_reported(call_callbacks: Callbacks, model_callbacks: Callbacks) -> Iterator[None]:
    """If a call fails, have LangChain's usage callbacks count its tokens.

    Args:
        call_callbacks: The callbacks of the call.
        model_callbacks: The callbacks of the model.
    """
    try:
        yield
    except CFDeepSeekError as error:
        if error.raw_message and error.usage_metadata and error not in _counted_errors:
            _counted_errors.add(error)
            result = LLMResult(generations=[[ChatGeneration(message=error.raw_message)]])
            for handler in CallbackManager.configure(call_callbacks, model_callbacks).handlers:
                if isinstance(handler, UsageMetadataCallbackHandler):
                    handler.on_llm_end(result)
        raise


class ReportedStream:
    """An async stream whose failure is reported to usage callbacks.

    Not a generator: at the end of an event loop all generators are closed at once, so a generator
    that wraps another would close it twice.
    """

    def __init__(
        self,
        chunks: AsyncIterator[AIMessageChunk],
        call_callbacks: Callbacks,
        model_callbacks: Callbacks,
    ) -> None:
        """Wrap a stream; the callbacks are those of `usage_reported`."""
        self._chunks = chunks
        self._callbacks = call_callbacks, model_callbacks

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AIMessageChunk:
        with usage_reported(*self._callbacks):
            return await anext(self._chunks)

    async def aclose(self) -> None:
        """Close the stream."""
        if isinstance(self._chunks, AsyncGenerator):
            await self._chunks.aclose()


@contextmanager
def message_traced(run_manager: Any) -> Iterator[None]:
    """If `invoke` fails, pass its message to tracers, as LangChain does for a stream.

    Args:
        run_manager: LangChain's manager of the run, whose `on_llm_error` is called afterwards.
    """
    try:
        yield
    except CFDeepSeekError as error:
        if run_manager is not None and error.raw_message:
            generation = ChatGeneration(message=error.raw_message)
            original = run_manager.on_llm_error

            def on_llm_error(failure: BaseException, *, response: LLMResult, **kwargs: Any) -> Any:
                response = LLMResult(generations=[[generation], *response.generations])
                return original(failure, response=response, **kwargs)

            run_manager.on_llm_error = on_llm_error
        raise
