"""DeepSeek's responses as LangChain messages, whole or chunk by chunk.

`accumulation` puts together what came, `completeness` decides whether it is a valid completion.
https://api-docs.deepseek.com/api/create-chat-completion
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from itertools import count
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import (
    InputTokenDetails,
    OutputTokenDetails,
    UsageMetadata,
    add_usage,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from langchain_cf_deepseek._api.accumulation import Accumulation, Content, Delta
from langchain_cf_deepseek._api.assistant_messages import MODEL_PROVIDER
from langchain_cf_deepseek._api.completeness import find_defect
from langchain_cf_deepseek._api.messages import REASONING_KEY, UNKNOWN_KEYS
from langchain_cf_deepseek._errors.responses import build_error, error_from_response
from langchain_cf_deepseek.errors import (
    CFDeepSeekAPIError,
    CFDeepSeekError,
    CFDeepSeekIncompleteStreamError,
    CFDeepSeekTimeoutError,
)
from langchain_cf_deepseek.gateway import parse_gateway_headers

# What reading JSON of another shape than documented ends in.
_MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError)


class _RepeatedText(str):
    """A text that several chunks of a stream say, and their sum says once.

    LangChain's event streams read a model's name from the first chunk, much code of others from the
    last, and LangChain adds up texts of the same key by `+`.
    """

    __slots__ = ()

    def __add__(self, other: str) -> str:
        return self if self == other else super().__add__(other)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


class ResponseReader:
    """Reads the response that becomes one message, whole or event by event."""

    def __init__(self, *, as_blocks: bool) -> None:
        """Begin with nothing.

        Args:
            as_blocks: Write the message's content as blocks, as `output_version="v1"` wants it.
        """
        self._response: Any = None
        self._request_body: Mapping[str, Any] = {}
        self._wants_call = False
        self._is_streaming = False
        self._as_blocks = as_blocks
        self._came = Accumulation()
        self._opening: dict[str, Any] | None = None
        self._is_reasoning_key_told = False
        self._block_number = count()

    def begin(
        self, response: Any, request_body: Mapping[str, Any], *, wants_call: bool = False
    ) -> None:
        """Begin to read the response to a request.

        The response to a further request adds to the same message: what a response says once is
        kept from the first, the tokens are those of all.

        Args:
            response: The HTTP response, for the gateway's metadata and for errors.
            request_body: What was sent.
            wants_call: Whether a tool call was asked for that the request could not force.
        """
        self._response = response
        self._request_body = request_body
        self._wants_call = wants_call
        self._came.begin()

    @property
    def ends_without_call(self) -> bool:
        """Whether the response is complete, and text only."""
        return self._came.finish_reason == "stop" and not self._came.calls

    @property
    def text(self) -> str:
        """The text that came so far."""
        return self._came.text

    def read(self, completion: Mapping[str, Any]) -> None:
        """Read a whole response.

        Raises:
            CFDeepSeekError: It is cut short, blocked, empty or malformed.
        """
        with self._typed_errors():
            choice = _first_choice(completion)
            if not any(choice.get(key) is not None for key in ("message", "delta", "text")):
                msg = "a choice without a message"
                raise TypeError(msg)
            self._came.add(completion, choice)
            self._came.close()
            if self._opening is None:
                self._opening = self._opening_metadata(completion)
            if logprobs := choice.get("logprobs"):
                self._opening["logprobs"] = _checked_logprobs(logprobs)
        self.check()

    def result(self) -> ChatResult:
        """Return what was read as LangChain has it.

        Raises:
            CFDeepSeekError: It is malformed.
        """
        with self._typed_errors():
            message = self._message()
        generation = ChatGeneration(
            message=message, generation_info={"finish_reason": self._came.finish_reason}
        )
        return ChatResult(
            generations=[generation],
            llm_output={
                name: message.response_metadata[name]
                for name in ("token_usage", "model_name", "system_fingerprint")
                if name in message.response_metadata
            },
        )

    def chunk(self, event: Mapping[str, Any]) -> ChatGenerationChunk | None:
        """Return the chunk that an event of a stream stands for; `None` when it says nothing.

        Finish and usage are left to `closing_chunk`: servers say both in several events, and adding
        chunks up would count them twice.

        Raises:
            CFDeepSeekError: The event is malformed.
        """
        self._is_streaming = True
        try:
            return self._chunk(event)
        except _MALFORMED as cause:
            raise self._malformed(cause) from cause

    def _chunk(self, event: Mapping[str, Any]) -> ChatGenerationChunk | None:
        choice = _first_choice(event)
        delta = self._came.add(event, choice)
        if not choice:
            return None
        metadata: dict[str, Any] = {}
        if self._opening is None:
            self._opening = self._opening_metadata(event)
            model_name = _RepeatedText(self._opening["model_name"])
            metadata = {**self._opening, "model_name": model_name}
        if logprobs := choice.get("logprobs"):
            metadata["logprobs"] = _checked_logprobs(logprobs)
        if self._came.reasoning_key == "reasoning" and not self._is_reasoning_key_told:
            self._is_reasoning_key_told = True
            metadata[REASONING_KEY] = "reasoning"
        is_empty = not (delta.content or delta.reasoning or delta.tool_calls or delta.unknown)
        if is_empty and not metadata:
            return None
        content, additional_kwargs = self._content(delta)
        if not delta.tool_calls and isinstance(content, str):
            return _text_chunk(content, additional_kwargs, metadata)
        if self._as_blocks:
            metadata["output_version"] = "v1"
            blocks = [{**call, "type": "tool_call_chunk"} for call in delta.tool_calls]
            content = [*content, *blocks]
        return ChatGenerationChunk(
            message=AIMessageChunk(
                content=content,
                additional_kwargs=additional_kwargs,
                response_metadata=metadata,
                tool_call_chunks=delta.tool_calls,
            )
        )

    def closing_chunk(self) -> ChatGenerationChunk | None:
        """Return the chunk after the last event: finish and usage; `None` when neither came."""
        rest = self._came.close()
        finish_reason = self._came.finish_reason
        if self._opening is None or not (rest.content or finish_reason or self._came.usage):
            return None
        metadata = self._closing_metadata()
        metadata["model_name"] = _RepeatedText(self._opening["model_name"])
        content, additional_kwargs = self._content(rest)
        if self._as_blocks:
            metadata["output_version"] = "v1"
        with self._typed_errors():
            return ChatGenerationChunk(
                message=AIMessageChunk(
                    content=content,
                    additional_kwargs=additional_kwargs,
                    response_metadata=metadata,
                    usage_metadata=self._usage_metadata(),
                ),
                generation_info={"finish_reason": finish_reason} if finish_reason else None,
            )

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Hold while a request is sent and its response read: a failure keeps what came before.

        A stream that is lost after its finish is not lost.

        Raises:
            CFDeepSeekError: Sending or reading failed.
        """
        try:
            yield
        except CFDeepSeekError as error:
            is_finished = self._is_streaming and self._came.finish_reason is not None
            is_lost = isinstance(error, CFDeepSeekIncompleteStreamError | CFDeepSeekTimeoutError)
            if not (is_finished and is_lost):
                if self._response is not None and error.raw_message is None:
                    self._completed(error)
                raise
        finally:
            self._is_streaming = False

    def check(self) -> None:
        """Say whether what came is a valid completion.

        Raises:
            CFDeepSeekError: It is not; `partial` holds its text, `raw_message` all that came.
        """
        if self._came.failure:
            # OpenRouter, behind a dynamic route, reports a lost upstream so.
            body = {"error": self._came.failure}
            raise self._completed(error_from_response(self._response, body=body))
        with self._typed_errors():
            flaw = find_defect(self._came, self._request_body, wants_call=self._wants_call)
        if flaw:
            error = build_error(
                flaw.error, flaw.message, self._response, origin=flaw.origin, hint=flaw.hint
            )
            raise self._completed(error)

    def _completed(self, error: CFDeepSeekError) -> CFDeepSeekError:
        """Return `error` with what came before it."""
        self._came.close()
        error.partial = self._came.text
        if self._opening is None:
            self._opening = self._opening_metadata({})
        try:
            error.raw_message = self._message()
        except _MALFORMED:
            # The usage is malformed: the text is worth having all the same.
            error.raw_message = AIMessage(content=error.partial)
        error.usage_metadata = error.raw_message.usage_metadata
        return error

    @contextmanager
    def _typed_errors(self) -> Iterator[None]:
        try:
            yield
        except CFDeepSeekError:
            raise
        except _MALFORMED as cause:
            raise self._malformed(cause) from cause

    def _malformed(self, cause: Exception) -> CFDeepSeekError:
        message = f"the response is not of the shape that DeepSeek documents ({cause!r:.300})"
        return self._completed(build_error(CFDeepSeekAPIError, message, self._response))

    def _message(self) -> AIMessage:
        """Return the message as far as it came, cut and broken calls apart."""
        came = self._came
        is_whole = came.finish_reason is not None and came.finish_reason != "length"
        tool_calls, invalid_tool_calls = came.calls.split(is_cut=not is_whole)
        delta = Delta(came.content, came.reasoning, [], came.unknown)
        content, additional_kwargs = self._content(delta)
        metadata = {**(self._opening or {}), **self._closing_metadata()}
        if came.reasoning_key == "reasoning":
            metadata[REASONING_KEY] = "reasoning"
        if self._as_blocks:
            content = [*content, *({**call, "type": "tool_call"} for call in tool_calls)]
        return AIMessage(
            content=content,
            additional_kwargs=additional_kwargs,
            response_metadata=metadata,
            tool_calls=tool_calls,
            invalid_tool_calls=invalid_tool_calls,
            usage_metadata=self._usage_metadata(),
        )

    def _opening_metadata(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """What a response says once, in a stream with its first chunk.

        Adding chunks up concatenates equal strings, so none of this may be said twice.
        """
        facts = parse_gateway_headers(self._response.headers)
        key_source = (event.get("gatewayMetadata") or {}).get("keySource")
        if key_source:
            facts["key_source"] = key_source
        metadata: dict[str, Any] = {
            "model_provider": MODEL_PROVIDER,
            # On a dynamic route the header is right where the body may not be.
            "model_name": facts.get("model") or event.get("model") or self._request_body["model"],
            "cloudflare_gateway": facts,
        }
        for key in ("id", "system_fingerprint"):
            if event.get(key):
                metadata[key] = event[key]
        return metadata

    def _usage_metadata(self) -> UsageMetadata | None:
        """Return the tokens of all requests that the message took."""
        usages = [
            _usage_metadata(usage) for usage in (*self._came.earlier_usages, self._came.usage)
        ]
        return reduce(add_usage, filter(None, usages), None)

    def _closing_metadata(self) -> dict[str, Any]:
        finish = {"finish_reason": self._came.finish_reason} if self._came.finish_reason else {}
        return {**finish, "token_usage": self._came.usage} if self._came.usage else finish

    def _content(self, delta: Delta) -> tuple[Content, dict[str, Any]]:
        """Return the content of a message or chunk, and what goes beside it."""
        additional_kwargs: dict[str, Any] = {}
        if delta.unknown:
            additional_kwargs[UNKNOWN_KEYS] = delta.unknown
        if not self._as_blocks:
            if delta.reasoning:
                additional_kwargs["reasoning_content"] = delta.reasoning
            return delta.content, additional_kwargs
        # Indexes of a name each: core's numbers would put reasoning and a tool call in one block.
        blocks: list[str | dict[Any, Any]] = []
        if delta.reasoning:
            block = {"type": "reasoning", "reasoning": delta.reasoning, "index": "lc_rsn_0"}
            blocks.append(block)
        if isinstance(delta.content, list):
            blocks += map(self._standard_block, delta.content)
        elif delta.content:
            blocks.append({"type": "text", "text": delta.content, "index": "lc_txt_0"})
        return blocks, additional_kwargs

    def _standard_block(self, block: str | dict[Any, Any]) -> dict[Any, Any]:
        """Return a block of the server's as one of LangChain's, with nothing of it lost."""
        place = block.get("index") if isinstance(block, dict) else None
        # Without an index of its own, core would add each block to its neighbour.
        index = f"lc_blk_{place}" if place is not None else f"lc_blk_n{next(self._block_number)}"
        if isinstance(block, str):
            return {"type": "text", "text": block, "index": index}
        if self._came.type_of_block(block) == "text" and isinstance(block.get("text", ""), str):
            extras = {key: block[key] for key in block.keys() - {"type", "text"}}
            standard = {"type": "text", "text": block.get("text", ""), "index": index}
            return {**standard, "extras": extras} if extras else standard
        return {"type": "non_standard", "value": block, "index": index}


def _first_choice(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the choice that counts, for `n` is 1; empty where an event has none."""
    choices = event.get("choices") or ()
    return next((choice for choice in choices if not choice.get("index")), {})


_TEXT_CHUNK = AIMessageChunk(content="")
_TEXT_GENERATION = ChatGenerationChunk(message=_TEXT_CHUNK)


def _text_chunk(
    text: str, additional_kwargs: dict[str, Any], metadata: dict[str, Any]
) -> ChatGenerationChunk:
    """Return a chunk of text or reasoning, which most are: a copy costs less than a constructor.

    It equals the constructor's chunk in every field.
    """
    message = _TEXT_CHUNK.model_copy(
        update={
            "content": text,
            "additional_kwargs": additional_kwargs,
            "response_metadata": metadata,
            "tool_calls": [],
            "invalid_tool_calls": [],
            "tool_call_chunks": [],
        }
    )
    return _TEXT_GENERATION.model_copy(update={"text": text, "message": message})


def _checked_logprobs(logprobs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return log probabilities that may be added up: lists of tokens, one behind the other."""
    for tokens in filter(None, logprobs.values()):
        if not isinstance(tokens, list) or any("index" in token for token in tokens):
            msg = "logprobs are not lists of tokens"
            raise TypeError(msg)
    return logprobs


def _usage_metadata(usage: Mapping[str, Any] | None) -> UsageMetadata | None:
    if not usage:
        return None
    prompt = usage.get("prompt_tokens") or 0
    completion = usage.get("completion_tokens") or 0
    metadata = UsageMetadata(
        input_tokens=prompt,
        output_tokens=completion,
        total_tokens=usage.get("total_tokens") or prompt + completion,
    )
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    if cached is None:
        cached = usage.get("prompt_cache_hit_tokens")
    if cached is not None:
        metadata["input_token_details"] = InputTokenDetails(cache_read=cached)
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")
    if reasoning is not None:
        metadata["output_token_details"] = OutputTokenDetails(reasoning=reasoning)
    return metadata
