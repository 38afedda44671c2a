"""What sync and async requests about a log share: clients, checks, polling, errors."""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from langchain_core.messages import AIMessage
from pydantic import BaseModel, ConfigDict, Field

from langchain_cf_deepseek._errors.bodies import parse_json_or_text
from langchain_cf_deepseek._errors.responses import build_error, error_from_response
from langchain_cf_deepseek._errors.rules import TRY_AGAIN
from langchain_cf_deepseek._http.clients import http_settings
from langchain_cf_deepseek._http.connection_errors import timed_out, unreachable
from langchain_cf_deepseek.errors import CFDeepSeekAPIError, CFDeepSeekLogNotFoundError
from langchain_cf_deepseek.gateway import Metadata

try:
    import cloudflare
    from cloudflare.types.ai_gateway import LogGetResponse
except ImportError as error:
    _msg = 'The gateway\'s logs need more packages: pip install "langchain-cf-deepseek[logs]"'
    raise ImportError(_msg) from error

INITIAL_DELAY = 0.1
MAX_DELAY = 2.0

_Client = TypeVar("_Client", cloudflare.Cloudflare, cloudflare.AsyncCloudflare)


def sync_client(token: str, base_url: str | None) -> cloudflare.Cloudflare:
    """Create a client of Cloudflare's SDK; closing it closes its connections."""
    # A redirect could carry the token to another host.
    http_client = cloudflare.DefaultHttpxClient(follow_redirects=False, **http_settings())
    return _with_token_only(
        cloudflare.Cloudflare(api_token=token, base_url=base_url, http_client=http_client)
    )


def async_client(token: str, base_url: str | None) -> cloudflare.AsyncCloudflare:
    """`sync_client` for an event loop."""
    http_client = cloudflare.DefaultAsyncHttpxClient(follow_redirects=False, **http_settings())
    return _with_token_only(
        cloudflare.AsyncCloudflare(api_token=token, base_url=base_url, http_client=http_client)
    )


def _with_token_only(client: _Client) -> _Client:
    # The SDK prefers the credentials in CLOUDFLARE_EMAIL, CLOUDFLARE_API_KEY and similar variables
    # to the token.
    client.api_email = client.api_key = client.user_service_key = None
    return client


class _Feedback(BaseModel):
    model_config = ConfigDict(strict=True)

    feedback: int | None = Field(ge=-1, le=1)
    score: int | None = Field(ge=0, le=100)
    metadata: Metadata | None


def feedback_body(feedback: object, score: object, metadata: object) -> dict[str, Any]:
    """Return the body of a feedback request, without the values that are not given.

    Raises:
        ValueError: Cloudflare does not accept a value, or none is given.
    """
    given = {"feedback": feedback, "score": score, "metadata": metadata}
    body = _Feedback.model_validate(given).model_dump(exclude_none=True)
    if not body:
        msg = "Nothing to write: give `feedback`, `score` or `metadata`."
        raise ValueError(msg)
    return body


def log_id_of(log: AIMessage | str) -> str:
    """Return the log id of a message; a log id is checked and returned.

    Raises:
        ValueError: The message has no log id, or the id is malformed; the message says why.
    """
    if isinstance(log, str):
        if not re.fullmatch(r"[\w-]{1,64}", log, re.ASCII):
            msg = "This is not a log id: pass the message itself or its log id, not its text."
            raise ValueError(msg)
        return log
    metadata = log.response_metadata.get("cloudflare_gateway")
    if metadata is None:
        msg = (
            "The message has no gateway metadata. Pass a message of ChatCloudflareDeepSeek; of a "
            "stream the sum of its chunks, because the metadata is in the first one."
        )
        raise ValueError(msg)
    if "log_id" not in metadata:
        msg = (
            "The gateway sent no log id with this message: logging is off (`collect_log`), or the "
            "endpoint does not send it, which is not documented for `unified` routing. There the "
            "`request_id` of a request of one step is also its log id: pass that."
        )
        raise ValueError(msg)
    log_id: str = metadata["log_id"]
    return log_id


class PollingBackoff:
    """The delays between requests for a log that does not exist yet, each longer than the last."""

    def __init__(self, seconds: float) -> None:
        """Start polling, which ends after `seconds`."""
        self._deadline = time.monotonic() + seconds
        self._delay = INITIAL_DELAY

    def next_delay(self, error: CFDeepSeekLogNotFoundError) -> float:
        """Return the seconds until the next request; raises `error` after the deadline."""
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise error
        delay = min(self._delay, remaining)
        self._delay = min(2 * self._delay, MAX_DELAY)
        return delay


@contextmanager
def typed_errors() -> Iterator[None]:
    """Raise the SDK's errors as those of this package."""
    try:
        yield
    except cloudflare.APIStatusError as error:
        raise error_from_response(error.response, api="logs") from None
    except cloudflare.APITimeoutError as error:
        raise timed_out(error.request, hint=TRY_AGAIN) from error.__cause__
    except cloudflare.APIConnectionError as error:
        raise unreachable(
            error.request, error.__cause__, "CLOUDFLARE_BASE_URL"
        ) from error.__cause__


def read_response(operation: str, response: Any) -> Any:
    """Return the content of a response.

    Args:
        operation: The SDK's method: `get`, `edit`, `request` or `response`.
        response: The HTTP response, its status below 400.

    Raises:
        CFDeepSeekAPIError: It is not a response of this API.
    """
    content = parse_json_or_text(response.content)
    if operation in {"request", "response"}:
        return content
    result = content.get("result") if isinstance(content, Mapping) else None
    if not isinstance(result, Mapping):
        msg = "the response is not one of this API"
        raise build_error(
            CFDeepSeekAPIError,
            msg,
            response,
            origin="cloudflare-api",
            hint="Check `base_url` (CLOUDFLARE_BASE_URL) and the network's proxy.",
        )
    return LogGetResponse.construct(**result) if operation == "get" else None
