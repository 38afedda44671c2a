"""What LangChain's callbacks are told of a call that was billed and failed.

LangChain tells its usage callbacks of successful calls only, and shows tracers the HTTP response of
a failed `invoke` without the tokens in it.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Self

from langchain_core.callbacks import CallbackManager, Callbacks, UsageMetadataCallbackHandler
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGeneration, LLMResult

from langchain_cf_deepseek.errors import CFDeepSeekError


@contextmanager
def usage_reported(call: Callbacks, model: Callbacks) -> Iterator[None]:
    """Count the tokens of a call that fails with LangChain's usage callbacks.

    Args:
        call: The callbacks of the call.
        model: The callbacks of the model.
    """
    try:
        yield
    except CFDeepSeekError as error:
        # `stream` may call `invoke`: the first to know counts.
        if error.raw_message and error.usage_metadata and not error._is_usage_reported:  # noqa: SLF001
            error._is_usage_reported = True  # noqa: SLF001
            result = LLMResult(generations=[[ChatGeneration(message=error.raw_message)]])
            for handler in CallbackManager.configure(call, model).handlers:
                if isinstance(handler, UsageMetadataCallbackHandler):
                    handler.on_llm_end(result)
        raise


class ReportedStream:
    """An async stream whose failure is reported.

    No generator: at the end of an event loop all generators are closed at once, and one around
    another would close it twice.
    """

    def __init__(
        self, chunks: AsyncIterator[AIMessageChunk], call: Callbacks, model: Callbacks
    ) -> None:
        """Wrap a stream; `call` and `model` as in `usage_reported`."""
        self._chunks = chunks
        self._callbacks = call, model

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AIMessageChunk:
        with usage_reported(*self._callbacks):
            return await anext(self._chunks)

    async def aclose(self) -> None:
        """End the stream."""
        if isinstance(self._chunks, AsyncGenerator):
            await self._chunks.aclose()


@contextmanager
def message_traced(run_manager: Any) -> Iterator[None]:
    """Show tracers the message of an `invoke` that fails, as LangChain does for a stream.

    Args:
        run_manager: LangChain's manager of the run, which it tells of the failure afterwards.
    """
    try:
        yield
    except CFDeepSeekError as error:
        if run_manager is not None and error.raw_message:
            generation = ChatGeneration(message=error.raw_message)
            tell = run_manager.on_llm_error

            def on_llm_error(failure: BaseException, *, response: LLMResult, **kwargs: Any) -> Any:
                response = LLMResult(generations=[[generation], *response.generations])
                return tell(failure, response=response, **kwargs)

            run_manager.on_llm_error = on_llm_error
        raise
