"""DeepSeek's answers as LangChain messages, whole or chunk by chunk, and whether they are answers.

https://api-docs.deepseek.com/api/create-chat-completion
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, ToolCall
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.messages.tool import tool_call as create_tool_call
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from langchain_cf_deepseek.dialect.messages import DOCUMENTED_KEYS, UNKNOWN_KEYS
from langchain_cf_deepseek.error_rules import TRY_AGAIN, error_of_answer
from langchain_cf_deepseek.errors import (
    CFDeepSeekAPIError,
    CFDeepSeekContentBlockedError,
    CFDeepSeekEmptyResponseError,
    CFDeepSeekError,
    CFDeepSeekIncompleteStreamError,
    CFDeepSeekTimeoutError,
)
from langchain_cf_deepseek.gateway import read_facts

MODEL_PROVIDER = "deepseek"

# The markup in which DeepSeek's models write tool calls; seen in `content`, it was not parsed.
_TOOL_MARKUP = "<\N{FULLWIDTH VERTICAL LINE}DSML\N{FULLWIDTH VERTICAL LINE}"

# What reading JSON of another shape than documented ends in.
_MISSHAPEN = (AttributeError, IndexError, KeyError, TypeError, ValueError)

_FAILED_FINISHES: dict[str, tuple[type[CFDeepSeekError], str]] = {
    "insufficient_system_resource": (
        CFDeepSeekAPIError,
        "the answer was cut short for want of system resources",
    ),
    "aborted": (CFDeepSeekAPIError, "the answer was aborted"),
    "content_filter": (CFDeepSeekContentBlockedError, "the content filter stopped the answer"),
}


@dataclass
class _Call:
    """A tool call, as far as it came."""

    id: str | None = None
    name: str | None = None
    arguments: str = ""

    def is_whole(self) -> bool:
        try:
            return isinstance(self.parsed()["args"], dict)
        except ValueError:
            return False

    def parsed(self) -> ToolCall:
        args = json.loads(self.arguments) if self.arguments else {}
        return create_tool_call(name=self.name or "", args=args, id=self.id)


class Answer:
    """One answer being read: what came of it so far, and the rules for what counts as one."""

    def __init__(self, response: Any, request_body: Mapping[str, Any], *, as_blocks: bool) -> None:
        """Begin to read the answer `response` to the request `request_body`.

        Args:
            response: The HTTP response, for the gateway's facts and for errors.
            request_body: What was sent.
            as_blocks: Write the message's content as blocks, as `output_version="v1"` wants it.
        """
        self._response = response
        self._request_body = request_body
        self._as_blocks = as_blocks
        self._texts: list[str] = []
        self._has_reasoning = False
        self._calls: dict[Any, _Call] = {}
        self._finish_reason: str | None = None
        self._usage: Mapping[str, Any] | None = None
        self._unknown: dict[str, Any] = {}
        self._opened = False
        self._finish_given = False
        self._usage_given = False

    def result(self, completion: Mapping[str, Any]) -> ChatResult:
        """Return a whole answer.

        Raises:
            CFDeepSeekError: It is cut short, blocked, empty or misshapen.
        """
        try:
            return self._result(completion)
        except _MISSHAPEN as error:
            raise self._misshapen(error) from error

    def _result(self, completion: Mapping[str, Any]) -> ChatResult:
        choice = completion["choices"][0]
        wire = choice.get("message") or {}
        self._take(completion, choice, wire)
        self._check()
        tool_calls = [call.parsed() for call in self._calls.values()]
        metadata = self._opening_metadata(completion) | self._closing_metadata()
        if logprobs := choice.get("logprobs"):
            metadata["logprobs"] = _checked_logprobs(logprobs)
        content, additional_kwargs = self._content(wire)
        if isinstance(content, list):
            content += [{"type": "tool_call", **call} for call in tool_calls]
        message = AIMessage(
            content=content,
            additional_kwargs=additional_kwargs,
            response_metadata=metadata,
            tool_calls=tool_calls,
            usage_metadata=_usage_metadata(self._usage),
        )
        generation = ChatGeneration(
            message=message, generation_info={"finish_reason": self._finish_reason}
        )
        return ChatResult(
            generations=[generation],
            llm_output={
                name: metadata[name]
                for name in ("token_usage", "model_name", "system_fingerprint")
                if name in metadata
            },
        )

    def chunk(self, event: Mapping[str, Any]) -> ChatGenerationChunk | None:
        """Return the chunk that an event of a stream stands for; `None` when it says nothing.

        Raises:
            CFDeepSeekError: The event is misshapen.
        """
        try:
            return self._chunk(event)
        except _MISSHAPEN as error:
            raise self._misshapen(error) from error

    def _chunk(self, event: Mapping[str, Any]) -> ChatGenerationChunk | None:
        choices = event.get("choices") or ()
        choice: Mapping[str, Any] = next((c for c in choices if not c.get("index")), {})
        # A whole answer in the place of a stream has a message instead of a delta.
        wire = choice.get("delta") or choice.get("message") or {}
        self._take(event, choice, wire)
        metadata = {} if self._opened else self._opening_metadata(event)
        usage = None
        generation_info = None
        if self._finish_reason and not self._finish_given:
            self._finish_given = True
            metadata["finish_reason"] = self._finish_reason
            generation_info = {"finish_reason": self._finish_reason}
        if self._usage and self._finish_reason and not self._usage_given:
            # Usage comes with the finish, or after it in an event without choices.
            self._usage_given = True
            metadata["token_usage"] = self._usage
            usage = _usage_metadata(self._usage)
        elif not choice:
            return None
        self._opened = True
        if logprobs := choice.get("logprobs"):
            metadata["logprobs"] = _checked_logprobs(logprobs)
        content, additional_kwargs = self._content(wire)
        tool_calls = [self._tool_call_chunk(call) for call in wire.get("tool_calls") or ()]
        if isinstance(content, list):
            content += [{**call, "type": "tool_call_chunk"} for call in tool_calls]
            metadata["output_version"] = "v1"
        elif not tool_calls and not usage and not generation_info:
            return _text_chunk(content, additional_kwargs, metadata)
        return ChatGenerationChunk(
            message=AIMessageChunk(
                content=content,
                additional_kwargs=additional_kwargs,
                response_metadata=metadata,
                tool_call_chunks=tool_calls,
                usage_metadata=usage,
            ),
            generation_info=generation_info,
        )

    @contextmanager
    def streamed(self) -> Iterator[None]:
        """Hold while the chunks are read; says at the end whether they were an answer.

        Raises:
            CFDeepSeekError: They were not; `partial` holds the text that came.
        """
        try:
            yield
        except CFDeepSeekError as error:
            lost_after_finish = self._finish_reason is not None and isinstance(
                error, CFDeepSeekIncompleteStreamError | CFDeepSeekTimeoutError
            )
            if not lost_after_finish:
                error.partial = "".join(self._texts)
                raise
        try:
            self._check()
        except _MISSHAPEN as error:
            raise self._misshapen(error) from error

    def _take(
        self, event: Mapping[str, Any], choice: Mapping[str, Any], wire: Mapping[str, Any]
    ) -> None:
        if text := wire.get("content"):
            if not isinstance(text, str):
                msg = f"content is a {type(text).__name__}"
                raise TypeError(msg)
            self._texts.append(text)
        if reasoning := wire.get("reasoning_content"):
            if not isinstance(reasoning, str):
                msg = f"reasoning_content is a {type(reasoning).__name__}"
                raise TypeError(msg)
            self._has_reasoning = True
        for call in wire.get("tool_calls") or ():
            self._take_call(call)
        if finish_reason := choice.get("finish_reason"):
            self._finish_reason = str(finish_reason)
        usage = event.get("usage")
        if usage and (usage.get("prompt_tokens") or usage.get("completion_tokens")):
            self._usage = usage

    def _take_call(self, wire: dict[str, Any]) -> None:
        """Add a tool call, or a piece of one; a piece without an index is of the last call.

        What a piece says again is taken out of it: adding chunks up would double it.
        """
        if wire.get("index") is None:
            begins = bool(wire.get("id")) or not self._calls
            wire["index"] = len(self._calls) if begins else len(self._calls) - 1
        function = wire["function"]
        call = self._calls.setdefault(wire["index"], _Call())
        call.id = call.id or wire.get("id")
        if call.name and call.name == function.get("name"):
            function["name"] = None
        call.name = call.name or function.get("name")
        call.arguments += function.get("arguments") or ""

    def _check(self) -> None:
        finish = self._finish_reason
        if finish is None:
            msg = "the answer ended before its finish reason came"
            raise self._error(CFDeepSeekIncompleteStreamError, msg, origin="connection")
        if finish in _FAILED_FINISHES:
            error, message = _FAILED_FINISHES[finish]
            raise self._error(error, f"{message} (finish_reason {finish})")
        text = "".join(self._texts)
        if _TOOL_MARKUP in text and self._request_body.get("tools"):
            msg = "the answer holds the markup of a tool call instead of the call"
            raise self._error(CFDeepSeekAPIError, msg)
        self._check_calls()
        if finish != "stop" or self._calls:
            return
        if self._request_body.get("response_format") == {"type": "json_object"}:
            if not text.strip():
                msg = "JSON mode was answered with white space: the model wrote no JSON"
                raise self._error(CFDeepSeekEmptyResponseError, msg)
        elif not text and not self._has_reasoning and not self._completion_tokens():
            msg = "the answer holds no token"
            raise self._error(CFDeepSeekEmptyResponseError, msg)

    def _check_calls(self) -> None:
        if self._finish_reason == "tool_calls" and not self._calls:
            msg = "the answer announces tool calls and holds none"
            raise self._error(CFDeepSeekEmptyResponseError, msg)
        for call in self._calls.values():
            if not call.is_whole():
                # LangChain would complete half-written arguments of a stream by guess.
                msg = (
                    f"the arguments of the tool call {call.name!r} are no JSON object "
                    f"(finish_reason {self._finish_reason})"
                )
                hint = "Raise `max_tokens`." if self._finish_reason == "length" else TRY_AGAIN
                raise self._error(CFDeepSeekAPIError, msg, hint=hint)

    def _completion_tokens(self) -> int:
        return (self._usage or {}).get("completion_tokens") or 0

    def _misshapen(self, cause: Exception) -> CFDeepSeekError:
        msg = f"the answer is not of the shape that DeepSeek documents ({cause!r:.300})"
        return self._error(CFDeepSeekAPIError, msg)

    def _error(self, error: type[CFDeepSeekError], message: str, **how: Any) -> CFDeepSeekError:
        return error_of_answer(error, message, self._response, partial="".join(self._texts), **how)

    @staticmethod
    def _tool_call_chunk(call: Mapping[str, Any]) -> ToolCallChunk:
        function = call["function"]
        return tool_call_chunk(
            name=function.get("name"),
            args=function.get("arguments"),
            id=call.get("id"),
            index=call["index"],
        )

    def _news(self, wire: Mapping[str, Any]) -> dict[str, Any]:
        """Return the undocumented keys that say something which adding up does not corrupt.

        Adding chunks up joins texts and lists, which is right for pieces and wrong for repeats.
        """
        news = {}
        for key in wire.keys() - DOCUMENTED_KEYS:
            value, said = wire[key], self._unknown.get(key)
            if value is None or value == said:
                continue
            if said is not None and not isinstance(value, str | list | dict):
                continue
            try:
                self._unknown |= _added_up({key: said}, {key: value})
            except (TypeError, RecursionError):
                continue
            news[key] = value
        return news

    def _opening_metadata(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """What an answer says once, in a stream with its first chunk.

        Adding chunks up concatenates equal strings, so none of this may be said twice.
        """
        facts = read_facts(self._response.headers)
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

    def _closing_metadata(self) -> dict[str, Any]:
        metadata: dict[str, Any] = {"finish_reason": self._finish_reason}
        if self._usage:
            metadata["token_usage"] = self._usage
        return metadata

    def _content(
        self, wire: Mapping[str, Any]
    ) -> tuple[str | list[str | dict[Any, Any]], dict[str, Any]]:
        """Return the content of a message or delta, and what goes beside it."""
        text = wire.get("content") or ""
        reasoning = wire.get("reasoning_content")
        additional_kwargs: dict[str, Any] = {}
        if news := self._news(wire):
            additional_kwargs[UNKNOWN_KEYS] = news
        if not self._as_blocks:
            if reasoning:
                additional_kwargs["reasoning_content"] = reasoning
            return text, additional_kwargs
        # Indexes of a name each: core's numbers would put reasoning and a tool call in one block.
        blocks: list[str | dict[Any, Any]] = []
        if reasoning:
            blocks.append({"type": "reasoning", "reasoning": reasoning, "index": "lc_rsn_0"})
        if text:
            blocks.append({"type": "text", "text": text, "index": "lc_txt_0"})
        return blocks, additional_kwargs


_EMPTY_MESSAGE = AIMessageChunk(content="")
_MESSAGE_STATE = _EMPTY_MESSAGE.__getstate__()
_CHUNK_STATE = ChatGenerationChunk(message=_EMPTY_MESSAGE).__getstate__()


def _text_chunk(
    text: str, additional_kwargs: dict[str, Any], metadata: dict[str, Any]
) -> ChatGenerationChunk:
    """Return a chunk of text or reasoning, which most are, in 0.4 of the time of its constructor.

    It is restored as if it had been pickled. What the constructor would derive from the arguments
    is what it derived from none: no call.
    """
    message = AIMessageChunk.__new__(AIMessageChunk)
    own = {
        "content": text,
        "additional_kwargs": additional_kwargs,
        "response_metadata": metadata,
        "tool_calls": [],
        "invalid_tool_calls": [],
        "tool_call_chunks": [],
    }
    message.__setstate__(
        {
            **_MESSAGE_STATE,
            "__dict__": {**_MESSAGE_STATE["__dict__"], **own},
            "__pydantic_fields_set__": set(own),
            "__pydantic_extra__": {},
        }
    )
    chunk = ChatGenerationChunk.__new__(ChatGenerationChunk)
    chunk.__setstate__(
        {
            **_CHUNK_STATE,
            "__dict__": {**_CHUNK_STATE["__dict__"], "text": text, "message": message},
            "__pydantic_fields_set__": {"text", "message"},
        }
    )
    return chunk


def _added_up(said: dict[str, Any], piece: dict[str, Any]) -> dict[str, Any]:
    """Return what LangChain makes of a value and a piece of it; raises where it cannot."""
    begun = AIMessageChunk(content="", additional_kwargs=said)
    return (begun + AIMessageChunk(content="", additional_kwargs=piece)).additional_kwargs


def _checked_logprobs(logprobs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return log probabilities that may be added up: lists of tokens, one behind the other."""
    for tokens in filter(None, logprobs.values()):
        if not isinstance(tokens, list) or any("index" in token for token in tokens):
            msg = "logprobs are no lists of tokens"
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
