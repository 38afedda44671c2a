"""Content blocks of system texts, questions and tool results as DeepSeek's parts.

Blocks come in LangChain's standard form, and in those of OpenAI and Anthropic.
https://api-docs.deepseek.com/api/create-chat-completion
"""

from collections.abc import Callable, Mapping
from typing import Any

Part = dict[str, Any]

TEXTS = ("text", "text-plain")
"""The types of blocks that are text."""

_DETAILS = (None, "low", "high", "original", "auto")


def content_of(
    content: str | list[str | dict[Any, Any]], part_of: Mapping[str, Callable[[Part], Part]]
) -> str | list[Part]:
    """Return content as text or parts.

    Args:
        content: A message's content.
        part_of: What makes a part of a block, by the block's type.

    Raises:
        ValueError: DeepSeek has no form for a block; the text names it.
    """
    if isinstance(content, str):
        return content
    parts = [_part(block, part_of) for block in content]
    if len(parts) == 1 and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts or ""


def _part(block: str | dict[Any, Any], part_of: Mapping[str, Callable[[Part], Part]]) -> Part:
    if isinstance(block, str):
        return {"type": "text", "text": block}
    convert = part_of.get(str(block.get("type")))
    if convert is None:
        raise unknown_block(block, f"here DeepSeek takes {', '.join(part_of)}")
    return convert(block)


def unknown_block(block: Mapping[Any, Any], instead: str) -> ValueError:
    """Return the error of a block for which there is no part."""
    return ValueError(f"a content block of type {block.get('type')!r} cannot be sent: {instead}.")


def text_of(block: Part, key: str) -> str:
    """Return the string that `block` holds under `key`.

    Raises:
        ValueError: It holds none.
    """
    text = block.get(key)
    if not isinstance(text, str):
        msg = f"a content block needs a string under {key!r}, not {text!r:.100}."
        raise ValueError(msg)  # noqa: TRY004 - the value is what is wrong
    return text


def _text_part(block: Part) -> Part:
    return {"type": "text", "text": text_of(block, "text")}


def _image_url_part(block: Part) -> Part:
    image = block.get("image_url")
    return _checked_image(dict(image) if isinstance(image, Mapping) else {"url": image})


def _image_part(block: Part) -> Part:
    source = block.get("source")  # Anthropic's form
    if isinstance(source, dict):
        block = {**source, "base64": source.get("data"), "mime_type": source.get("media_type")}
    if block.get("file_id"):
        return _file_by_id(block)
    return _checked_image({"url": block.get("url") or _data_url(block)})


def _file_by_id(block: Part) -> Part:
    return {"type": "file", "file_id": text_of(block, "file_id")}


def _checked_image(image: Part) -> Part:
    url = image.get("url")
    if not isinstance(url, str) or not url.startswith(("https://", "http://", "data:image/")):
        msg = (
            "an image needs an http(s) URL, a data URL, base64 data with its `mime_type`, or a "
            "file id."
        )
        raise ValueError(msg)
    if image.get("detail") not in _DETAILS:
        msg = f"the `detail` of an image is one of {_DETAILS[1:]}, not {image['detail']!r:.100}."
        raise ValueError(msg)
    return {"type": "image_url", "image_url": image}


def _data_url(block: Part) -> str | None:
    if block.get("base64") and block.get("mime_type"):
        return f"data:{block['mime_type']};base64,{block['base64']}"
    return None


def _file_part(block: Part) -> Part:
    if isinstance(block.get("file"), dict):  # OpenAI's form
        block = block["file"]
    if block.get("file_id"):
        return _file_by_id(block)
    data_url = block.get("file_data") or _data_url(block)
    if isinstance(data_url, str) and data_url.startswith("data:image/"):
        return _checked_image({"url": data_url})
    msg = (
        "DeepSeek takes documents by file id only: upload the file with DeepSeek's Files API "
        '(https://api-docs.deepseek.com/guides/files_api) and send {"type": "file", "file_id": ...}'
        "."
    )
    raise ValueError(msg)


def _unseen(_: Part) -> Part:
    msg = "this model sees no images and files: use one that does, such as `deepseek-flash`."
    raise ValueError(msg)


TEXT_ONLY = dict.fromkeys(TEXTS, _text_part)
TOLD = {
    **TEXT_ONLY,
    "image_url": _image_url_part,
    "image": _image_part,
    "file": _file_part,
}
TOLD_BLINDLY = {**TEXT_ONLY, **dict.fromkeys(("image_url", "image", "file"), _unseen)}
