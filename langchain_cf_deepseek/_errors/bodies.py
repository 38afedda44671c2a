"""Reads error bodies of every known shape, whether a whole body or one event of a stream.

Status, headers and routing are not known here; which error follows is decided in `rules.py`.

    {"success": false, "error": [{"code", "message"}], "internalCode", "httpCode", ...}   gateway
    {"success": false, "errors": [{"code", "message"}]}                         Cloudflare's API
    {"success": false, "error": {"message"}}                                    a gateway policy
    {"error": {"message", "type": "gateway_error"}}                                       compat
    {"name": "AiError", "internalCode", "httpCode", "message"}                        Workers AI
    {"cloudflare_error": true, "error_code", "title", "detail", ...}           Cloudflare's edge
    {"error": {"message", "type", "code"}}                                  DeepSeek, and others
    {"error": "text"}, {"message", "code"}, {"object": "error", ...}, {"detail"}          others
    `error code: 1010`, HTML, any other text                                  the edge, a proxy
"""

import codecs
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Author = Literal["cloudflare", "edge", "provider"]
"""Who wrote a body: the gateway or Cloudflare's API, Cloudflare's edge, or the model provider."""

FAILURE_STATUSES = range(400, 600)
"""The HTTP statuses that mean failure."""

_MAX_MESSAGE_LENGTH = 2000
_MAX_TEXT_LENGTH = 500
_MAX_DEPTH = 8


@dataclass(frozen=True)
class ErrorReport:
    """The content of one error body."""

    message: str

    author: Author | None = None
    """`None` where the body does not show it."""

    code: int | str | None = None

    status: int | None = None
    """The status that the body implies, for errors in a response with a status of success."""

    http_status: int | None = None
    """Cloudflare's own `httpCode`, which is right where the status of the response differs."""

    search_text: str = ""
    """What the rules search: code, type and texts."""

    retry_after: float | None = None

    is_retryable: bool | None = None
    """Whether the body itself says that a retry can succeed; `None` where it does not say."""

    is_page: bool = False
    """Whether the body is an HTML page, which no API sends."""


def is_error(event: object) -> bool:
    """Return whether a JSON value is an error rather than a completion or a chunk of one.

    A chunk without choices is not always an error: heartbeats and the final usage have none.
    """
    if not isinstance(event, Mapping) or has_error(event):
        return True
    if event.get("choices"):
        return False
    if "internalCode" in event or event.get("cloudflare_error"):
        return True
    if "error" in (event.get("object"), _single_word(event.get("type"))):
        return True
    has_text = bool(event.get("detail")) or any(
        isinstance(event.get(key), str) and event[key] for key in ("message", "msg", "title")
    )
    has_code = any(_parse_code(event.get(key)) is not None for key in _CODE_KEYS)
    return has_text and (has_code or not event.keys() & {"choices", "response", "usage"})


def has_error(body: Mapping[str, Any]) -> bool:
    """Return whether a field of a JSON object reports an error."""
    return body.get("success") is False or any(map(_reports_error, _error_fields(body)))


def _error_fields(body: Mapping[str, Any]) -> Iterator[Any]:
    yield body.get("error")
    yield body.get("errors")


def _reports_error(value: Any) -> bool:
    """Return whether an `error` field reports one: some servers send it empty in every chunk."""
    return any(value.values()) if isinstance(value, Mapping) else bool(value)


def read_report(body: object) -> ErrorReport:
    """Return the report of a parsed body, which is a JSON value or a text."""
    if isinstance(body, list) and body and isinstance(body[0], Mapping):
        body = body[0]
    if isinstance(body, Mapping):
        return _read_edge_error(body) if _is_edge_error(body) else _read_mapping(body)
    return _read_text(remove_control_characters("" if body is None else str(body)).strip())


def _is_edge_error(body: Mapping[str, Any]) -> bool:
    # https://blog.cloudflare.com/rfc-9457-agent-error-pages/
    has_error_code = isinstance(body.get("error_code"), int) and isinstance(body.get("title"), str)
    return body.get("cloudflare_error") is True or has_error_code


def _read_edge_error(body: Mapping[str, Any]) -> ErrorReport:
    message = _shorten(_title_and_detail(body))
    code = _parse_code(body.get("error_code"))
    retryable = body.get("retryable")
    return ErrorReport(
        message or f"error {code}",
        author="edge",
        code=code,
        status=_failure_status(body.get("status")) or _failure_status(code),
        search_text=message,
        retry_after=_parse_seconds(body.get("retry_after")),
        is_retryable=retryable if isinstance(retryable, bool) else None,
    )


def _title_and_detail(body: Mapping[str, Any]) -> str:
    """Return title and detail, the texts of RFC 9457."""
    title, detail = find_text(body.get("title")), find_text(body.get("detail"))
    return _join(title.rstrip("."), detail, ". ")


def _read_mapping(body: Mapping[str, Any]) -> ErrorReport:
    errors = _nested_errors(body)
    author = _find_author(body)
    text = _join(find_text(body), _find_provider_text(errors), ": ")
    words = list(_find_kind_words(errors))
    code = _find_code(errors)
    if code is None and author == "provider":
        code = next(iter(words), None)
    delays = (_parse_seconds(error.get("retry_after")) for error in errors)
    return ErrorReport(
        _shorten(text or _describe_without_text(body)),
        author=author,
        code=_find_workers_ai_code(text, code) or code,
        status=_find_status(errors),
        http_status=_failure_status(body.get("httpCode")),
        search_text=" ".join([str(code or ""), *words, text]),
        retry_after=next(filter(None, delays), None),
    )


def _describe_without_text(body: Mapping[str, Any]) -> str:
    error = next(filter(_reports_error, _error_fields(body)), None)
    if error is not None:
        return str(error)
    if body.get("success") is False:
        return "no reason given"
    return f"a response without `choices`: {sorted(body)}"


def _find_author(body: Mapping[str, Any]) -> Author:
    for error in _error_fields(body):
        if isinstance(error, list) and error and all(isinstance(entry, Mapping) for entry in error):
            return "cloudflare"
        if isinstance(error, Mapping) and error.get("type") == "gateway_error":
            return "cloudflare"
    is_from_cloudflare = body.get("success") is False or "internalCode" in body
    return "cloudflare" if is_from_cloudflare else "provider"


# The keys under which one error holds another.
_INNER_KEYS = ("error", "errors", "detail", "message")


def _nested_errors(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return an error and those nested in it, the innermost, most specific one first."""
    errors = [body]
    for _ in range(_MAX_DEPTH):
        entries = [_first_mapping(errors[0].get(key)) for key in _INNER_KEYS]
        inner = next(filter(None, entries), None)
        if inner is None:
            break
        errors.insert(0, inner)
    return errors


def _first_mapping(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, Mapping) else None


_CODE_KEYS = ("code", "internalCode", "error_code", "errorCode")


def _find_code(errors: list[Mapping[str, Any]]) -> int | str | None:
    codes = (_parse_code(error.get(key)) for error in errors for key in _CODE_KEYS)
    return next((code for code in codes if code is not None), None)


def _parse_code(value: object) -> int | str | None:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}", value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return value if value != "" else None


_WORD_KEYS = ("type", "status", "error_type", "error", "name")


def _find_kind_words(errors: list[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the words that name the kind of an error: `rate_limit_error`."""
    for error in errors:
        for key in _WORD_KEYS:
            word = _single_word(error.get(key))
            if word not in {"", "error", "Error"}:
                yield word


def _single_word(value: Any) -> str:
    return value if isinstance(value, str) and re.fullmatch(r"[\w.-]+", value) else ""


_STATUS_KEYS = ("httpCode", "status", "statusCode", "status_code", "http_status", "code")


def _find_status(errors: list[Mapping[str, Any]]) -> int | None:
    statuses = (_failure_status(error.get(key)) for error in errors for key in _STATUS_KEYS)
    if status := next(filter(None, statuses), None):
        return status
    # DeepSeek's `code` is `invalid_request_error` for nearly everything, so it is ignored.
    codes = (_single_word(error.get("code")) for error in errors)
    specific_codes = [code for code in codes if code != "invalid_request_error"]
    words = [*_find_kind_words(errors), *specific_codes]
    known = (_STATUS_BY_WORD.get(_normalize_word(word)) for word in words)
    return next(filter(None, known), None)


def _failure_status(value: object) -> int | None:
    code = _parse_code(value)
    return code if isinstance(code, int) and code in FAILURE_STATUSES else None


def _normalize_word(word: str) -> str:
    """Return a word so that `rate_limit_error`, `RateLimitError` and `rate-limit` are equal."""
    return re.sub(r"[^a-z0-9]|(error|exception)$", "", word.lower())


_WORDS_BY_STATUS = {
    400: "invalid_request invalid_argument bad_request badrequest failed_precondition validation",
    401: "authentication unauthenticated unauthorized invalid_api_key invalid_token",
    402: "insufficient_quota insufficient_balance insufficient_funds billing payment_required",
    403: "permission permission_denied forbidden access_denied",
    404: "not_found model_not_found",
    408: "timeout request_timeout deadline_exceeded gateway_timeout",
    413: "request_too_large payload_too_large",
    424: "content_policy_violation",
    429: "rate_limit rate_limited rate_limit_exceeded too_many_requests resource_exhausted",
    500: "server internal_server internal api unknown_server",
    503: "service_unavailable unavailable overloaded server_overloaded engine_overloaded",
}
_STATUS_BY_WORD = {
    _normalize_word(word): status
    for status, words in _WORDS_BY_STATUS.items()
    for word in words.split()
}
"""The status implied by an error's type or code, for errors inside a stream of status 200."""

_WORKERS_AI_CODE = re.compile(r"(?:(?:AiError|InferenceUpstreamError):\s*)*([2-8][0-9]{3}):\s")


def _find_workers_ai_code(text: str, code: int | str | None) -> int | None:
    """Return the code that Workers AI puts into the text where the body has no field for it."""
    if isinstance(code, int) and _failure_status(code) is None:
        return None
    found = _WORKERS_AI_CODE.match(text)
    return int(found.group(1)) if found else None


_TEXT_KEYS = ("message", "msg", "detail", "error_description", "description", "title", "reason")


def find_text(value: Any, depth: int = _MAX_DEPTH) -> str:
    """Return the text in a value of any shape; empty if it holds none."""
    if isinstance(value, str):
        return remove_control_characters(value).strip()
    if depth and isinstance(value, list):
        return "; ".join(filter(None, (find_text(entry, depth - 1) for entry in value)))
    if not depth or not isinstance(value, Mapping):
        return ""
    inner = next(filter(None, (find_text(error, depth - 1) for error in _error_fields(value))), "")
    own = _title_and_detail(value) if isinstance(value.get("detail"), str) else ""
    texts = (find_text(value.get(key), depth - 1) for key in _TEXT_KEYS)
    own = own or next(filter(None, texts), "")
    if isinstance(value.get("error"), str):
        return _join(inner, own, ": ")
    if own and isinstance(location := value.get("loc"), list):
        own = f"{'.'.join(map(str, location))}: {own}"
    return inner or own


def _join(first: str, second: str, between: str) -> str:
    if not first or not second or first == second:
        return first or second
    return f"{first}{between}{second}"


def _find_provider_text(errors: list[Mapping[str, Any]]) -> str:
    """Return the provider's own text, which routers add to theirs as `metadata.raw`."""
    metadata = (error.get("metadata") for error in errors)
    raw = (data.get("raw") for data in metadata if isinstance(data, Mapping))
    return next((remove_control_characters(text) for text in raw if isinstance(text, str)), "")


def _parse_seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 10**9 else None


# Marks of Cloudflare's own pages, whatever their title.
_EDGE_PAGE_MARK = re.compile(
    r"/cdn-cgi/|cf-error-details|cf-error-code|cf-wrapper|Cloudflare Ray ID|\| Cloudflare</title>",
    re.IGNORECASE,
)
_EDGE_PAGE_CODE = re.compile(r'class="cf-error-code"[^>]*>\s*([0-9]{3,4})\s*<|\bError ([0-9]{4})\b')


def _read_text(text: str) -> ErrorReport:
    if found := re.fullmatch(r"error code:\s*([0-9]{3,5})", text, re.IGNORECASE):
        code = int(found.group(1))
        return ErrorReport(text, author="edge", code=code, status=_failure_status(code))
    if not is_html(text):
        author: Author | None = "provider" if text.startswith("Authentication Fails") else None
        message = _shorten(text, _MAX_TEXT_LENGTH)
        return ErrorReport(message, author=author, search_text=message)
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    title_text = " ".join(title.group(1).split()) if title else ""
    message = _shorten(title_text, _MAX_TEXT_LENGTH) or "an HTML page instead of JSON"
    if not _EDGE_PAGE_MARK.search(text):
        return ErrorReport(message, search_text=message, is_page=True)
    match = _EDGE_PAGE_CODE.search(text)
    number = int(next(filter(None, match.groups()))) if match else None
    status = _failure_status(number)
    return ErrorReport(message, author="edge", code=number, status=status, is_page=True)


def _shorten(text: str, max_length: int = _MAX_MESSAGE_LENGTH) -> str:
    return text if len(text) <= max_length else f"{text[:max_length].rstrip()} ..."


def remove_control_characters(text: str) -> str:
    """Return a text without control characters, which a terminal would execute."""
    if text.isprintable():
        return text
    return "".join(char for char in text if char in "\t\n" or unicodedata.category(char) != "Cc")


def parse_json_or_text(content: bytes) -> Any:
    """Return the JSON value of a body, or its text if it is not JSON."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content.decode(errors="replace")


def parse_error_body(content: bytes, headers: Mapping[str, str]) -> Any:
    """Return the JSON value of a body or its text; a description of a binary body."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        text = _decode_text(content, headers)
    if text is not None:
        return text
    encoding = headers.get("content-encoding")
    suffix = f", with content encoding {encoding[:40]!a}" if encoding else ""
    return f"a body of {len(content)} bytes that is not text{suffix}"


def _decode_text(content: bytes, headers: Mapping[str, str]) -> str | None:
    """Return the text of a body, without an incomplete last character; `None` if it is binary."""
    charset = re.search(r"charset=\"?([\w.:-]+)", headers.get("content-type", ""), re.IGNORECASE)
    for encoding in ("utf-8", *(charset.groups() if charset else ())):
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(content)
        except (LookupError, ValueError):
            continue
        if remove_control_characters(text) == text.replace("\r", "").replace("\f", ""):
            return text
    return None


def is_html(text: str) -> bool:
    """Return whether a text is an HTML page."""
    return text[:200].lstrip().lower().startswith(("<!doctype html", "<html"))
