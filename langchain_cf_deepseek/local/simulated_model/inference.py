"""The inference engine of the simulated model: from a reply to model output and its chunks.

The output has the markup of the published models, and DeepSeek's own library parses it, so that it
is chunked and counted as on DeepSeek's service.
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
from langchain_cf_deepseek.local.simulated_model.scripted_replies import Reply

_END = SpecialToken.Eos.default_str()
_THINKING_END = SpecialToken.ThinkingEnd.default_str()


@dataclass(frozen=True)
class Inference:
    """One completion, ready to be generated."""

    id: str
    model: str
    """The model name in the response."""
    request: ConversationRequest
    prompt: str
    prompt_tokens: int
    cached_tokens: int
    max_tokens: int
    reply: Reply


def render(version: ModelVersion, conversation: Conversation) -> str:
    """Render a conversation into the prompt of the model."""
    encoding = (
        DeepseekV4Encoding() if version == ModelVersion.DeepseekV4Pro else DeepseekV41Encoding()
    )
    return encoding.render_conversation(conversation).prompt


def generate(inference: Inference) -> Iterator[ChatCompletionChunk]:
    """Generate the chunks of a completion from one piece of model output after another."""
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
    """Yield what an inference engine yields: ready, one piece after another, finish."""
    usage = PromptUsage(
        prompt_tokens=inference.prompt_tokens, prompt_cache_hit_tokens=inference.cached_tokens
    )
    fingerprint = blake2b(inference.model.encode(), digest_size=16).hexdigest()
    yield InferenceChunk.ready(prompt_usage=usage, system_fingerprint=fingerprint)
    yield from pieces.chunks(inference.max_tokens)
    is_truncated = len(pieces) > inference.max_tokens
    yield InferenceChunk.finish(
        InferenceFinishReason.Length if is_truncated else InferenceFinishReason.Stop
    )


def _model_output(
    inference: Inference, stage: ThinkingInitialStage | None, in_tool_calls: bool
) -> str:
    """Return a reply in the markup of the model.

    The markup is what the library renders into a prompt for an earlier turn with this reply.
    """
    reply = inference.reply
    calls = [
        ToolCall(f"call_{number}", call.name, json.dumps(call.args, ensure_ascii=False))
        for number, call in enumerate(reply.tool_calls)
    ]
    content = "" if in_tool_calls else reply.content
    # An empty list of tool calls would be rendered as an empty block.
    turn = AssistantMessage(content, reply.reasoning or "", calls or None)
    thinking = stage is not None and stage.starts_in_reasoning()
    prompt = _render_turns(inference, thinking, [UserMessage("?")])
    whole = _render_turns(inference, thinking, [UserMessage("?"), turn])
    output = whole[len(prompt) : whole.rindex(_END)]
    if in_tool_calls:
        # With a forced tool call, the prompt ends with the start of the block.
        output = output.removeprefix(inference.prompt.rpartition(_THINKING_END)[2])
    return output


def _render_turns(
    inference: Inference, thinking: bool, turns: list[UserMessage | AssistantMessage]
) -> str:
    # Reasoning is rendered into a prompt only if there is a tool.
    tool = ToolDefinition("?", None, {"type": "object", "properties": {}})
    conversation = Conversation(turns, thinking_mode=thinking, tools=[tool])
    return render(inference.request.model_version, conversation)
