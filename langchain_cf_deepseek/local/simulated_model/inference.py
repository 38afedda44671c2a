"""The engine under the pretend model: a reply becomes model output, the output becomes chunks.

The output is the markup that the published models write, and DeepSeek's own library reads it; what
comes out is therefore chunked, split and counted as DeepSeek does it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from deepseek_recipe import (
    AssistantMessage,
    ChatCompletionChunk,
    ChatCompletionRequest,
    Conversation,
    ConversationRequest,
    DeepseekV4Encoding,
    DeepseekV41Encoding,
    InferenceChunk,
    InferenceFinishReason,
    ModelVersion,
    PromptUsage,
    SpecialToken,
    StreamProcessor,
    ThinkingInitialStage,
    ToolCall,
    ToolDefinition,
    UserMessage,
)

from langchain_cf_deepseek.local.simulated_model.output_tokens import Pieces
from langchain_cf_deepseek.local.simulated_model.replies import Reply

_END = SpecialToken.Eos.default_str()
_THOUGHT = SpecialToken.ThinkingEnd.default_str()


@dataclass(frozen=True)
class Inference:
    """One answer of the model, ready to be generated."""

    id: str
    model: str
    """The name that the answer carries."""
    request: ConversationRequest
    prompt: str
    prompt_tokens: int
    cached_tokens: int
    max_tokens: int
    reply: Reply


def render(version: ModelVersion, conversation: Conversation) -> str:
    """Render a conversation into the prompt that the model reads."""
    encoding = (
        DeepseekV4Encoding() if version == ModelVersion.DeepseekV4Pro else DeepseekV41Encoding()
    )
    return encoding.render_conversation(conversation).prompt


def generate(inference: Inference) -> Iterator[ChatCompletionChunk]:
    """Generate the chunks of an answer, one piece of model output after another."""
    request, reply = inference.request, inference.reply
    parsing = request.parsing_options
    if reply.tool_calls:
        parsing.parse_tool_calls = True
    else:
        parsing.starts_in_tool_calls = False
    output = _model_output(inference, parsing.thinking_initial_stage, parsing.starts_in_tool_calls)
    options = request.inference_options
    pieces = Pieces(output, (options.top_logprobs or 0) if options.logprobs else None)
    processor = StreamProcessor(
        ChatCompletionRequest.chunk_generator(request, inference.id, inference.model),
        parsing,
        pieces.tokenizer,
    )
    for update in _updates(inference, pieces):
        for chunk in processor.push(update):
            if isinstance(chunk, ChatCompletionChunk):
                yield chunk
        if processor.finished:
            return


def _updates(inference: Inference, pieces: Pieces) -> Iterator[InferenceChunk]:
    """Feed the output as an engine does: ready, one piece after another, finished."""
    usage = PromptUsage(
        prompt_tokens=inference.prompt_tokens, prompt_cache_hit_tokens=inference.cached_tokens
    )
    fingerprint = blake2b(inference.model.encode(), digest_size=16).hexdigest()
    yield InferenceChunk.ready(prompt_usage=usage, system_fingerprint=fingerprint)
    yield from pieces.chunks(inference.max_tokens)
    cut = len(pieces) > inference.max_tokens
    yield InferenceChunk.finish(InferenceFinishReason.Length if cut else InferenceFinishReason.Stop)


def _model_output(
    inference: Inference, stage: ThinkingInitialStage | None, in_tool_calls: bool
) -> str:
    """Write a reply in the markup of the model.

    The markup is what the library puts into a prompt for the same turn of an earlier conversation.
    """
    reply = inference.reply
    calls = [
        ToolCall(f"call_{number}", call.name, json.dumps(call.args, ensure_ascii=False))
        for number, call in enumerate(reply.tool_calls)
    ]
    content = "" if in_tool_calls else reply.content
    # An empty list of calls would be written as an empty block of them.
    turn = AssistantMessage(content, reply.reasoning or "", calls or None)
    thinking = stage is not None and stage.starts_in_reasoning()
    prompt = _render_turns(inference, thinking, [UserMessage("?")])
    whole = _render_turns(inference, thinking, [UserMessage("?"), turn])
    output = whole[len(prompt) : whole.rindex(_END)]
    if in_tool_calls:
        # The prompt of a forced call ends with the opening of the block.
        output = output.removeprefix(inference.prompt.rpartition(_THOUGHT)[2])
    return output


def _render_turns(
    inference: Inference, thinking: bool, turns: list[UserMessage | AssistantMessage]
) -> str:
    # Reasoning enters a prompt only in the presence of a tool.
    tool = ToolDefinition("?", None, {"type": "object", "properties": {}})
    conversation = Conversation(turns, thinking_mode=thinking, tools=[tool])
    return render(inference.request.model_version, conversation)
