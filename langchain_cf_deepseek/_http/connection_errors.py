"""Converts the HTTP library's exceptions for a connection into this package's errors.

Each conversion masks the credentials of the request, to which the library's exceptions refer.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from anyio import EndOfStream  # a dependency of both HTTP libraries that the SDK can use

from langchain_cf_deepseek._errors.certificates import SET_CERTIFICATES, UNTRUSTED, is_untrusted
from langchain_cf_deepseek._errors.responses import build_error
from langchain_cf_deepseek._errors.rules import TRY_AGAIN
from langchain_cf_deepseek._http.http_library import library_of
from langchain_cf_deepseek._redaction import extract_and_mask_secrets, request_without_credentials
from langchain_cf_deepseek.errors import (
    CFDeepSeekAPIError,
    CFDeepSeekConnectionError,
    CFDeepSeekTimeoutError,
)

CONNECTION_LOST = "the connection was lost during the response ({cause})"

# How h11 and aiohttp describe headers above their limits.
_HEADERS_TOO_LARGE = re.compile(
    r"Receive buffer too long|Got more than \d+ bytes|too many headers", re.IGNORECASE
)


def network_errors(message: Any) -> tuple[type[Exception], ...]:
    """Return the exceptions of a failed connection, for a request or response of an HTTP library.

    anyio lets some TLS failures through as its own and as the system's errors.
    """
    return library_of(type(message)).RequestError, EndOfStream, OSError


@contextmanager
def typed_connection_errors(request: Any) -> Iterator[None]:
    """Raise what waiting for a response can fail with as this package's errors."""
    try:
        yield
    except library_of(type(request)).TimeoutException as error:
        raise timed_out(request) from error
    except UnicodeError as error:  # the host name is invalid
        raise unreachable(request, error) from error
    except network_errors(request) as error:
        if _HEADERS_TOO_LARGE.search(str(error)):
            raise _headers_too_large(request) from error
        raise unreachable(request, error) from error


@contextmanager
def typed_body_errors(response: Any) -> Iterator[None]:
    """Raise what reading a body can fail with as this package's errors."""
    library, request = library_of(type(response)), response.request
    try:
        yield
    except library.TimeoutException as error:
        raise timed_out(request, when="while reading the response") from error
    except library.DecodingError as error:
        encoding = response.headers.get("content-encoding")
        raise build_error(
            CFDeepSeekAPIError,
            f"the body does not match its content encoding {encoding!a:.60} ({error})",
            response,
            origin="connection",
        ) from error
    except network_errors(response) as error:
        if _HEADERS_TOO_LARGE.search(str(error)):  # trailers are headers too
            raise _headers_too_large(request) from error
        message = CONNECTION_LOST.format(cause=error)
        raise _build(CFDeepSeekConnectionError, message, request, TRY_AGAIN) from error


def timed_out(
    request: Any,
    *,
    when: str = "while waiting for the response",
    hint: str = "Raise `timeout`, or try again in a moment.",
) -> CFDeepSeekConnectionError:
    """Build the error for a request whose response did not arrive in time.

    Args:
        request: The request.
        when: What timed out.
        hint: What to do.
    """
    return _build(CFDeepSeekTimeoutError, f"the request timed out {when}", request, hint)


def unreachable(
    request: Any, cause: BaseException | None, variable: str = "CLOUDFLARE_AI_GATEWAY_BASE_URL"
) -> CFDeepSeekConnectionError:
    """Build the error for a request without a response.

    Args:
        request: The request.
        cause: The HTTP library's exception.
        variable: The environment variable of `base_url`.
    """
    host = request.url.host
    if is_untrusted(cause):
        message = UNTRUSTED.format(host=host, cause=cause)
        # Every attempt would receive the same certificate.
        return _not_retryable(message, request, SET_CERTIFICATES)
    message = f"{host} could not be reached: {cause}"
    hint = f"Check `base_url` ({variable}), the network and its proxy."
    return _build(CFDeepSeekConnectionError, message, request, hint)


def _headers_too_large(request: Any) -> CFDeepSeekConnectionError:
    return _not_retryable(
        "the response headers exceed the limit of 100 KiB",
        request,
        "Find out which server adds them: a retry would receive the same headers.",
    )


def _not_retryable(message: str, request: Any, hint: str) -> CFDeepSeekConnectionError:
    error = _build(CFDeepSeekConnectionError, message, request, hint)
    error.is_retryable = False
    return error


def _build(
    error: type[CFDeepSeekConnectionError], message: str, request: Any, hint: str
) -> CFDeepSeekConnectionError:
    extract_and_mask_secrets(request)
    bare = request_without_credentials(request)
    return error(message, origin="connection", request=bare, hint=hint)
