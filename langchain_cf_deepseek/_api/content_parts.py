"""Content blocks of system texts, questions and tool results as DeepSeek's parts.

Blocks come in LangChain's standard form, and in those of OpenAI, Anthropic and Google.
https://api-docs.deepseek.com/api/create-chat-completion
"""

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.messages import convert_to_openai_image_block, is_data_content_block

from langchain_cf_deepseek._api.assistant_messages import block_type
from langchain_cf_deepseek._json import json_text

Part = dict[str, Any]
Content = str | list[str | dict[Any, Any]]

IMAGE_NEEDS = (
    "an image needs an http(s) URL, a data URL, base64 data with its `mime_type`, or a file id."
)
"""What is wrong with an image that is none."""

_DETAILS = (None, "low", "high", "original", "auto")

# What Bedrock puts between blocks to say where its cache of prompts begins: no content.
_HINTS = frozenset({"cachePoint"})

# The ids of DeepSeek's Files API; a tool's own files have ids, too.
_FILE_ID = "file-api-"

# What may be said of a link beside where it leads to; anything more is data.
_LINK_FIELDS = frozenset(
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


def system_content(content: Content) -> str | list[Part]:
    """Return the content of a system text as text or parts.

    Raises:
        ValueError: It holds another block than text.
    """
    return _content([_part(block, _SYSTEM_PARTS) for block in _without_hints(content)])


def user_content(content: Content, *, sees_images: bool) -> str | list[Part]:
    """Return the content of a question as text or parts.

    Raises:
        ValueError: DeepSeek, or a model without vision, has no form for a block.
    """
    parts = []
    for block in _without_hints(content):
        part = _part(block, _USER_PARTS if sees_images else _TEXT_ONLY_USER_PARTS)
        parts.append(_seen(part, sees_images=sees_images))
    return _content(parts)


def result_content(content: Content, *, sees_images: bool) -> str | list[Part]:
    """Return the content of a tool's result as text or parts.

    A result is data: what is no block that DeepSeek takes goes as its JSON, a link as its URL.

    Raises:
        ValueError: It holds an image, and the model has no vision.
    """
    parts = [_result_part(block, sees_images=sees_images) for block in _without_hints(content)]
    return _content(parts) or ("" if isinstance(content, str) else "[]")


def as_text(block: Any) -> Part:
    """Return a block of a tool's result that is data, as text."""
    link = block.get("url") or block.get("uri")
    if isinstance(link, str) and block.keys() - {"url", "uri"} <= _LINK_FIELDS:
        return {"type": "text", "text": link}
    return {"type": "text", "text": json_text(block)}


def is_broken_image(block: Any) -> bool:
    """Return whether a block is an image by its type, and none that LangChain can read."""
    if not isinstance(block, dict) or block.get("type") != "image":
        return False
    if "file_id" in block or block.get("source_type") == "id" or not is_data_content_block(block):
        return False
    try:
        convert_to_openai_image_block(block)
    except (KeyError, TypeError, ValueError):
        return True
    return False


def image_in_file(block: Any) -> Part | None:
    """Return the image in a file of OpenAI's form, which LangChain would take for a PDF."""
    file = block.get("file") if isinstance(block, dict) else None
    url = file.get("file_data") if isinstance(file, dict) else None
    if isinstance(url, str) and url.startswith("data:image/"):
        return {"type": "image_url", "image_url": {"url": url}}
    return None


def is_rewritten_row(block: Any) -> bool:
    """Return whether LangChain rewrites a block of data into its standard form, with a new id.

    A text of it would differ from request to request, and DeepSeek's cache would not know it again.
    """
    if not isinstance(block, dict):
        return False
    kind, mime_type = block_type(block), str(block.get("mime_type"))
    if kind == "file" and isinstance(block.get("file"), dict):
        return _file_or_none(block) is None
    is_old_form = kind in ("audio", "file") and "source_type" in block
    return kind == "input_audio" or (is_old_form and not mime_type.startswith("image/"))


def _without_hints(content: Content) -> list[Any]:
    blocks = [content] if isinstance(content, str) else content
    return [block for block in blocks if isinstance(block, str) or block_type(block) not in _HINTS]


def _content(parts: list[Part]) -> str | list[Part]:
    if len(parts) == 1 and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts or ""


def _part(block: str | dict[Any, Any], part_of: Mapping[str, Callable[[Part], Part]]) -> Part:
    if isinstance(block, str):
        return {"type": "text", "text": block}
    kind = block_type(block)
    convert = part_of.get(kind)
    if convert is None:
        named = [name for name in _NAMED if name in part_of]
        way_out = next((way for word, way in _WAYS_OUT.items() if word in kind.lower()), "")
        msg = (
            f"a content block of type {block.get('type')!r} cannot be sent: here DeepSeek takes "
            f"{', '.join(named)}.{way_out}"
        )
        raise ValueError(msg)
    return convert(block)


def _result_part(block: str | dict[Any, Any], *, sees_images: bool) -> Part:
    if isinstance(block, str):
        return {"type": "text", "text": block}
    convert = _RESULT_PARTS.get(block_type(block))
    if convert is None:
        return as_text(block)
    try:
        part = convert(block)
    except ValueError:
        return as_text(block)
    if part["type"] == "file" and not part["file_id"].startswith(_FILE_ID):
        return as_text(block)
    return _seen(part, sees_images=sees_images)


def _seen(part: Part, *, sees_images: bool) -> Part:
    if sees_images or part["type"] == "text":
        return part
    msg = "this model sees no images and files: use one that does, such as `deepseek-flash`."
    raise ValueError(msg)


def _text_under(block: Part, key: str) -> str:
    text = block.get(key)
    if not isinstance(text, str):
        msg = f"a content block needs a string under {key!r}, not {text!r:.100}."
        raise ValueError(msg)  # noqa: TRY004 - the value is what is wrong
    return text


def _text_part(block: Part) -> Part:
    return {"type": "text", "text": _text_under(block, "text")}


def _image_url_part(block: Part) -> Part:
    if block.get("file_id"):
        return _file_by_id(block)
    image = block.get("image_url")
    given = dict(image) if isinstance(image, Mapping) else {"url": image}
    if block.get("detail"):  # where OpenAI's Responses say it
        given["detail"] = block["detail"]
    return _checked_image(given)


def _image_part(block: Part) -> Part:
    source = block.get("source")  # Anthropic's form
    if isinstance(source, dict):
        block = {**source, "base64": source.get("data"), "mime_type": source.get("media_type")}
    if block.get("file_id"):
        return _file_by_id(block)
    return _checked_image({"url": block.get("url") or _data_url(block)})


def _media_part(block: Part) -> Part:
    """Return the part of a block of Google's."""
    return _file_part({**block, "base64": block.get("data")})


def _file_by_id(block: Part) -> Part:
    return {"type": "file", "file_id": _text_under(block, "file_id")}


def _checked_image(image: Part) -> Part:
    url = image.get("url")
    if not isinstance(url, str) or not url.startswith(("https://", "http://", "data:image/")):
        raise ValueError(IMAGE_NEEDS)
    if image.get("detail") not in _DETAILS:
        msg = f"the `detail` of an image is one of {_DETAILS[1:]}, not {image['detail']!r:.100}."
        raise ValueError(msg)
    return {"type": "image_url", "image_url": image}


def _data_url(block: Part) -> str | None:
    if block.get("base64") and block.get("mime_type"):
        return f"data:{block['mime_type']};base64,{block['base64']}"
    return None


def _file_part(block: Part) -> Part:
    part = _file_or_none(block)
    if part is not None:
        return part
    msg = (
        "DeepSeek takes documents by file id only: upload the file with DeepSeek's Files API "
        '(https://api-docs.deepseek.com/guides/files_api) and send {"type": "file", "file_id": ...}'
        "."
    )
    raise ValueError(msg)


def _unseen_file_part(block: Part) -> Part:
    part = _file_or_none(block)
    if part is not None:
        return part
    msg = "this model reads no documents, whichever way they come: send the text of the document."
    raise ValueError(msg)


def _file_or_none(block: Part) -> Part | None:
    if isinstance(block.get("file"), dict):  # OpenAI's form
        block = block["file"]
    if block.get("file_id"):
        return _file_by_id(block)
    data_url = block.get("file_data") or _data_url(block)
    if isinstance(data_url, str) and data_url.startswith("data:image/"):
        return _checked_image({"url": data_url})
    return None


def _document_part(block: Part) -> Part:
    return _document_text(block) or _file_part(_source_of(block))


def _unseen_document_part(block: Part) -> Part:
    return _document_text(block) or _unseen_file_part(_source_of(block))


def _source_of(block: Part) -> Part:
    source = block.get("source")
    return source if isinstance(source, dict) else block


def _document_text(block: Part) -> Part | None:
    """Return the text of one of Anthropic's documents, where it comes as text."""
    source = _source_of(block)
    text = source.get("data") if source.get("type") == "text" else source.get("content")
    if isinstance(text, list):
        pieces = [piece.get("text") if isinstance(piece, dict) else piece for piece in text]
        texts = [piece for piece in pieces if isinstance(piece, str)]
        text = "\n\n".join(texts) if len(texts) == len(pieces) else None
    return {"type": "text", "text": text} if isinstance(text, str) and text else None


_SYSTEM_PARTS = dict.fromkeys(("text", "text-plain", "input_text", "output_text"), _text_part)
_IMAGES: dict[str, Callable[[Part], Part]] = {
    "image_url": _image_url_part,
    "input_image": _image_url_part,
    "image": _image_part,
}
_RESULT_PARTS = {**_SYSTEM_PARTS, **_IMAGES, "file": _file_part, "input_file": _file_part}
_USER_PARTS = {**_RESULT_PARTS, "media": _media_part, "document": _document_part}
_TEXT_ONLY_USER_PARTS = {
    **_SYSTEM_PARTS,
    **_IMAGES,
    **dict.fromkeys(("file", "input_file", "media"), _unseen_file_part),
    "document": _unseen_document_part,
}

# The types of LangChain's own and of OpenAI's that a message of ours names.
_NAMED = ("text", "text-plain", "image_url", "image", "file")

_WAYS_OUT = {
    "audio": " Send what is said in it as text.",
    "video": " Send what is said in it as text.",
}
