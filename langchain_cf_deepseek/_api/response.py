"""DeepSeek's responses as LangChain messages, whole or chunk by chunk.

`accumulation` collects what is received, `completeness` decides whether it is a valid completion.
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

from langchain_cf_deepseek._api.accumulation import (
    SUCCESSFUL_FINISHES,
    Accumulation,
    Content,
    Delta,
)
from langchain_cf_deepseek._api.assistant_messages import MODEL_PROVIDER, to_standard_block
from langchain_cf_deepseek._api.chunks import (
    RepeatedText,
    build_text_chunk,
    check_logprobs,
    merge_content,
)
from langchain_cf_deepseek._api.completeness import find_defect
from langchain_cf_deepseek._api.messages import reasoning_key_metadata
from langchain_cf_deepseek._api.server_blocks import UNKNOWN_KEYS, blocks_beside, streamed_arguments
from langchain_cf_deepseek._api.server_tools import function_tools
from langchain_cf_deepseek._errors.responses import build_error, error_from_response
from langchain_cf_deepseek.errors import (
    CFDeepSeekAPIError,
    CFDeepSeekError,
    CFDeepSeekIncompleteStreamError,
    CFDeepSeekTimeoutError,
)
from langchain_cf_deepseek.gateway import parse_gateway_headers

# The errors that reading JSON of an undocumented shape raises.
_MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError)


class ResponseReader:
    """Reads the responses that become one message, whole or event by event."""

    def __init__(self, *, as_blocks: bool) -> None:
        """Create a reader that has received nothing.

        Args:
            as_blocks: Write the message's content as blocks, for `output_version="v1"`.
        """
        self._response: Any = None
        self._request_body: Mapping[str, Any] = {}
        self._expects_tool_call = False
        self._is_streaming = False
        self._as_blocks = as_blocks
        self._received = Accumulation()

        self.resumed: list[dict[str, Any]] = []
        """Where and why the stream broke and was resumed, for `response_metadata`."""

        self.note = ""
        """What is added to an error as a note."""

        self._opening: dict[str, Any] | None = None
        self._has_sent_reasoning_key = False
        self._block_number = count()
        self._begun_blocks: set[Any] = set()

    def start_response(
        self,
        response: Any,
        request_body: Mapping[str, Any],
        *,
        forcing: Mapping[str, Any] | None = None,
    ) -> None:
        """Start to read the response to a request.

        The response to a further request adds to the same message, with the metadata of the first
        response and the tokens of all.

        Args:
            response: The HTTP response, for the gateway's metadata and for errors.
            request_body: The body of the request.
            forcing: The parameters that force the requested tool call in a second request, where
                this one could not force it.
        """
        self._response = response
        self._request_body = request_body
        self._expects_tool_call = forcing is not None
        self._received.start_response()
        log_id = parse_gateway_headers(response.headers).get("log_id") if self.resumed else None
        if log_id:
            self.resumed[-1]["next_log_id"] = log_id
        self._received.function_names = frozenset(
            tool["function"]["name"]
            for tool in function_tools(request_body.get("tools") or ())
            if "function" in tool
        )

    @property
    def received(self) -> Accumulation:
        """The part of the message that was received."""
        return self._received

    @property
    def has_begun(self) -> bool:
        """Whether a response has arrived."""
        return self._response is not None

    @property
    def is_finished(self) -> bool:
        """Whether the response has its finish reason."""
        return self._received.finish_reason is not None

    @property
    def is_finished_without_tool_call(self) -> bool:
        """Whether the response has ended normally and holds no tool call."""
        return self._received.finish_reason == "stop" and not self._received.tool_calls

    @property
    def text(self) -> str:
        """The text received so far."""
        return self._received.text

    def find_break(self) -> CFDeepSeekError | None:
        """Return the error of a stream that ended without success; `None` if it succeeded."""
        received = self._received
        if received.finish_reason in SUCCESSFUL_FINISHES and not received.failure:
            return None
        return self._find_error()

    def record_break(self, error: CFDeepSeekError) -> None:
        """Record that the stream broke with `error`, and that a further response resumes it."""
        received = self._received
        log_id = error.gateway.get("log_id")
        self.resumed.append(
            {
                "error": type(error).__name__,
                "message": error.message,
                "reasoning_characters": len(received.reasoning),
                "text_characters": len(received.text),
                "usage": received.usage,
                **({"log_id": log_id} if log_id else {}),
            }
        )
        received.discard_half_characters()
        received.start_response()

    def read(self, completion: Mapping[str, Any]) -> None:
        """Read a whole response.

        Raises:
            CFDeepSeekError: It is truncated, blocked, empty or malformed.
        """
        with self._typed_errors():
            choice = _first_choice(completion)
            if not any(choice.get(key) is not None for key in ("message", "delta", "text")):
                msg = "a choice without a message"
                raise TypeError(msg)
            self._received.add(completion, choice)
            self._received.flush()
            if self._opening is None:
                self._opening = self._opening_metadata(completion)
            if logprobs := choice.get("logprobs"):
                self._opening["logprobs"] = check_logprobs(logprobs)
        self.check()

    def result(self) -> ChatResult:
        """Return LangChain's result for the responses read.

        Raises:
            CFDeepSeekError: A response is malformed.
        """
        with self._typed_errors():
            message = self._message()
        generation = ChatGeneration(
            message=message, generation_info={"finish_reason": self._received.finish_reason}
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
        """Return the chunk for an event of a stream; `None` for an event without content.

        Finish reason and usage are left to `closing_chunk`: servers send both in several events,
        and merging chunks would count them twice.

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
        delta = self._received.add(event, choice)
        if not choice:
            return None
        metadata: dict[str, Any] = {}
        if self._opening is None:
            self._opening = self._opening_metadata(event)
            model_name = RepeatedText(self._opening["model_name"])
            metadata = {**self._opening, "model_name": model_name}
        if logprobs := choice.get("logprobs"):
            metadata["logprobs"] = check_logprobs(logprobs)
        if delta.unknown or isinstance(delta.content, list):
            # By it LangChain finds what reads blocks of this provider.
            metadata["model_provider"] = MODEL_PROVIDER
        if self._received.reasoning_key and not self._has_sent_reasoning_key:
            self._has_sent_reasoning_key = True
            metadata |= reasoning_key_metadata(self._received.reasoning_key)
        is_empty = not (delta.content or delta.reasoning or delta.tool_calls or delta.unknown)
        if is_empty and not metadata:
            return None
        content, additional_kwargs = self._content(delta)
        if not delta.tool_calls and isinstance(content, str):
            return build_text_chunk(content, additional_kwargs, metadata)
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
        """Return the chunk after the last event, with finish reason and usage; `None` without."""
        rest = self._received.flush()
        finish_reason = self._received.finish_reason
        if self._opening is None or not (rest.content or finish_reason or self._received.usage):
            return None
        metadata = self._closing_metadata()
        metadata["model_name"] = RepeatedText(self._opening["model_name"])
        content, additional_kwargs = self._content(rest)
        if self._as_blocks:
            content = [*content, *self._closing_blocks()]
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
    def attach_partial_message(self) -> Iterator[None]:
        """Attach the message received so far to an error that sending or reading raises.

        A connection that is lost after the finish reason is not an error.

        Raises:
            CFDeepSeekError: Sending or reading failed.
        """
        try:
            yield
        except CFDeepSeekError as error:
            is_finished = self._is_streaming and self._received.finish_reason is not None
            is_lost = isinstance(error, CFDeepSeekIncompleteStreamError | CFDeepSeekTimeoutError)
            if not (is_finished and is_lost):
                if self._response is not None and error.raw_message is None:
                    self._attach_message(error)
                raise
        finally:
            self._is_streaming = False

    def check(self) -> None:
        """Check that a valid completion was received.

        Raises:
            CFDeepSeekError: It was not; `partial` holds the text, `raw_message` the message.
        """
        if error := self._find_error():
            raise self._attach_message(error)

    def _find_error(self) -> CFDeepSeekError | None:
        if self._received.failure:
            # OpenRouter, behind a dynamic route, reports a lost upstream this way.
            return error_from_response(self._response, body={"error": self._received.failure})
        with self._typed_errors():
            defect = find_defect(
                self._received, self._request_body, expects_tool_call=self._expects_tool_call
            )
        if defect is None:
            return None
        return build_error(
            defect.error, defect.message, self._response, origin=defect.origin, hint=defect.hint
        )

    def _attach_message(self, error: CFDeepSeekError) -> CFDeepSeekError:
        self._received.flush()
        if self.note:
            error.add_note(self.note)
        error.partial = self._received.text
        if self._opening is None:
            self._opening = self._opening_metadata({})
        try:
            error.raw_message = self._message()
        except _MALFORMED:
            # With malformed usage, the text is still of use.
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
        return self._attach_message(build_error(CFDeepSeekAPIError, message, self._response))

    def _message(self) -> AIMessage:
        """Return the message received so far."""
        received = self._received
        is_truncated = received.finish_reason in (None, "length")
        tool_calls, invalid_tool_calls = received.tool_calls.split(is_truncated=is_truncated)
        delta = Delta(received.content, received.reasoning, [], received.unknown)
        content, additional_kwargs = self._content(delta)
        if self._as_blocks:
            calls = ({**call, "type": "tool_call"} for call in tool_calls)
            content = merge_content([*content, *calls], self._closing_blocks())
        return AIMessage(
            content=content,
            additional_kwargs=additional_kwargs,
            response_metadata={
                **(self._opening or {}),
                **self._closing_metadata(),
                **reasoning_key_metadata(received.reasoning_key),
                **({"output_version": "v1"} if self._as_blocks else {}),
            },
            tool_calls=tool_calls,
            invalid_tool_calls=invalid_tool_calls,
            usage_metadata=self._usage_metadata(),
        )

    def _opening_metadata(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the metadata of a whole response, or of the first chunk of a stream.

        Merging chunks concatenates equal strings, so no other chunk can hold any of it.
        """
        gateway_metadata = parse_gateway_headers(self._response.headers)
        key_source = (event.get("gatewayMetadata") or {}).get("keySource")
        if key_source:
            gateway_metadata["key_source"] = key_source
        metadata: dict[str, Any] = {
            "model_provider": MODEL_PROVIDER,
            # On a dynamic route the body can name another model than the one that responded.
            "model_name": gateway_metadata.get("model")
            or event.get("model")
            or self._request_body["model"],
            "cloudflare_gateway": gateway_metadata,
        }
        for key in ("id", "system_fingerprint"):
            if event.get(key):
                metadata[key] = event[key]
        return metadata

    def _closing_metadata(self) -> dict[str, Any]:
        metadata = {
            "finish_reason": self._received.finish_reason,
            "token_usage": self._received.usage,
            "resumed": self.resumed,
            "server_tool_use": self._server_tool_use(),
            "title": self._received.title,
        }
        return {key: value for key, value in metadata.items() if value}

    def _server_tool_use(self) -> dict[str, Any]:
        """Return how many searches and fetches are billed, of all requests for the message."""
        total: dict[str, Any] = {}
        for usage in filter(None, (*self._received.earlier_usages, self._received.usage)):
            used = usage.get("server_tool_use")
            for name, number in used.items() if isinstance(used, Mapping) else ():
                is_count = isinstance(number, int) and isinstance(total.get(name, 0), int)
                total[name] = total.get(name, 0) + number if is_count else number
        return total

    def _usage_metadata(self) -> UsageMetadata | None:
        """Return the tokens of all requests for the message."""
        usages = filter(None, (*self._received.earlier_usages, self._received.usage))
        return reduce(add_usage, map(_to_usage_metadata, usages), None)

    def _content(self, delta: Delta) -> tuple[Content, dict[str, Any]]:
        """Return the content and the `additional_kwargs` of a message or chunk."""
        additional_kwargs: dict[str, Any] = {}
        if delta.unknown:
            additional_kwargs[UNKNOWN_KEYS] = delta.unknown
        if not self._as_blocks:
            if delta.reasoning:
                additional_kwargs["reasoning_content"] = delta.reasoning
            return delta.content, additional_kwargs
        # Each kind has its own index: with numbers, LangChain would merge reasoning and a tool call
        # into one block.
        blocks: list[str | dict[Any, Any]] = []
        if delta.reasoning:
            block = {"type": "reasoning", "reasoning": delta.reasoning, "index": "lc_rsn_0"}
            blocks.append(block)
        if isinstance(delta.content, list):
            blocks += map(self._standard_block, delta.content)
        elif delta.content:
            blocks.append({"type": "text", "text": delta.content, "index": "lc_txt_0"})
        return blocks, additional_kwargs

    def _standard_block(self, block: str | dict[Any, Any]) -> dict[str, Any]:
        index, kind, is_first = None, "text", True
        if isinstance(block, dict):
            index, kind = block.get("index"), self._received.type_of_block(block)
        # LangChain would merge adjacent blocks that have no index.
        suffix = f"n{next(self._block_number)}" if index is None else index
        if index is not None:
            is_first = index not in self._begun_blocks
            self._begun_blocks.add(index)
        return to_standard_block(block, kind, f"lc_blk_{suffix}", is_first=is_first)

    def _closing_blocks(self) -> list[dict[Any, Any]]:
        """Return what only the whole response can show in content of the standard form."""
        received = self._received
        streamed = streamed_arguments(received.content) if received.has_blocks else ()
        return [
            *({**block, "index": f"lc_blk_{block['index']}"} for block in streamed),
            *blocks_beside(received.unknown, received.text),
        ]


def _first_choice(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the only choice that was requested; empty where an event has none."""
    choices = event.get("choices") or ()
    return next((choice for choice in choices if not choice.get("index")), {})


def _to_usage_metadata(usage: Mapping[str, Any]) -> UsageMetadata:
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
