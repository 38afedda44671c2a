"""DeepSeek's Search and Fetch: arguments, request bodies, and results as text for a model.

https://api-docs.deepseek.com/zh-cn/guides/search
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

from langchain_core.documents import Document
from langchain_core.tools import InjectedToolArg
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from langchain_cf_deepseek._surrogates import join_surrogates

_MAX_QUERY_LENGTH = 128
_MAX_URL_LENGTH = 8192


def _joined(value: Any) -> Any:
    return join_surrogates(value) if isinstance(value, str) else value


def _check_not_blank(value: str) -> str:
    if not value.strip():
        msg = "must not be blank"
        raise ValueError(msg)
    return value


def _shorten_question(value: Any) -> Any:
    """Shorten the user's question as DeepSeek's own client does; a blank one counts as unset."""
    return " ".join(value.split())[:_MAX_QUERY_LENGTH] or None if isinstance(value, str) else value


def _check_ip_address(value: str) -> str:
    try:
        ipaddress.ip_address(value or "::")
    except ValueError:
        msg = "must be the user's IP address such as '203.0.113.7', or '' for none"
        raise ValueError(msg) from None
    return value


def _check_url(value: str) -> str:
    if re.search(r"[\s\x00-\x1f\x7f]", value):
        msg = "must not contain white space or control characters: percent-encode them"
        raise ValueError(msg)
    try:
        parts = urlsplit(value)
        is_web = parts.scheme in {"http", "https"} and bool(parts.hostname)
        _ = parts.port
    except ValueError:  # its text can show a password
        is_web = False
    if not is_web:
        msg = "must be a whole http or https URL such as 'https://example.com/page'"
        raise ValueError(msg)
    if "@" in parts.netloc:
        msg = "must not contain a user name or password"
        raise ValueError(msg)
    return value


Count = Annotated[int, Field(ge=1, le=50)]
Localization = Annotated[str, AfterValidator(_check_ip_address)]


class SearchArguments(BaseModel):
    """The arguments of a search; those that are `None` leave the tool's own fields in force."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    query: Annotated[
        str,
        Field(min_length=1, max_length=_MAX_QUERY_LENGTH),
        AfterValidator(_check_not_blank),
        BeforeValidator(_joined),  # a surrogate pair is one character
    ] = Field(
        description="What to search for, at most 128 characters. Operators: site:example.com "
        '(several with OR), -site:example.com, -word, "exact phrase", lang:en, after:2025-01-31, '
        "before:2026."
    )

    count: Count | None = Field(default=None, description="How many results, 1 to 50.")

    ori_question: Annotated[str | None, BeforeValidator(_shorten_question)] = Field(
        default=None, description="The user's question, in the user's words."
    )

    localization: Annotated[Localization | None, InjectedToolArg()] = Field(
        default=None, description="The user's IP address."
    )

    need_content: Annotated[bool | None, InjectedToolArg()] = Field(
        default=None, description="Whether each result holds the text of its page."
    )


class FetchArguments(BaseModel):
    """The arguments of a fetch."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    url: Annotated[
        str, Field(min_length=1, max_length=_MAX_URL_LENGTH), AfterValidator(_check_url)
    ] = Field(description="The http or https URL of the page to read.")


def search_body(arguments: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a search.

    Args:
        arguments: Those of `SearchArguments`.
        defaults: The values of those that are `None`.

    Raises:
        pydantic.ValidationError: An argument is invalid.
    """
    given = SearchArguments.model_validate(dict(arguments)).model_dump(exclude_none=True)
    # "" and false are DeepSeek's defaults.
    return {name: value for name, value in (dict(defaults) | given).items() if value}


def fetch_body(url: str) -> dict[str, Any]:
    """Return the body of a fetch.

    Raises:
        pydantic.ValidationError: The URL is invalid.
    """
    return FetchArguments(url=url).model_dump()


def results_text(results: list[dict[str, Any]]) -> str:
    """Return search results as a text for a model: numbered, so that the model can cite them."""
    keys = (("title",), ("url",), ("date",), ("summary", "snippet"))
    entries = (
        f"[{number}] " + "\n".join(filter(None, (_text(result, *names) for names in keys)))
        for number, result in enumerate(results, 1)
    )
    return "\n\n".join(entries) or "The search found no results."


def page_text(url: str, page: dict[str, Any]) -> str:
    """Return a page as a text for a model."""
    head = "\n".join(filter(None, [_text(page, "title"), url]))
    return f"{head}\n\n{_text(page, 'content') or 'The page has no text.'}"


def document_of(result: dict[str, Any], *, with_content: bool) -> Document:
    """Return a search result as a document.

    Args:
        result: The result.
        with_content: Whether to prefer the text of the page to its summary.
    """
    keys = ("content", "summary", "snippet") if with_content else ("summary", "snippet")
    return Document(
        page_content=_text(result, *keys),
        metadata={
            "url": result.get("url"),
            "title": result.get("title"),
            "date": result.get("date"),
            "score": result.get("rerank_score"),
            "authority": result.get("authority"),
            "site_name": result.get("site_name"),
        },
    )


def _text(data: dict[str, Any], *keys: str) -> str:
    """Return the first value of `keys` that is a text and not blank."""
    texts = (value.strip() for key in keys if isinstance(value := data.get(key), str))
    return join_surrogates(next(filter(None, texts), ""))
