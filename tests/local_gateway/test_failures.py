"""Known failures by name: each comes with its own status, headers and body."""

import pytest

from langchain_cf_deepseek.local import FAILURES
from tests.local_gateway.conftest import Caller
from tests.local_gateway.test_admission import gateway_error


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("stream", [False, True])
def test_each_failure_comes_by_its_name_once(ask: Caller, name: str, stream: bool) -> None:
    fault = FAILURES[name].fault
    ask.gateway.fail_next(name)
    response = ask.post(stream=stream)
    expected = fault.answer()
    assert (response.status_code, response.content, response.headers.get("content-type")) == (
        fault.status,
        expected.body,
        expected.content_type,
    )
    for header, value in fault.headers.items():
        assert response.headers.get(header) == value
    assert ask.post(stream=stream).status_code == 200


def test_the_body_is_the_documented_one(ask: Caller) -> None:
    ask.gateway.fail_next("gateway-token")
    response = ask.post()
    assert (response.status_code, response.json()) == (
        401,
        gateway_error(2009, 401, "Unauthorized"),
    )
    assert [name for name in response.headers if name.startswith("cf-")] == ["cf-ray"]


def test_a_failure_may_come_several_times(ask: Caller) -> None:
    ask.gateway.fail_next("rate-limit", times=2)
    assert [ask.post().status_code for _ in range(3)] == [429, 429, 200]


def test_a_failure_that_nobody_knows_is_refused_with_a_list_of_all(ask: Caller) -> None:
    with pytest.raises(ValueError, match=r"'rate-limt' is none of .*, rate-limit, "):
        ask.gateway.fail_next("rate-limt")


def test_each_failure_says_when_it_happens() -> None:
    assert all(failure.meaning for failure in FAILURES.values())
