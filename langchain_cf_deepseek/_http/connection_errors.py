"""Raises what the HTTP library raises for a connection as this package's errors.

All functions mask the credentials of the request, which the HTTP library's exceptions hold.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from anyio import EndOfStream  # a dependency of both HTTP libraries that the SDK can use

from langchain_cf_deepseek._errors.certificates import SET_CERTIFICATES, UNTRUSTED, is_untrusted
from langchain_cf_deepseek._errors.hints import TRY_AGAIN
from langchain_cf_deepseek._errors.responses import build_error
from langchain_cf_deepseek._http.library import library_of
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
    """Raise the connection's failures before a response as this package's errors."""
    try:
        yield
    except library_of(type(request)).TimeoutException as error:
        raise timed_out(request) from error
    except UnicodeError as error:  # the host name is invalid
        raise unreachable(request, error) from error
    except network_errors(request) as error:
        too_large = _HEADERS_TOO_LARGE.search(str(error))
        raise (_headers_too_large(request) if too_large else unreachable(request, error)) from error


@contextmanager
def typed_body_errors(response: Any) -> Iterator[None]:
    """Raise what reading a body can fail with as this package's errors."""
    library = library_of(type(response))
    try:
        yield
    except library.TimeoutException as error:
        raise timed_out(response.request, while_reading=True) from error
    except library.DecodingError as error:
        encoding = response.headers.get("content-encoding")
        raise build_error(
            CFDeepSeekAPIError,
            f"the body does not match its content encoding {encoding!a:.60} ({error})",
            response,
            origin="connection",
        ) from error
    except network_errors(response) as error:
        # Trailers are headers too.
        too_large = _HEADERS_TOO_LARGE.search(str(error))
        request = response.request
        raise (
            _headers_too_large(request) if too_large else _connection_lost(request, error)
        ) from error


def timed_out(
    request: Any,
    *,
    while_reading: bool = False,
    hint: str = "Raise `timeout`, or try again in a moment.",
) -> CFDeepSeekTimeoutError:
    """Build the error for a request whose response did not arrive in time.

    Args:
        request: The request.
        while_reading: Whether the response had begun.
        hint: What to do.
    """
    extract_and_mask_secrets(request)
    when = "while reading the response" if while_reading else "while waiting for the response"
    return CFDeepSeekTimeoutError(
        f"the request timed out {when}",
        origin="connection",
        request=request_without_credentials(request),
        hint=hint,
    )


def unreachable(
    request: Any, cause: BaseException | None, variable: str = "CLOUDFLARE_AI_GATEWAY_BASE_URL"
) -> CFDeepSeekConnectionError:
    """Build the error for a request without a response.

    Args:
        request: The request.
        cause: The HTTP library's exception.
        variable: The environment variable of `base_url`.
    """
    extract_and_mask_secrets(request)
    host = request.url.host
    untrusted = is_untrusted(cause)
    error = CFDeepSeekConnectionError(
        UNTRUSTED.format(host=host, cause=cause)
        if untrusted
        else f"{host} could not be reached: {cause}",
        origin="connection",
        request=request_without_credentials(request),
        hint=SET_CERTIFICATES
        if untrusted
        else f"Check `base_url` ({variable}), the network and its proxy.",
    )
    if untrusted:
        # Every attempt would receive the same certificate.
        error.is_retryable = False
    return error


def _headers_too_large(request: Any) -> CFDeepSeekConnectionError:
    extract_and_mask_secrets(request)
    error = CFDeepSeekConnectionError(
        "the response headers exceed the limit of 100 KiB",
        origin="connection",
        request=request_without_credentials(request),
        hint="Find out which server adds them: a retry would receive the same headers.",
    )
    error.is_retryable = False
    return error


def _connection_lost(request: Any, cause: object) -> CFDeepSeekConnectionError:
    extract_and_mask_secrets(request)
    return CFDeepSeekConnectionError(
        CONNECTION_LOST.format(cause=cause),
        origin="connection",
        request=request_without_credentials(request),
        hint=TRY_AGAIN,
    )
