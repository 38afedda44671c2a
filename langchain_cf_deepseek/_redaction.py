"""Nothing secret leaves with an error: requests and answers without credentials."""

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
# All others come from the user, who may keep secrets under any name.
_TECHNICAL_HEADER = re.compile(
    r"host|connection|user-agent|(accept|content)(-.*)?|cf-aig-(?!authorization).*",
    re.IGNORECASE,
)

_MASK = "**********"

# A shorter value is no credential, and would be found in any text.
_MIN_SECRET_LENGTH = 8

# The names that a setting may have are shorter, and keys and tokens longer.
_MAX_LENGTH_SHOWN = 32

# A copied body is no longer encoded, and cookies are nobody's business.
_NOT_COPIED = {"content-encoding", "content-length", "set-cookie", "transfer-encoding"}


def is_credential_header(name: str) -> bool:
    """Return whether a header of this name carries a credential."""
    return _CREDENTIAL_HEADER.fullmatch(name) is not None


def extract_and_mask_secrets(request: Any) -> list[str]:
    """Return the credentials in a request's headers, and mask them there.

    The request was sent and is of no more use but to be looked at: it hangs on every exception of
    the HTTP library and of the SDK.
    """
    secrets = []
    for name, value in request.headers.items():
        if not _TECHNICAL_HEADER.fullmatch(name):
            secrets.append(value.removeprefix("Bearer "))
            request.headers[name] = _MASK
    return maskable(secrets)


def maskable(secrets: Iterable[str]) -> list[str]:
    """Return those of `secrets` that are long enough to be one."""
    return [secret for secret in secrets if len(secret) >= _MIN_SECRET_LENGTH and secret != _MASK]


def redact(value: Any, secrets: list[str]) -> Any:
    """Return a decoded JSON value with every one of `secrets` masked in its texts and keys."""
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
    """Return a request of the same method and URL, without headers and body."""
    return type(request)(request.method, request.url)


def response_without_credentials(response: Any, body: object, secrets: list[str]) -> Any:
    """Return the same answer to a bare request, with the redacted `body` as its content."""
    text = body if isinstance(body, str) else json.dumps(body)
    headers = response.headers
    return type(response)(
        response.status_code,
        headers=type(headers)(
            [
                (name, redact(value, secrets))
                for name, value in headers.items()
                if name not in _NOT_COPIED
            ],
            encoding=headers.encoding,
        ),
        content=text.encode(errors="replace"),
        request=request_without_credentials(response.request),
    )


def shown(value: Any) -> str:
    """Return a refused value as a message shows it: of what may be a token, the length."""
    if isinstance(value, str) and len(value) > _MAX_LENGTH_SHOWN:
        return f"a text of {len(value)} characters"
    return f"{value!r:.200}"


def construct(init: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    """Call the `__init__` of a pydantic model, whose errors then hold no value that it was given.

    A token may have been pasted into any field.

    Raises:
        pydantic.ValidationError: An argument is missing or malformed.
    """
    try:
        init(*args, **kwargs)
    except ValidationError as error:
        failure = _without_input(error)
    else:
        return
    raise failure


def _without_input(error: ValidationError) -> ValidationError:
    faults = error.errors(include_input=False, include_url=False)
    details = [
        InitErrorDetails(
            type=_error_type(fault["type"], fault["msg"]),
            loc=fault["loc"],
            input=_MASK,
            ctx=fault.get("ctx", {}),
        )
        for fault in faults
    ]
    return ValidationError.from_exception_data(error.title, details, hide_input=True)


def _error_type(name: str, message: str) -> Any:
    known = name in get_args(ErrorType)
    return name if known else PydanticCustomError(name, message)
