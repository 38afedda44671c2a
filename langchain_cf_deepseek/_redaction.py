"""Keeps credentials out of errors: requests, responses and values with secrets masked."""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ErrorType

_CREDENTIAL_HEADER = re.compile(
    r"cf-aig-authorization|(?!cf-aig-).*(authorization|token|secret|key|cookie)", re.IGNORECASE
)
# All others come from the caller, who can put secrets under any name.
_TECHNICAL_HEADER = re.compile(
    r"host|connection|user-agent|(accept|content)(-.*)?|cf-aig-(?!authorization).*",
    re.IGNORECASE,
)

_MASK = "**********"

# A shorter value is not a credential, and masking it would garble any text.
_MIN_SECRET_LENGTH = 8

# Valid names of settings are shorter, keys and tokens longer.
_MAX_SHOWN_LENGTH = 32

# A copied body is no longer encoded, and cookies can hold credentials.
_OMITTED_HEADERS = {"content-encoding", "content-length", "set-cookie", "transfer-encoding"}


def is_credential_header(name: str) -> bool:
    """Return whether a header of this name carries a credential."""
    return _CREDENTIAL_HEADER.fullmatch(name) is not None


def extract_and_mask_secrets(request: Any) -> list[str]:
    """Return the credentials in the headers of a sent request, and mask them there.

    Every exception of the HTTP library and of the SDK refers to the request.
    """
    secrets = []
    for name, value in request.headers.items():
        if not _TECHNICAL_HEADER.fullmatch(name):
            secrets.append(value.removeprefix("Bearer "))
            request.headers[name] = _MASK
    return maskable_secrets(secrets)


def maskable_secrets(secrets: Iterable[str]) -> list[str]:
    """Return those of `secrets` that are long enough to be a credential."""
    return [secret for secret in secrets if len(secret) >= _MIN_SECRET_LENGTH and secret != _MASK]


def redact(value: Any, secrets: list[str]) -> Any:
    """Return a parsed JSON value with all `secrets` masked in its texts and keys."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, _MASK)
        return value
    if isinstance(value, dict):
        return {redact(key, secrets): redact(entry, secrets) for key, entry in value.items()}
    if isinstance(value, list):
        return [redact(entry, secrets) for entry in value]
    return value


def request_without_credentials(request: Any) -> Any:
    """Return a request with the same method and URL, without headers and body."""
    return type(request)(request.method, request.url)


def response_without_credentials(response: Any, body: object, secrets: list[str]) -> Any:
    """Return a copy of a response with the redacted `body`, and a request without credentials."""
    text = body if isinstance(body, str) else json.dumps(body)
    headers = response.headers
    return type(response)(
        response.status_code,
        headers=type(headers)(
            [
                (name, redact(value, secrets))
                for name, value in headers.items()
                if name not in _OMITTED_HEADERS
            ],
            encoding=headers.encoding,
        ),
        content=text.encode(errors="replace"),
        request=request_without_credentials(response.request),
    )


def shown(value: Any) -> str:
    """Return a rejected value as a message shows it; only the length of a possible token."""
    if isinstance(value, str) and len(value) > _MAX_SHOWN_LENGTH:
        return f"a text of {len(value)} characters"
    return f"{value!r:.200}"


def construct(init: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    """Call the `__init__` of a pydantic model, and keep its arguments out of validation errors.

    Any field can hold a token by mistake.

    Raises:
        pydantic.ValidationError: An argument is missing or malformed.
    """
    try:
        init(*args, **kwargs)
    except ValidationError as error:
        redacted = _without_input(error)
    else:
        return
    raise redacted


def _without_input(error: ValidationError) -> ValidationError:
    failures = error.errors(include_input=False, include_url=False)
    details = [
        InitErrorDetails(
            type=_error_type(failure["type"], failure["msg"]),
            loc=failure["loc"],
            input=_MASK,
            ctx=failure.get("ctx", {}),
        )
        for failure in failures
    ]
    return ValidationError.from_exception_data(error.title, details, hide_input=True)


def _error_type(name: str, message: str) -> Any:
    known = name in get_args(ErrorType)
    return name if known else PydanticCustomError(name, message)
