"""Structured output: one parser for results in a tool call and for results as JSON in the text.

`request` decides between the two for each request: DeepSeek rejects a forced tool call while it
thinks.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, BaseMessageChunk
from langchain_core.output_parsers import BaseCumulativeTransformOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation
from langchain_core.runnables import Runnable, RunnableConfig, RunnableSerializable
from langchain_core.runnables.config import ensure_config, patch_config
from langchain_core.runnables.utils import AddableDict, aadd, add
from langchain_core.utils.json import parse_partial_json
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel, ConfigDict
from typing_extensions import override

from langchain_cf_deepseek._api.json_text import find_json_start, read_json
from langchain_cf_deepseek._surrogates import JsonSurrogateJoiner
from langchain_cf_deepseek.errors import CFDeepSeekError


class StructuredOutputParser(BaseCumulativeTransformOutputParser[Any]):
    """Parses the result in a message.

    Results of a stream are partial until its end, when the complete result is validated.
    """

    result_type: Any = None
    """A Pydantic class; otherwise results are dicts."""

    tool_name: str | None = None
    """The tool whose arguments are the result; `None`: the result is JSON in the text."""

    required: tuple[str, ...] = ()
    """The keys that a dict must have."""

    @property
    def _type(self) -> str:
        return "cloudflare-deepseek-structured-output"

    @property
    @override
    def OutputType(self) -> Any:
        return self.result_type or dict[str, Any]

    @override
    def parse(self, text: str) -> Any:
        """Return the result in a text."""
        return self.parse_result([Generation(text=text)])

    @override
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Return the result in a response; `None` where a partial response holds none yet.

        Raises:
            OutputParserException: There is no result, or it does not match the schema.
            pydantic.ValidationError: The arguments of the tool call do not match the class.
        """
        generation = result[0]
        message = generation.message if isinstance(generation, ChatGeneration) else None
        calls = message.tool_calls if isinstance(message, AIMessage) else []
        for call in calls:
            if call["name"] == self.tool_name:
                return self._validate(
                    call["args"], call["args"], partial=partial, is_tool_call=True
                )
        text = message.text if message else generation.text
        if partial:
            return self._validate(_partial_json(text), text, partial=True)
        if calls:
            names = ", ".join(repr(call["name"]) for call in calls)
            msg = f"the model called {names} instead of giving the result"
            raise OutputParserException(msg, llm_output=text)
        try:
            value = read_json(text)
        except ValueError:
            msg = f"the response holds no JSON, but: {text!r:.500}"
            raise OutputParserException(msg, llm_output=text) from None
        return self._validate(value, text)

    def _validate(
        self, value: Any, source: Any, *, partial: bool = False, is_tool_call: bool = False
    ) -> Any:
        """Return the result for a JSON value; `None` for a partial value that is not valid yet."""
        if self.result_type is not None and not (partial and value is None):
            try:
                return _build_instance(self.result_type, value)
            except ValueError as error:  # the base of both Pydantic versions' errors
                if partial:
                    return None
                if is_tool_call:
                    raise
                msg = f"the JSON does not match {self.result_type.__name__}: {error}"
                raise OutputParserException(msg, llm_output=str(source)) from error
        if partial:
            return value if isinstance(value, dict) else None
        is_object = isinstance(value, dict)
        missing = [name for name in self.required if not is_object or name not in value]
        if not is_object or missing:
            keys = f" with the keys {', '.join(self.required)}" if self.required else ""
            msg = f"the result is not a JSON object{keys}: {value!r:.500}"
            raise OutputParserException(msg, llm_output=str(source))
        return value

    @override
    def _transform(self, input: Iterator[str | BaseMessage]) -> Iterator[Any]:
        results = _PartialResults(self)
        for chunk in input:
            yield from results.add(chunk)
        yield from results.finish()

    @override
    async def _atransform(self, input: AsyncIterator[str | BaseMessage]) -> AsyncIterator[Any]:
        results = _PartialResults(self)
        async for chunk in input:
            for parsed in results.add(chunk):
                yield parsed
        for parsed in results.finish():
            yield parsed


class _PartialResults:
    """The results of a growing message."""

    def __init__(self, parser: StructuredOutputParser) -> None:
        self._parser = parser
        self._received: Any = None
        self._parsed: Any = None

    def add(self, chunk: str | BaseMessage) -> Iterator[Any]:
        """Yield the partial result, if `chunk` changes it."""
        self._received = add([self._received, _to_generation(chunk)])
        parsed = self._parser.parse_result([self._received], partial=True)
        if parsed is not None and parsed != self._parsed:
            self._parsed = parsed
            yield parsed

    def finish(self) -> Iterator[Any]:
        """Yield the complete result, if it differs from the last partial one."""
        if self._received is not None:
            parsed = self._parser.parse_result([self._received])
            if self._parsed is None or parsed != self._parsed:
                yield parsed


class RawAndParsed(RunnableSerializable[Any, Any]):
    """Calls a model, and returns its message with the result or the error."""

    llm: Runnable[Any, Any]
    parser: StructuredOutputParser

    model_config = ConfigDict(arbitrary_types_allowed=True)

    @override
    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Return a dict of `raw`, `parsed` and `parsing_error`."""
        return self._call_with_config(self._invoke, input, config, **kwargs)

    @override
    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Return a dict of `raw`, `parsed` and `parsing_error`."""
        return await self._acall_with_config(self._ainvoke, input, config, **kwargs)

    @override
    def stream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        """Yield dicts whose sum is that of `invoke`."""
        yield from self.transform(iter([input]), config, **kwargs)

    @override
    async def astream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """Yield dicts whose sum is that of `ainvoke`."""

        async def inputs() -> AsyncIterator[Any]:
            yield input

        async for part in self.atransform(inputs(), config, **kwargs):
            yield part

    @override
    def transform(
        self, input: Iterator[Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        """Yield dicts whose sum is that of `invoke`, for an input in chunks."""
        yield from self._transform_stream_with_config(input, self._stream, config, **kwargs)

    @override
    async def atransform(
        self, input: AsyncIterator[Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """Yield dicts whose sum is that of `ainvoke`, for an input in chunks."""
        async for part in self._atransform_stream_with_config(
            input, self._astream, config, **kwargs
        ):
            yield part

    def _invoke(
        self, model_input: Any, run_manager: Any, config: RunnableConfig, **kwargs: Any
    ) -> Any:
        try:
            raw = self.llm.invoke(model_input, _child_config(config, run_manager), **kwargs)
        except CFDeepSeekError as error:
            return _failure(error)
        return {"raw": raw, **self._outcome(raw)}

    async def _ainvoke(
        self, model_input: Any, run_manager: Any, config: RunnableConfig, **kwargs: Any
    ) -> Any:
        try:
            raw = await self.llm.ainvoke(model_input, _child_config(config, run_manager), **kwargs)
        except CFDeepSeekError as error:
            return _failure(error)
        return {"raw": raw, **self._outcome(raw)}

    def _stream(
        self, inputs: Iterator[Any], run_manager: Any, config: RunnableConfig, **kwargs: Any
    ) -> Iterator[AddableDict]:
        model_input = add(inputs)
        received: Any = None
        try:
            for chunk in self.llm.stream(model_input, _child_config(config, run_manager), **kwargs):
                received = add([received, chunk])
                yield AddableDict(raw=chunk)
        except CFDeepSeekError as error:
            yield _last_part_of_failure(error, received)
        else:
            yield AddableDict(self._outcome(received))

    async def _astream(
        self, inputs: AsyncIterator[Any], run_manager: Any, config: RunnableConfig, **kwargs: Any
    ) -> AsyncIterator[AddableDict]:
        model_input = await aadd(inputs)
        received: Any = None
        try:
            async for chunk in self.llm.astream(
                model_input, _child_config(config, run_manager), **kwargs
            ):
                received = add([received, chunk])
                yield AddableDict(raw=chunk)
        except CFDeepSeekError as error:
            yield _last_part_of_failure(error, received)
        else:
            yield AddableDict(self._outcome(received))

    def _outcome(self, raw: AIMessage) -> dict[str, Any]:
        try:
            parsed = self.parser.parse_result([ChatGeneration(message=raw)])
        except ValueError as error:  # the base of LangChain's error and of both Pydantic versions'
            return {"parsed": None, "parsing_error": error}
        return {"parsed": parsed, "parsing_error": None}


def _failure(error: CFDeepSeekError) -> dict[str, Any]:
    """Return the outcome of a response that is not a valid completion; raise every other error."""
    if error.raw_message is None:
        raise error
    return {"raw": error.raw_message, "parsed": None, "parsing_error": error}


def _last_part_of_failure(error: CFDeepSeekError, received: Any) -> AddableDict:
    outcome = _failure(error)
    if received is not None:
        del outcome["raw"]  # the caller has its chunks
    return AddableDict(outcome)


def _child_config(config: RunnableConfig, run_manager: Any) -> RunnableConfig:
    return patch_config(ensure_config(config), callbacks=run_manager.get_child())


def _to_generation(chunk: str | BaseMessage) -> Generation:
    if isinstance(chunk, BaseMessageChunk):
        return ChatGenerationChunk(message=chunk)
    if isinstance(chunk, BaseMessage):
        return ChatGenerationChunk(message=AIMessageChunk(**chunk.model_dump(exclude={"type"})))
    return Generation(text=chunk)


def _partial_json(text: str) -> Any:
    start = find_json_start(text)
    if start < 0:
        return None
    try:
        return parse_partial_json(JsonSurrogateJoiner().feed(text[start:]))
    except ValueError:
        return None


def _build_instance(result_type: Any, value: Any) -> Any:
    if issubclass(result_type, BaseModel):
        return result_type.model_validate(value)
    return result_type.parse_obj(value)


def parser_of(
    schema: dict[str, Any] | type | None, parameters: dict[str, Any], tool_name: str | None
) -> StructuredOutputParser:
    """Return the parser for results that match `schema`.

    Args:
        schema: A Pydantic or `TypedDict` class, or a JSON schema.
        parameters: The same as a JSON schema.
        tool_name: The tool whose arguments are the result; `None` without a tool.
    """
    is_class = isinstance(schema, type) and is_basemodel_subclass(schema)
    return StructuredOutputParser(
        result_type=schema if is_class else None,
        tool_name=tool_name,
        required=() if is_class else tuple(parameters.get("required", ())),
    )
