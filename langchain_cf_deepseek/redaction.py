"""Nothing secret leaves with an error: copies of requests and answers without credentials."""

import json
import re
from typing import Any

_CREDENTIAL_HEADER = re.compile(r"authorization|token|secret|key|cookie", re.IGNORECASE)
_MASK = "**********"

# A copied body is no longer encoded, and cookies are nobody's business.
_NOT_COPIED = {"content-encoding", "content-length", "set-cookie", "transfer-encoding"}


def secrets_of(request: Any) -> list[str]:
    """Return the credentials that a request carries in its headers."""
    values = (
        value.removeprefix("Bearer ")
        for name, value in request.headers.items()
        if _CREDENTIAL_HEADER.search(name)
    )
    return [value for value in values if value]


def redact(text: str, secrets: list[str]) -> str:
    """Return `text` with every one of `secrets` masked."""
    for secret in secrets:
        text = text.replace(secret, _MASK)
    return text


def redact_body(body: object, secrets: list[str]) -> object:
    """Return a decoded JSON body, or a text, with every one of `secrets` masked."""
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    redacted = redact(text, secrets)
    if redacted == text:
        return body
    return redacted if isinstance(body, str) else json.loads(redacted)


def bare_request(request: Any) -> Any:
    """Return a request of the same method and URL, without headers and body."""
    return type(request)(request.method, request.url)


def bare_response(response: Any, body: object) -> Any:
    """Return the same answer to a bare request, with the redacted `body` as its content."""
    return type(response)(
        response.status_code,
        headers=[item for item in response.headers.items() if item[0] not in _NOT_COPIED],
        content=body if isinstance(body, str) else json.dumps(body, ensure_ascii=False),
        request=bare_request(response.request),
    )
