"""File ids in user messages, replaced by what the files hold."""

from __future__ import annotations

from typing import Any

from langchain_cf_deepseek.local.deepseek.documents import data_url
from langchain_cf_deepseek.local.deepseek.files import Files
from langchain_cf_deepseek.local.faults.error_bodies import deepseek_refusal

JSON = dict[str, Any]


def resolve_files(messages: list[Any], files: Files) -> list[Any]:
    """Return messages in which images are inline, and the text of documents precedes the message.

    Raises:
        RefusedError: A file is not kept any more, or belongs to a message that is not of a user.
    """
    return [resolved for message in messages for resolved in _resolve(message, files)]


def _resolve(message: Any, files: Files) -> list[Any]:
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list) or not any(map(_file_id, content)):
        return [message]
    if message.get("role") != "user":
        raise deepseek_refusal(400, "Files are only supported in user messages")
    parts, documents = [], []
    for part in content:
        id_ = _file_id(part)
        if id_ is None:
            parts.append(part)
            continue
        file = files.find(id_, 400)
        if file.row["purpose"] == "user_data":
            url = data_url(file.content)
            parts.append({"type": "image_url", "image_url": {"url": url}})
        else:
            documents.append(f"{file.row['filename']}:\n{file.text}")
    read = [{"role": "user", "content": document} for document in documents]
    return [*read, {**message, "content": parts}] if parts else read


def _file_id(part: Any) -> str | None:
    """Return the id in a part. Both forms are accepted: DeepSeek's is only described in words."""
    if not isinstance(part, dict) or part.get("type") != "file":
        return None
    nested = part.get("file")
    id_ = part.get("file_id") or (nested.get("file_id") if isinstance(nested, dict) else None)
    return id_ if isinstance(id_, str) else None
