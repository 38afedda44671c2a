"""Chunks of a stream that LangChain can merge: how they are built, and what merges."""

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

_TEXT_CHUNK = AIMessageChunk(content="")
_TEXT_GENERATION = ChatGenerationChunk(message=_TEXT_CHUNK)


class RepeatedText(str):
    """A text that several chunks of a stream hold, and their sum holds once.

    LangChain's event streams read a model's name from the first chunk, many applications read it
    from the last one, and LangChain concatenates strings under the same key.
    """

    __slots__ = ()

    def __add__(self, other: str) -> str:
        return self if self == other else super().__add__(other)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


def build_text_chunk(
    text: str, additional_kwargs: dict[str, Any], metadata: dict[str, Any]
) -> ChatGenerationChunk:
    """Return a chunk of text or reasoning, equal to the constructor's chunk in every field.

    Most chunks are of this kind, and a copy costs less than a constructor.
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


def merge_content(blocks: list[Any], delta: list[Any]) -> list[Any]:
    """Return blocks and a delta of blocks as LangChain merges them.

    Raises:
        TypeError: They do not merge.
    """
    return list((AIMessageChunk(content=blocks) + AIMessageChunk(content=delta)).content)


def check_logprobs(logprobs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return log probabilities, which merge as lists of tokens.

    Raises:
        TypeError: They are not lists of tokens, or would merge by an index.
    """
    for tokens in filter(None, logprobs.values()):
        if not isinstance(tokens, list) or any("index" in token for token in tokens):
            msg = "logprobs are not lists of tokens"
            raise TypeError(msg)
    return logprobs
