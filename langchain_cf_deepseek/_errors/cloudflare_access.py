"""Recognises a request refused by Cloudflare Access, which can protect a custom domain.

https://developers.cloudflare.com/cloudflare-one/access-controls/
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from langchain_cf_deepseek._errors.bodies import ErrorReport, is_html, remove_control_characters

SERVICE_TOKEN_HEADERS = ("CF-Access-Client-Id", "CF-Access-Client-Secret")
"""The request headers that hold a service token, with which a program authenticates."""

_SERVICE_TOKEN = " and ".join(f"`{name}`" for name in SERVICE_TOKEN_HEADERS)

SEND_SERVICE_TOKEN = (
    f"The address is behind Cloudflare Access: set a service token as {_SERVICE_TOKEN} in "
    "`default_headers`."
)

CHECK_SERVICE_TOKEN = (
    f"The address is behind Cloudflare Access: check that the service token ({_SERVICE_TOKEN} in "
    "`default_headers`) is valid, and that a Service Auth policy of the Access application accepts "
    "it."
)

_LOGIN_ADDRESS = re.compile(
    r"(https?:)?//([\w-]+\.)*cloudflareaccess\.com([/:?#]|$)|.*/cdn-cgi/access/", re.IGNORECASE
)
_LOGIN_PAGE = re.compile(
    r"cloudflareaccess\.com|/cdn-cgi/access/|<title>[^<]*Cloudflare Access", re.IGNORECASE
)
_ACCESS_CHALLENGE = re.compile(r"\bcloudflare-access\b|\bresource_metadata=", re.IGNORECASE)

_MAX_REASON_LENGTH = 200


def read_refusal(status: int, headers: Mapping[str, str], body: object) -> ErrorReport | None:
    """Return the report of a refusal by Access; `None` if the response is not from Access.

    Args:
        status: The HTTP status.
        headers: The response headers.
        body: The parsed body.
    """
    reason = _find_reason(status, headers, body)
    if reason is None:
        return None
    text = remove_control_characters(reason).strip()[:_MAX_REASON_LENGTH]
    message = "Cloudflare Access refused the request" + (f": {text}" if text else "")
    code = text if re.fullmatch(r"\w+", text) else None
    return ErrorReport(message, author="edge", code=code, search_text=message)


def _find_reason(status: int, headers: Mapping[str, str], body: object) -> str | None:
    """Return the reason, which can be empty; `None` if the response is not from Access."""
    if "cf-access-error" in headers:
        return headers["cf-access-error"]
    if status in range(300, 400) and _LOGIN_ADDRESS.match(headers.get("location", "")):
        return "it requires a login"
    fields = body if isinstance(body, Mapping) else {}
    challenge = headers.get("www-authenticate", "")
    if _ACCESS_CHALLENGE.search(challenge) or fields.get("resource_metadata"):
        word = fields.get("error")
        return word if isinstance(word, str) else ""
    if isinstance(body, str) and is_html(body) and _LOGIN_PAGE.search(body):
        return "" if status == HTTPStatus.FORBIDDEN else "it requires a login"
    return None


def sends_service_token(request: Any) -> bool:
    """Return whether a request has a service token of Access."""
    return all(name in request.headers for name in SERVICE_TOKEN_HEADERS)
