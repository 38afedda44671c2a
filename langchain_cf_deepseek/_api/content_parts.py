"""Content blocks of system messages, user messages and tool results as DeepSeek's parts.

Blocks are those of LangChain's standard form, of OpenAI, Anthropic and Google.
https://api-docs.deepseek.com/api/create-chat-completion
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from langchain_core.messages import convert_to_openai_image_block, is_data_content_block

from langchain_cf_deepseek._api.assistant_messages import block_type
from langchain_cf_deepseek._json import json_text

Part = dict[str, Any]
Content = str | list[str | dict[Any, Any]]
_Builders = Mapping[str, Callable[[Part], Part]]

INVALID_IMAGE = (
    "an image needs an http(s) URL, a data URL, base64 data with its `mime_type`, or a file id."
)
"""The message of the error for an invalid image."""

_IMAGE_DETAILS = (None, "low", "high", "original", "auto")

# Bedrock marks the end of the cached prompt with such a block: not content.
_CACHE_MARKERS = frozenset({"cachePoint"})

# File ids of DeepSeek's Files API have this prefix; the file ids in tool results can be others.
_FILE_ID_PREFIX = "file-api-"

# A block with a URL and only these keys is a link; with any other key it is data.
_LINK_KEYS = frozenset(
    {
        "annotations",
        "extras",
        "filename",
        "id",
        "index",
        "mimeType",
        "mime_type",
        "name",
        "source_type",
        "type",
    }
)


def build_system_content(content: Content) -> str | list[Part]:
    """Return the content of a system message as text or parts.

    Raises:
        ValueError: It holds a block that is not text.
    """
    return _join_parts([_build_part(block, _SYSTEM_PARTS) for block in _iter_blocks(content)])


def build_user_content(content: Content, *, sees_images: bool) -> str | list[Part]:
    """Return the content of a user message as text or parts.

    Raises:
        ValueError: DeepSeek, or a model without vision, does not accept a block.
    """
    builders = _USER_PARTS if sees_images else _TEXT_ONLY_USER_PARTS
    parts = [
        _check_vision(_build_part(block, builders), sees_images=sees_images)
        for block in _iter_blocks(content)
    ]
    return _join_parts(parts)


def build_result_content(content: Content, *, sees_images: bool) -> str | list[Part]:
    """Return the content of a tool result as text or parts.

    A result is data: a block that DeepSeek does not accept is sent as its JSON, a link as its URL.

    Raises:
        ValueError: It holds an image, and the model has no vision.
    """
    parts = [_build_result_part(block, sees_images=sees_images) for block in _iter_blocks(content)]
    return _join_parts(parts) or ("" if isinstance(content, str) else "[]")


def block_as_text(block: Part) -> Part:
    """Return a text part with the URL of a link, or the JSON of any other block."""
    link = block.get("url") or block.get("uri")
    if isinstance(link, str) and block.keys() - {"url", "uri"} <= _LINK_KEYS:
        return _text(link)
    return _text(json_text(block))


def is_invalid_image(block: Any) -> bool:
    """Return whether a block has the type of an image and LangChain cannot read it."""
    if not isinstance(block, dict) or block.get("type") != "image":
        return False
    if "file_id" in block or block.get("source_type") == "id" or not is_data_content_block(block):
        return False
    try:
        convert_to_openai_image_block(block)
    except (KeyError, TypeError, ValueError):
        return True
    return False


def find_image_in_file(block: Any) -> Part | None:
    """Return the image in a file of OpenAI's form, which LangChain would read as a PDF."""
    file = block.get("file") if isinstance(block, dict) else None
    url = file.get("file_data") if isinstance(file, dict) else None
    if isinstance(url, str) and url.startswith("data:image/"):
        return {"type": "image_url", "image_url": {"url": url}}
    return None


def is_rewritten_by_langchain(block: Any) -> bool:
    """Return whether LangChain rewrites a block into its standard form, with a random id.

    Its JSON would differ from request to request, and miss DeepSeek's prompt cache.
    """
    if not isinstance(block, dict):
        return False
    kind, mime_type = block_type(block), str(block.get("mime_type"))
    if kind == "file" and isinstance(block.get("file"), dict):
        return _find_file(block) is None
    is_old_form = kind in ("audio", "file") and "source_type" in block
    return kind == "input_audio" or (is_old_form and not mime_type.startswith("image/"))


def _iter_blocks(content: Content) -> list[Any]:
    blocks = [content] if isinstance(content, str) else content
    return [b for b in blocks if isinstance(b, str) or block_type(b) not in _CACHE_MARKERS]


def _join_parts(parts: list[Part]) -> str | list[Part]:
    if len(parts) == 1 and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts or ""


def _build_part(block: str | dict[Any, Any], builders: _Builders) -> Part:
    if isinstance(block, str):
        return _text(block)
    kind = block_type(block)
    build = builders.get(kind)
    if build is None:
        accepted = [name for name in _DOCUMENTED_TYPES if name in builders]
        hint = next((hint for word, hint in _TYPE_HINTS.items() if word in kind.lower()), "")
        msg = (
            f"a content block of type {block.get('type')!r} cannot be sent: here DeepSeek takes "
            f"{', '.join(accepted)}.{hint}"
        )
        raise ValueError(msg)
    return build(block)


def _build_result_part(block: str | dict[Any, Any], *, sees_images: bool) -> Part:
    if isinstance(block, str):
        return _text(block)
    build = _RESULT_PARTS.get(block_type(block), block_as_text)
    try:
        part = build(block)
    except ValueError:
        return block_as_text(block)
    if part["type"] == "file" and not part["file_id"].startswith(_FILE_ID_PREFIX):
        return block_as_text(block)
    return _check_vision(part, sees_images=sees_images)


def _check_vision(part: Part, *, sees_images: bool) -> Part:
    if sees_images or part["type"] == "text":
        return part
    msg = "this model cannot read images or files: use one that can, such as `deepseek-flash`."
    raise ValueError(msg)


def _text(text: str) -> Part:
    return {"type": "text", "text": text}


def _get_text(block: Part, key: str) -> str:
    text = block.get(key)
    if not isinstance(text, str):
        msg = f"a content block needs a string under {key!r}, not {text!r:.100}."
        raise ValueError(msg)  # noqa: TRY004 - the value is what is wrong
    return text


def _build_text(block: Part) -> Part:
    return _text(_get_text(block, "text"))


def _build_openai_image(block: Part) -> Part:
    if block.get("file_id"):
        return _build_file_by_id(block)
    value = block.get("image_url")
    image = dict(value) if isinstance(value, Mapping) else {"url": value}
    if block.get("detail"):  # the place of OpenAI's Responses API
        image["detail"] = block["detail"]
    return _checked_image(image)


def _build_image(block: Part) -> Part:
    source = block.get("source")  # Anthropic's form
    if isinstance(source, dict):
        block = {**source, "base64": source.get("data"), "mime_type": source.get("media_type")}
    if block.get("file_id"):
        return _build_file_by_id(block)
    return _checked_image({"url": block.get("url") or _data_url(block)})


def _build_google_media(block: Part) -> Part:
    return _build_file({**block, "base64": block.get("data")})


def _build_file_by_id(block: Part) -> Part:
    return {"type": "file", "file_id": _get_text(block, "file_id")}


def _checked_image(image: Part) -> Part:
    url = image.get("url")
    if not isinstance(url, str) or not url.startswith(("https://", "http://", "data:image/")):
        raise ValueError(INVALID_IMAGE)
    if image.get("detail") not in _IMAGE_DETAILS:
        msg = (
            f"the `detail` of an image must be one of {_IMAGE_DETAILS[1:]}, "
            f"not {image['detail']!r:.100}."
        )
        raise ValueError(msg)
    return {"type": "image_url", "image_url": image}


def _data_url(block: Part) -> str | None:
    if block.get("base64") and block.get("mime_type"):
        return f"data:{block['mime_type']};base64,{block['base64']}"
    return None


def _build_file(block: Part, *, sees_images: bool = True) -> Part:
    part = _find_file(block)
    if part is not None:
        return part
    if not sees_images:
        msg = "this model cannot read documents in any form: send the text of the document."
        raise ValueError(msg)
    msg = (
        "DeepSeek takes documents by file id only: `GatewayFiles.of(llm)` of "
        "`langchain_cf_deepseek.files` uploads them, in messages by `files.attach(messages)` or "
        "`files.attach | llm`; an id goes as "
        '{"type": "file", "file_id": ...}.'
    )
    raise ValueError(msg)


def _find_file(block: Part) -> Part | None:
    """Return the part for a file id or an image; `None` for any other document."""
    if isinstance(block.get("file"), dict):  # OpenAI's form
        block = block["file"]
    if block.get("file_id"):
        return _build_file_by_id(block)
    data_url = block.get("file_data") or _data_url(block)
    if isinstance(data_url, str) and data_url.startswith("data:image/"):
        return _checked_image({"url": data_url})
    return None


def _build_document(block: Part, *, sees_images: bool = True) -> Part:
    return _find_document_text(block) or _build_file(_source_of(block), sees_images=sees_images)


def _source_of(block: Part) -> Part:
    source = block.get("source")
    return source if isinstance(source, dict) else block


def _find_document_text(block: Part) -> Part | None:
    """Return the text of one of Anthropic's documents; `None` for one that is not text."""
    source = _source_of(block)
    text = source.get("data") if source.get("type") == "text" else source.get("content")
    if isinstance(text, list):
        entries = [entry.get("text") if isinstance(entry, dict) else entry for entry in text]
        texts = [entry for entry in entries if isinstance(entry, str)]
        text = "\n\n".join(texts) if len(texts) == len(entries) else None
    return _text(text) if isinstance(text, str) and text else None


_SYSTEM_PARTS = dict.fromkeys(("text", "text-plain", "input_text", "output_text"), _build_text)
_IMAGE_PARTS: _Builders = {
    "image_url": _build_openai_image,
    "input_image": _build_openai_image,
    "image": _build_image,
}
_RESULT_PARTS = {**_SYSTEM_PARTS, **_IMAGE_PARTS, "file": _build_file, "input_file": _build_file}
_USER_PARTS = {**_RESULT_PARTS, "media": _build_google_media, "document": _build_document}
_TEXT_ONLY_USER_PARTS: _Builders = {
    **_SYSTEM_PARTS,
    **_IMAGE_PARTS,
    **dict.fromkeys(("file", "input_file", "media"), partial(_build_file, sees_images=False)),
    "document": partial(_build_document, sees_images=False),
}

# The types of LangChain and OpenAI that error messages name.
_DOCUMENTED_TYPES = ("text", "text-plain", "image_url", "image", "file")

_TRANSCRIPT_HINT = " Send a transcript as text."
_TYPE_HINTS = {"audio": _TRANSCRIPT_HINT, "video": _TRANSCRIPT_HINT}
