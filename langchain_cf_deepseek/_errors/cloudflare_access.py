"""Cloudflare Access in front of a domain of the user's own: how it refuses a request.

https://developers.cloudflare.com/cloudflare-one/access-controls/
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from langchain_cf_deepseek._errors.bodies import ErrorReport, is_html, printable

SERVICE_TOKEN_HEADERS = ("CF-Access-Client-Id", "CF-Access-Client-Secret")
"""The request headers that identify a program to Access."""

_LOGIN_ADDRESS = re.compile(
    r"(https?:)?//([\w-]+\.)*cloudflareaccess\.com([/:?#]|$)|.*/cdn-cgi/access/", re.IGNORECASE
)
_LOGIN_PAGE = re.compile(
    r"cloudflareaccess\.com|/cdn-cgi/access/|<title>[^<]*Cloudflare Access", re.IGNORECASE
)
_CHALLENGE = re.compile(r"\bcloudflare-access\b|\bresource_metadata=", re.IGNORECASE)

_MAX_REASON_LENGTH = 200


def read_refusal(status: int, headers: Mapping[str, str], body: object) -> ErrorReport | None:
    """Return what Access says, in whichever of its forms; `None`: the response is not of Access.

    Args:
        status: The HTTP status.
        headers: The response headers.
        body: The decoded body.
    """
    reason = _reason(status, headers, body)
    if reason is None:
        return None
    text = printable(reason).strip()[:_MAX_REASON_LENGTH]
    message = "Cloudflare Access refused the request" + (f": {text}" if text else "")
    code = text if re.fullmatch(r"\w+", text) else None
    return ErrorReport(message, author="edge", code=code, words=message)


def _reason(status: int, headers: Mapping[str, str], body: object) -> str | None:
    """Return the reason, which may be empty; `None`: the response is not of Access."""
    if "cf-access-error" in headers:
        return headers["cf-access-error"]
    if status in range(300, 400) and _LOGIN_ADDRESS.match(headers.get("location", "")):
        return "it asks for a login"
    values = body if isinstance(body, Mapping) else {}
    challenge = headers.get("www-authenticate", "")
    if _CHALLENGE.search(challenge) or values.get("resource_metadata"):
        word = values.get("error")
        return word if isinstance(word, str) else ""
    if isinstance(body, str) and is_html(body) and _LOGIN_PAGE.search(body):
        return "" if status == HTTPStatus.FORBIDDEN else "it asks for a login"
    return None


def sends_service_token(request: Any) -> bool:
    """Return whether a request carries a service token of Access."""
    return all(name in request.headers for name in SERVICE_TOKEN_HEADERS)
