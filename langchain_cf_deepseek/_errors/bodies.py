"""What an error body says, whichever of its many shapes it has, whole or as one event of a stream.

Only bodies are known here. Which error follows, and who failed on which routing, is decided in
`rules.py`.

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
"""Who wrote a body: the gateway or Cloudflare's API, Cloudflare's edge, or who serves the model."""

FAILURE_STATUSES = range(400, 600)
"""The HTTP statuses that mean failure."""

_MAX_MESSAGE_LENGTH = 2000
_MAX_TEXT_LENGTH = 500
_MAX_DEPTH = 8


@dataclass(frozen=True)
class ErrorReport:
    """What one error body says."""

    message: str

    author: Author | None = None
    """`None`: the body does not tell."""

    code: int | str | None = None

    status: int | None = None
    """The status that the failure would have had; for errors that come with a status of success."""

    http_status: int | None = None
    """Cloudflare's own `httpCode`, which is right where the status of the response differs."""

    words: str = ""
    """All words that may tell one failure from another: code, type and texts."""

    retry_after: float | None = None

    is_retryable: bool | None = None
    """What the body itself says about trying again."""

    is_page: bool = False
    """Whether it is an HTML page, which no API answers with."""


def is_error(event: object) -> bool:
    """Return whether a JSON value is an error rather than a completion or a chunk of one.

    A chunk may hold no choices at all: heartbeats and the usage at the end of a stream do not.
    """
    if not isinstance(event, Mapping) or _carries_error(event):
        return True
    if event.get("choices"):
        return False
    if "internalCode" in event or event.get("cloudflare_error"):
        return True
    if "error" in {event.get("object"), _word(event.get("type"))}:
        return True
    has_text = bool(event.get("detail")) or any(
        isinstance(event.get(key), str) and event[key] for key in ("message", "msg", "title")
    )
    has_code = any(_code(event.get(key)) is not None for key in _CODE_KEYS)
    return has_text and (has_code or not event.keys() & {"choices", "response", "usage"})


def _carries_error(body: Mapping[str, Any]) -> bool:
    return body.get("success") is False or any(map(_says_something, _faults(body)))


def _faults(body: Mapping[str, Any]) -> Iterator[Any]:
    yield body.get("error")
    yield body.get("errors")


def _says_something(value: Any) -> bool:
    """Return whether `error` tells of one: some servers send it empty with every chunk."""
    return any(value.values()) if isinstance(value, Mapping) else bool(value)


def read_report(body: object) -> ErrorReport:
    """Return what a decoded body says: a JSON value or text, whichever it is."""
    if isinstance(body, list) and body and isinstance(body[0], Mapping):
        body = body[0]
    if isinstance(body, Mapping):
        return _read_problem(body) if _is_edge_error(body) else _read_mapping(body)
    return _read_text(printable("" if body is None else str(body)).strip())


def _is_edge_error(body: Mapping[str, Any]) -> bool:
    # https://blog.cloudflare.com/rfc-9457-agent-error-pages/
    has_error_code = isinstance(body.get("error_code"), int) and isinstance(body.get("title"), str)
    return body.get("cloudflare_error") is True or has_error_code


def _read_problem(body: Mapping[str, Any]) -> ErrorReport:
    message = _shortened(_problem_text(body))
    code = _code(body.get("error_code"))
    retryable = body.get("retryable")
    return ErrorReport(
        message or f"error {code}",
        author="edge",
        code=code,
        status=_status(body.get("status")) or _status(code),
        words=message,
        retry_after=_seconds(body.get("retry_after")),
        is_retryable=retryable if isinstance(retryable, bool) else None,
    )


def _problem_text(body: Mapping[str, Any]) -> str:
    """Return title and detail of a problem, as RFC 9457 names them."""
    title, detail = text_in(body.get("title")), text_in(body.get("detail"))
    return _joined(title.rstrip("."), detail, ". ")


def _read_mapping(body: Mapping[str, Any]) -> ErrorReport:
    layers = _layers(body)
    author = _author(body)
    text, words = _joined(text_in(body), _raw(layers), ": "), list(_words(layers))
    code = _first_code(layers)
    if code is None and author == "provider":
        code = next(iter(words), None)
    waits = (_seconds(layer.get("retry_after")) for layer in layers)
    return ErrorReport(
        _shortened(text or _without_text(body)),
        author=author,
        code=_workers_ai_code(text, code) or code,
        status=_first_status(layers),
        http_status=_status(body.get("httpCode")),
        words=" ".join([str(code or ""), *words, text]),
        retry_after=next(filter(None, waits), None),
    )


def _without_text(body: Mapping[str, Any]) -> str:
    fault = next(filter(_says_something, _faults(body)), None)
    if fault is not None:
        return str(fault)
    if body.get("success") is False:
        return "no reason given"
    return f"a response without `choices`: {sorted(body)}"


def _author(body: Mapping[str, Any]) -> Author:
    for fault in _faults(body):
        if isinstance(fault, list) and fault and all(isinstance(one, Mapping) for one in fault):
            return "cloudflare"
        if isinstance(fault, Mapping) and fault.get("type") == "gateway_error":
            return "cloudflare"
    is_cloudflares = body.get("success") is False or "internalCode" in body
    return "cloudflare" if is_cloudflares else "provider"


# The keys in which one error holds another.
_INNER_KEYS = ("error", "errors", "detail", "message")


def _layers(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return an error and those inside it, the innermost first: it knows most."""
    layers = [body]
    for _ in range(_MAX_DEPTH):
        inner = next(filter(None, (_mapping(layers[0].get(key)) for key in _INNER_KEYS)), None)
        if inner is None:
            break
        layers.insert(0, inner)
    return layers


def _mapping(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, Mapping) else None


_CODE_KEYS = ("code", "internalCode", "error_code", "errorCode")


def _first_code(layers: list[Mapping[str, Any]]) -> int | str | None:
    codes = (_code(layer.get(key)) for layer in layers for key in _CODE_KEYS)
    return next((code for code in codes if code is not None), None)


def _code(value: object) -> int | str | None:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}", value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return value if value != "" else None


_WORD_KEYS = ("type", "status", "error_type", "error", "name")


def _words(layers: list[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the words that name the kind of an error: `rate_limit_error`."""
    for layer in layers:
        for key in _WORD_KEYS:
            word = _word(layer.get(key))
            if word not in {"", "error", "Error"}:
                yield word


def _word(value: Any) -> str:
    return value if isinstance(value, str) and re.fullmatch(r"[\w.-]+", value) else ""


_STATUS_KEYS = ("httpCode", "status", "statusCode", "status_code", "http_status", "code")


def _first_status(layers: list[Mapping[str, Any]]) -> int | None:
    told = (_status(layer.get(key)) for layer in layers for key in _STATUS_KEYS)
    if status := next(filter(None, told), None):
        return status
    # DeepSeek's `code` is `invalid_request_error` for nearly everything, so it tells nothing.
    codes = (_word(layer.get("code")) for layer in layers)
    words = [*_words(layers), *(code for code in codes if code != "invalid_request_error")]
    known = (_STATUS_OF_WORD.get(_comparable(word)) for word in words)
    return next(filter(None, known), None)


def _status(value: object) -> int | None:
    code = _code(value)
    return code if isinstance(code, int) and code in FAILURE_STATUSES else None


def _comparable(word: str) -> str:
    """Return a word in lower case, without what languages write differently: `RateLimitError`."""
    return re.sub(r"[^a-z0-9]|(error|exception)$", "", word.lower())


_WORDS_OF_STATUS = {
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
_STATUS_OF_WORD = {
    _comparable(word): status
    for status, words in _WORDS_OF_STATUS.items()
    for word in words.split()
}
"""An error inside a stream comes under status 200: what would have been its own."""

_CODE_IN_TEXT = re.compile(r"(?:(?:AiError|InferenceUpstreamError):\s*)*([2-8][0-9]{3}):\s")


def _workers_ai_code(text: str, code: int | str | None) -> int | None:
    """Return the code that Workers AI puts into the text where the body has no place for it."""
    if isinstance(code, int) and _status(code) is None:
        return None
    found = _CODE_IN_TEXT.match(text)
    return int(found.group(1)) if found else None


_TEXT_KEYS = ("message", "msg", "detail", "error_description", "description", "title", "reason")


def text_in(value: Any, depth: int = _MAX_DEPTH) -> str:
    """Return the text in a value of any shape; empty where there is none."""
    if isinstance(value, str):
        return printable(value).strip()
    if depth and isinstance(value, list):
        return "; ".join(filter(None, (text_in(entry, depth - 1) for entry in value)))
    if not depth or not isinstance(value, Mapping):
        return ""
    fault = next(filter(None, (text_in(fault, depth - 1) for fault in _faults(value))), "")
    own = _problem_text(value) if isinstance(value.get("detail"), str) else ""
    own = own or next(filter(None, (text_in(value.get(key), depth - 1) for key in _TEXT_KEYS)), "")
    if isinstance(value.get("error"), str):
        return _joined(fault, own, ": ")
    if own and isinstance(place := value.get("loc"), list):
        own = f"{'.'.join(map(str, place))}: {own}"
    return fault or own


def _joined(first: str, second: str, between: str) -> str:
    if not first or not second or first == second:
        return first or second
    return f"{first}{between}{second}"


def _raw(layers: list[Mapping[str, Any]]) -> str:
    """Return the provider's own text, which routers put beside one of theirs."""
    metadata = (layer.get("metadata") for layer in layers)
    raw = (data.get("raw") for data in metadata if isinstance(data, Mapping))
    return next((printable(text) for text in raw if isinstance(text, str)), "")


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 10**9 else None


# What Cloudflare's own pages hold, whatever their title.
_EDGE_MARKS = re.compile(
    r"/cdn-cgi/|cf-error-details|cf-error-code|cf-wrapper|Cloudflare Ray ID|\| Cloudflare</title>",
    re.IGNORECASE,
)
_EDGE_PAGE_CODE = re.compile(r'class="cf-error-code"[^>]*>\s*([0-9]{3,4})\s*<|\bError ([0-9]{4})\b')


def _read_text(text: str) -> ErrorReport:
    if found := re.fullmatch(r"error code:\s*([0-9]{3,5})", text, re.IGNORECASE):
        code = int(found.group(1))
        return ErrorReport(text, author="edge", code=code, status=_status(code))
    if not is_html(text):
        is_deepseeks = text.startswith("Authentication Fails")
        message = _shortened(text, _MAX_TEXT_LENGTH)
        return ErrorReport(message, author="provider" if is_deepseeks else None, words=message)
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    words = " ".join(title.group(1).split()) if title else ""
    message = _shortened(words, _MAX_TEXT_LENGTH) or "an HTML page instead of JSON"
    if not _EDGE_MARKS.search(text):
        return ErrorReport(message, words=message, is_page=True)
    coded = _EDGE_PAGE_CODE.search(text)
    number = int(next(filter(None, coded.groups()))) if coded else None
    return ErrorReport(message, author="edge", code=number, status=_status(number), is_page=True)


def is_html(text: str) -> bool:
    """Return whether a text is an HTML page."""
    return text[:200].lstrip().lower().startswith(("<!doctype html", "<html"))


def _shortened(text: str, longest: int = _MAX_MESSAGE_LENGTH) -> str:
    return text if len(text) <= longest else f"{text[:longest].rstrip()} ..."


def printable(text: str) -> str:
    """Return a text without control characters, which a terminal would obey."""
    if text.isprintable():
        return text
    return "".join(
        letter for letter in text if letter in "\t\n" or unicodedata.category(letter) != "Cc"
    )


def decoded(content: bytes) -> Any:
    """Return the JSON value of a body, or its text where it is no JSON."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content.decode(errors="replace")


def readable(content: bytes, headers: Mapping[str, str]) -> Any:
    """Return the JSON value of a body or its text; of a binary one, what is known of it."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        text = _text_of(content, headers)
    if text is not None:
        return text
    encoding = headers.get("content-encoding")
    coded = f", with content encoding {encoding[:40]!a}" if encoding else ""
    return f"a body of {len(content)} bytes that is not text{coded}"


def _text_of(content: bytes, headers: Mapping[str, str]) -> str | None:
    """Return the text of a body, without a character that was cut in half; `None`: it is none."""
    charset = re.search(r"charset=\"?([\w.:-]+)", headers.get("content-type", ""), re.IGNORECASE)
    for encoding in ("utf-8", *(charset.groups() if charset else ())):
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(content)
        except (LookupError, ValueError):
            continue
        if printable(text) == text.replace("\r", "").replace("\f", ""):
            return text
    return None
