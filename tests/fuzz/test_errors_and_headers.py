"""Any headers and error bodies give the right error class and show no credential."""

import json
import pickle
from typing import Any

import openai
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessage

from langchain_cf_deepseek import errors
from tests.conftest import PATHS
from tests.fuzz.servers import API_KEY, GATEWAY_TOKEN, MemoryTransport, RawServer
from tests.fuzz.strategies.answers import to_bytes
from tests.fuzz.strategies.failures import error_bodies, header_values, response_headers

memory = MemoryTransport()
llm = memory.chat_model()
paths = st.sampled_from(sorted(PATHS))
Headers = dict[str, bytes]
ANSWER = b'{"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}'

# Whatever the body says, a rejected request is not a failure of the service, and a failure of the
# service is not an invalid request.
_FAMILIES: dict[int, tuple[type[errors.CFDeepSeekError], ...]] = {
    401: (errors.CFDeepSeekAuthenticationError,),
    402: (errors.CFDeepSeekInsufficientFundsError,),
    403: (errors.CFDeepSeekPermissionDeniedError,),
    404: (errors.CFDeepSeekModelNotFoundError,),
    408: (errors.CFDeepSeekTimeoutError,),
    422: (errors.CFDeepSeekInvalidRequestError,),
    429: (errors.CFDeepSeekRateLimitError, errors.CFDeepSeekSpendLimitError),
    500: (errors.CFDeepSeekAPIError,),
    503: (errors.CFDeepSeekAPIError,),
}


def _failed(path: str, status: int, headers: Headers, body: bytes) -> errors.CFDeepSeekError:
    memory.status, memory.pieces = status, [body]
    memory.headers = [(name.encode(), value) for name, value in headers.items()]
    with pytest.raises(errors.CFDeepSeekError) as caught:
        PATHS[path](llm, "Hi")
    return caught.value


def _shown(error: errors.CFDeepSeekError) -> str:
    return "".join(
        [
            str(error),
            repr(error),
            repr(error.__dict__),
            repr(error.response.headers),
            error.response.text,
            repr(error.request.headers),
        ]
    )


@given(paths, st.integers(400, 599), response_headers, error_bodies(API_KEY))
@example("invoke", 400, {}, to_bytes({f"bad key {API_KEY}": 1}))
@example("invoke", 500, {"cf-aig-log-id": API_KEY.encode()}, b"")
@example("stream", 500, {"cf-aig-model": b"caf\xe9"}, b"")
def test_error_with_any_body_is_typed_and_shows_no_credential(
    path: str, status: int, headers: Headers, body: bytes
) -> None:
    error = _failed(path, status, headers, body)
    assert isinstance(error, openai.APIError)
    assert isinstance(error, ModelError)
    assert error.status_code == status
    assert error.retry_after is None or error.retry_after >= 0
    assert API_KEY not in _shown(error)
    assert GATEWAY_TOKEN not in _shown(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@given(paths, st.sampled_from(sorted(_FAMILIES)), response_headers, st.data())
def test_status_decides_the_error_class_of_an_uninformative_body(
    path: str, status: int, headers: Headers, data: st.DataObject
) -> None:
    mute = st.sampled_from([b"", b"{}", b"[]", b"null", b'"?"', b"<html>", b"\xff", b"[" * 9_000])
    assert isinstance(_failed(path, status, headers, data.draw(mute)), _FAMILIES[status])


@given(paths, st.sampled_from([True, 7, "400", 10**9, [400], 399, 600]))
def test_http_code_in_a_body_that_is_no_error_status_is_ignored(path: str, code: Any) -> None:
    body = to_bytes({"httpCode": code, "internalCode": 1, "message": "no"})
    assert type(_failed(path, 400, {}, body)) is errors.CFDeepSeekInvalidRequestError


@given(paths, response_headers)
def test_response_with_any_headers_is_a_completion(path: str, headers: Headers) -> None:
    memory.status = 200
    memory.headers = [(name.encode(), value) for name, value in headers.items()]
    memory.pieces = [ANSWER]
    message = PATHS[path](llm, "Hi")
    assert isinstance(message, AIMessage)
    assert message.content == "Hi"


def test_unexpected_success_body_shows_no_credential() -> None:
    choice = {"message": {"content": "Hi", "reasoning_content": {}}, "finish_reason": "stop"}
    calls = [{"id": {"key": API_KEY}, "function": {"name": "f", "arguments": "{}"}}]
    choice["message"] = {"content": "Hi", "tool_calls": calls}
    for path in PATHS:
        error = _failed(path, 200, {}, to_bytes({"choices": [choice]}))
        assert API_KEY not in _shown(error)


@pytest.mark.parametrize("path", PATHS)
def test_cookies_of_any_text_do_not_break_the_next_request(path: str) -> None:
    with RawServer() as server:
        server.answer = b"HTTP/1.1 200 OK\r\nset-cookie: a=\xb6\r\n\r\n" + ANSWER
        llm = server.chat_model()
        assert [PATHS[path](llm, "Hi").content for _ in range(2)] == ["Hi", "Hi"]


@pytest.mark.parametrize("path", PATHS)
def test_retry_after_that_is_no_date_does_not_prevent_the_retry(path: str) -> None:
    with RawServer() as server:
        server.answer = (
            b"HTTP/1.1 500 Oops\r\nretry-after: Feb 0000 99999 1:1 +99999\r\n"
            b"content-length: 0\r\n\r\n"
        )
        with pytest.raises(errors.CFDeepSeekAPIError):
            PATHS[path](server.chat_model(max_retries=1), "Hi")


_TEXT_OPTIONS = ["cache_key", "event_id", "byok_alias", "session_id", "turn_id"]


@given(
    st.sampled_from(_TEXT_OPTIONS) | st.sampled_from(["metadata", "allowed_models", "header"]),
    header_values,
)
def test_header_value_of_the_caller_is_sent_unchanged_or_rejected_by_name(
    option: str, value: str
) -> None:
    memory.status, memory.headers = 200, []
    memory.pieces = [ANSWER]
    given: dict[str, Any] = {option: value}
    if option == "metadata":
        given = {option: {value: value}}
    elif option == "allowed_models":
        given = {option: [value]}
    named = option
    if option == "header":
        named, given = "X-Own", {"extra_headers": {"X-Own": value}}
    else:
        given = {"gateway": given}
    refusal = ""
    try:
        llm.invoke("Hi", **given)
    except ValueError as error:
        refusal = str(error)
    if refusal:
        assert named in refusal
    else:
        sent = memory.sent_headers[-1]
        assert sent.get(named, sent.get(f"cf-aig-{named.replace('_', '-')}")) == (
            json.dumps({value: value}, separators=(",", ":")) if option == "metadata" else value
        )


@pytest.mark.parametrize("value", [" secret", "secret ", "\tsecret", " "])
@pytest.mark.parametrize("path", PATHS)
def test_header_value_with_outer_white_space_is_rejected_without_showing_it(
    path: str, value: str
) -> None:
    """The HTTP library would report an unreachable host, and show the value."""
    with RawServer() as server, pytest.raises(ValueError, match="header 'X-Own'") as caught:
        PATHS[path](server.chat_model(), "Hi", extra_headers={"X-Own": value})
    assert "secret" not in str(caught.value)
