"""Structured output: one parser for both ways to a result, a tool call and JSON in the text.

Which way is taken is decided with each request, in `_api.request`: DeepSeek does not take a forced
tool call while it thinks.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, BaseMessageChunk
from langchain_core.output_parsers import BaseCumulativeTransformOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation
from langchain_core.runnables import Runnable, RunnableConfig, RunnableSerializable
from langchain_core.runnables.config import ensure_config, patch_config
from langchain_core.runnables.utils import AddableDict
from langchain_core.utils.json import parse_partial_json
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel, ConfigDict
from typing_extensions import override

from langchain_cf_deepseek._api.json_text import json_start, read_json
from langchain_cf_deepseek._surrogates import JsonSurrogateJoiner
from langchain_cf_deepseek.errors import CFDeepSeekError


class StructuredOutputParser(BaseCumulativeTransformOutputParser[Any]):
    """Reads the result out of a message.

    While a stream comes, results are partial; its end decides whether there is a whole one.
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
        """Return the result in a response; `None` where a part of one holds none yet.

        Raises:
            OutputParserException: There is no result, or it does not fit the schema.
            pydantic.ValidationError: The arguments of the tool call do not fit the class.
        """
        generation = result[0]
        message = generation.message if isinstance(generation, ChatGeneration) else None
        calls = message.tool_calls if isinstance(message, AIMessage) else []
        for call in calls:
            if call["name"] == self.tool_name:
                return self._fitted(call["args"], call["args"], partial=partial, is_call=True)
        text = message.text if message else generation.text
        if partial:
            return self._fitted(_partial_json(text), text, partial=True)
        if calls:
            names = ", ".join(repr(call["name"]) for call in calls)
            msg = f"the model called {names} instead of giving the result"
            raise OutputParserException(msg, llm_output=text)
        try:
            value = read_json(text)
        except ValueError:
            msg = f"the response holds no JSON, but: {text!r:.500}"
            raise OutputParserException(msg, llm_output=text) from None
        return self._fitted(value, text)

    def _fitted(
        self, value: Any, source: Any, *, partial: bool = False, is_call: bool = False
    ) -> Any:
        """Return a JSON value as the result that the schema describes."""
        if self.result_type is not None and not (partial and value is None):
            try:
                return _instance(self.result_type, value)
            except ValueError as error:  # pydantic's of both generations
                if partial:
                    return None
                if is_call:
                    raise
                msg = f"the JSON does not fit {self.result_type.__name__}: {error}"
                raise OutputParserException(msg, llm_output=str(source)) from error
        if partial:
            return value if isinstance(value, dict) else None
        is_object = isinstance(value, dict)
        missing = [name for name in self.required if not is_object or name not in value]
        if not is_object or missing:
            needed = f" with the keys {', '.join(self.required)}" if self.required else ""
            msg = f"the result is not a JSON object{needed}: {value!r:.500}"
            raise OutputParserException(msg, llm_output=str(source))
        return value

    @override
    def _transform(self, input: Iterator[str | BaseMessage]) -> Iterator[Any]:
        progress = _Progress(self)
        for piece in input:
            yield from progress.add(piece)
        yield from progress.end()

    @override
    async def _atransform(self, input: AsyncIterator[str | BaseMessage]) -> AsyncIterator[Any]:
        progress = _Progress(self)
        async for piece in input:
            for parsed in progress.add(piece):
                yield parsed
        for parsed in progress.end():
            yield parsed


class _Progress:
    """What is known of a result while its message comes."""

    def __init__(self, parser: StructuredOutputParser) -> None:
        self._parser = parser
        self._came: Any = None
        self._parsed: Any = None

    def add(self, piece: str | BaseMessage) -> Iterator[Any]:
        """Yield the partial result, where `piece` changed it."""
        generation: Any = _generation(piece)
        self._came = generation if self._came is None else self._came + generation
        parsed = self._parser.parse_result([self._came], partial=True)
        if parsed is not None and parsed != self._parsed:
            self._parsed = parsed
            yield parsed

    def end(self) -> Iterator[Any]:
        """Yield the whole result, where it is not the last partial one."""
        if self._came is not None:
            parsed = self._parser.parse_result([self._came])
            if self._parsed is None or parsed != self._parsed:
                yield parsed


class RawAndParsed(RunnableSerializable[Any, Any]):
    """Asks a model, and returns its message beside the result or the error."""

    llm: Runnable[Any, Any]
    parser: StructuredOutputParser

    model_config = ConfigDict(arbitrary_types_allowed=True)

    @override
    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Return a dict of `raw`, `parsed` and `parsing_error`."""
        return self._call_with_config(self._ask, input, config, **kwargs)

    @override
    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Return a dict of `raw`, `parsed` and `parsing_error`."""
        return await self._acall_with_config(self._aask, input, config, **kwargs)

    @override
    def stream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        """Yield dicts that add up to that of `invoke`."""
        yield from self.transform(iter([input]), config, **kwargs)

    @override
    async def astream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """Yield dicts that add up to that of `ainvoke`."""

        async def inputs() -> AsyncIterator[Any]:
            yield input

        async for part in self.atransform(inputs(), config, **kwargs):
            yield part

    @override
    def transform(
        self, input: Iterator[Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        """Yield dicts that add up to that of `invoke`, for an input that comes in pieces."""
        yield from self._transform_stream_with_config(input, self._stream, config, **kwargs)

    @override
    async def atransform(
        self, input: AsyncIterator[Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """Yield dicts that add up to that of `ainvoke`, for an input that comes in pieces."""
        async for part in self._atransform_stream_with_config(
            input, self._astream, config, **kwargs
        ):
            yield part

    def _ask(self, asked: Any, run_manager: Any, config: RunnableConfig, **kwargs: Any) -> Any:
        try:
            raw = self.llm.invoke(asked, _child(config, run_manager), **kwargs)
        except CFDeepSeekError as error:
            return _failed(error)
        return {"raw": raw, **self._outcome(raw)}

    async def _aask(
        self, asked: Any, run_manager: Any, config: RunnableConfig, **kwargs: Any
    ) -> Any:
        try:
            raw = await self.llm.ainvoke(asked, _child(config, run_manager), **kwargs)
        except CFDeepSeekError as error:
            return _failed(error)
        return {"raw": raw, **self._outcome(raw)}

    def _stream(
        self, inputs: Iterator[Any], run_manager: Any, config: RunnableConfig, **kwargs: Any
    ) -> Iterator[AddableDict]:
        asked = _added_up(list(inputs))
        came: Any = None
        try:
            for chunk in self.llm.stream(asked, _child(config, run_manager), **kwargs):
                came = chunk if came is None else came + chunk
                yield AddableDict(raw=chunk)
        except CFDeepSeekError as error:
            yield _rest_of_failure(error, came)
        else:
            yield AddableDict(self._outcome(came))

    async def _astream(
        self, inputs: AsyncIterator[Any], run_manager: Any, config: RunnableConfig, **kwargs: Any
    ) -> AsyncIterator[AddableDict]:
        asked = _added_up([piece async for piece in inputs])
        came: Any = None
        try:
            async for chunk in self.llm.astream(asked, _child(config, run_manager), **kwargs):
                came = chunk if came is None else came + chunk
                yield AddableDict(raw=chunk)
        except CFDeepSeekError as error:
            yield _rest_of_failure(error, came)
        else:
            yield AddableDict(self._outcome(came))

    def _outcome(self, raw: AIMessage) -> dict[str, Any]:
        try:
            parsed = self.parser.parse_result([ChatGeneration(message=raw)])
        except ValueError as error:  # of LangChain, and of Pydantic's two generations
            return {"parsed": None, "parsing_error": error}
        return {"parsed": parsed, "parsing_error": None}


def _failed(error: CFDeepSeekError) -> dict[str, Any]:
    """Return the outcome of a response that is not a valid completion; raise every other error."""
    if error.raw_message is None:
        raise error
    return {"raw": error.raw_message, "parsed": None, "parsing_error": error}


def _rest_of_failure(error: CFDeepSeekError, came: Any) -> AddableDict:
    outcome = _failed(error)
    if came is not None:
        del outcome["raw"]  # its chunks were handed on
    return AddableDict(outcome)


def _child(config: RunnableConfig, run_manager: Any) -> RunnableConfig:
    return patch_config(ensure_config(config), callbacks=run_manager.get_child())


def _added_up(pieces: list[Any]) -> Any:
    total = pieces[0]
    for piece in pieces[1:]:
        total = total + piece
    return total


def _generation(piece: str | BaseMessage) -> Generation:
    if isinstance(piece, BaseMessageChunk):
        return ChatGenerationChunk(message=piece)
    if isinstance(piece, BaseMessage):
        return ChatGenerationChunk(message=AIMessageChunk(**piece.model_dump(exclude={"type"})))
    return Generation(text=piece)


def _partial_json(text: str) -> Any:
    start = json_start(text)
    if start < 0:
        return None
    try:
        return parse_partial_json(JsonSurrogateJoiner().feed(text[start:]))
    except ValueError:
        return None


def _instance(kind: Any, value: Any) -> Any:
    return kind.model_validate(value) if issubclass(kind, BaseModel) else kind.parse_obj(value)


def parser_of(
    schema: dict[str, Any] | type | None, parameters: dict[str, Any], tool_name: str | None
) -> StructuredOutputParser:
    """Return the parser for results of the shape of `schema`.

    Args:
        schema: A Pydantic or `TypedDict` class, or a JSON schema.
        parameters: The same as a JSON schema.
        tool_name: The tool whose arguments are the result, if there is one.
    """
    is_class = isinstance(schema, type) and is_basemodel_subclass(schema)
    return StructuredOutputParser(
        result_type=schema if is_class else None,
        tool_name=tool_name,
        required=() if is_class else tuple(parameters.get("required", ())),
    )
