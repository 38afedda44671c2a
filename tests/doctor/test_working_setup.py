"""Setups that work, with or without warnings, and the formats of the report."""

import json
import re

import pytest

from langchain_cf_deepseek.data.routings import Routing
from langchain_cf_deepseek.local import Fault, LocalGateway
from tests.conftest import ACCOUNT
from tests.doctor.conftest import Doctor
from tests.doctor.expected_output import (
    ALL_OK,
    ALL_OK_BY_ROUTING,
    CREDENTIALS,
    KEY,
    NO_AUTHENTICATION,
    NO_FAULT,
    NO_TOKEN_SET,
    SETTINGS,
    TOKEN,
    WHOLE_ANSWER,
    WRONG_KEY,
    CheckResults,
    report,
)


@pytest.mark.parametrize("routing", ALL_OK_BY_ROUTING)
def test_working_setup_passes_every_check(
    routing: Routing, gateway: LocalGateway, doctor: Doctor
) -> None:
    assert doctor(gateway.environment(routing)) == (0, report(ALL_OK_BY_ROUTING[routing]))


@pytest.mark.parametrize("routing", ["provider-native", "compat"])
def test_stored_key_is_distinguished_from_a_key_that_is_sent(
    routing: Routing, doctor: Doctor
) -> None:
    with LocalGateway(**CREDENTIALS, stored_key=True) as gateway:
        variables = gateway.environment(routing)
        del variables["DEEPSEEK_API_KEY"]
        expected = ALL_OK | {
            "settings": (
                "ok",
                SETTINGS[routing].replace("DEEPSEEK_API_KEY: set", "DEEPSEEK_API_KEY: not set"),
            ),
            "DeepSeek key": (
                "ok",
                "no key is sent; the one stored in the gateway (BYOK) is accepted",
            ),
        }
        assert doctor(variables) == (0, report(expected))


def test_stored_key_on_unified_is_read_from_the_response(doctor: Doctor) -> None:
    with LocalGateway(**CREDENTIALS, stored_key=True) as gateway:
        expected = ALL_OK_BY_ROUTING["unified"] | {
            "DeepSeek key": (
                "ok",
                "no key is sent; the one stored in the gateway (BYOK) is accepted",
            )
        }
        assert doctor(gateway.environment("unified")) == (0, report(expected))


def test_doctor_sends_four_small_requests_of_which_two_cost_nothing(
    gateway: LocalGateway, doctor: Doctor
) -> None:
    doctor(gateway.environment())
    first, wrong, stream, again = gateway.requests
    question = first.body["messages"][0]["content"]
    assert re.fullmatch(r"Count from 1 to 9\. \([0-9a-f]{16}\)", question)
    body = {
        "model": "deepseek-flash",
        "messages": [{"role": "user", "content": question}],
        "max_tokens": 16,
        "thinking": {"type": "disabled"},
    }
    assert [request.body for request in (first, wrong, again)] == [body] * 3
    assert stream.body == body | {"stream": True, "stream_options": {"include_usage": True}}
    assert [
        {
            name: value
            for name, value in request.headers.items()
            if name.startswith("cf-aig-") or name == "authorization"
        }
        for request in gateway.requests
    ] == [
        {"authorization": f"Bearer {KEY}", "cf-aig-authorization": f"Bearer {token}", **option}
        for token, option in (
            (TOKEN, {"cf-aig-cache-ttl": "60"}),
            ("wrong-on-purpose", {"cf-aig-cache-ttl": "60"}),
            (TOKEN, {"cf-aig-skip-cache": "true"}),
            (TOKEN, {"cf-aig-cache-ttl": "60"}),
        )
    ]
    assert gateway.upstream_calls == 2


NOT_KEPT = "a repeated request with `cache_ttl` was a MISS: nothing was cached"


@pytest.mark.parametrize(
    ("faults", "results"),
    [
        pytest.param(
            [Fault(body=WHOLE_ANSWER, times=None)],
            {
                "streaming": (
                    "warn",
                    "arrives in one chunk: guardrails of the gateway cause that",
                )
            },
            id="a stream in one piece",
        ),
        pytest.param(
            # The local gateway does not cache a body that is sent in pieces.
            [Fault(split=1000, times=None)],
            {"cache": ("warn", NOT_KEPT)},
            id="an answer that is not kept",
        ),
        pytest.param(
            [
                Fault(
                    split=1000,
                    headers={"cf-aig-cache-status": None, "cf-aig-log-id": None},
                    times=None,
                )
            ],
            {
                "cache": (
                    "warn",
                    "the response has no `cf-aig-cache-status`: it is unknown whether it is cached",
                ),
                "log": (
                    "warn",
                    (
                        "the response has no `cf-aig-log-id`: logging is off, or the id is not "
                        "sent here"
                    ),
                ),
            },
            id="no headers",
        ),
    ],
)
def test_warnings_do_not_fail_the_setup(
    faults: list[Fault], results: CheckResults, gateway: LocalGateway, doctor: Doctor
) -> None:
    for fault in faults:
        gateway.fault(fault)
    assert doctor(gateway.environment()) == (0, report(ALL_OK | results))


@pytest.mark.parametrize("token", [TOKEN, None])
def test_gateway_without_authentication_is_a_warning(token: str | None, doctor: Doctor) -> None:
    with LocalGateway(**CREDENTIALS, authenticated=False) as gateway:
        variables = gateway.environment() | {"CF_AIG_TOKEN": token}
        before = ALL_OK if token else NO_TOKEN_SET
        assert doctor(variables) == (0, report(before | {"gateway": NO_AUTHENTICATION}))


def test_routing_of_the_command_line_overrides_the_environment(
    gateway: LocalGateway, doctor: Doctor
) -> None:
    variables = gateway.environment("unified") | {"CLOUDFLARE_AI_GATEWAY_ROUTING": "compat"}
    settings = SETTINGS["unified"].replace("ROUTING: unified", "ROUTING: compat")
    assert doctor(variables, "--routing", "unified") == (
        0,
        report(ALL_OK_BY_ROUTING["unified"] | {"settings": ("ok", settings)}),
    )


def test_model_served_under_another_name_is_shown_with_it(
    gateway: LocalGateway, doctor: Doctor
) -> None:
    expected = ALL_OK | {"model": ("ok", "deepseek-chat, served as deepseek-flash")}
    assert doctor(gateway.environment(), "--model", "deepseek-chat") == (0, report(expected))


def test_dynamic_route_is_requested_without_the_thinking_parameter(
    gateway: LocalGateway, doctor: Doctor
) -> None:
    expected = ALL_OK_BY_ROUTING["compat"] | {
        "DeepSeek key": ("ok", "DEEPSEEK_API_KEY is sent, and not rejected"),
        "model": ("ok", "dynamic/mine, served as deepseek-flash"),
    }
    variables = gateway.environment("compat")
    assert doctor(variables, "--model", "dynamic/mine") == (0, report(expected))
    assert {tuple(sorted(request.body)) for request in gateway.requests} == {
        ("max_tokens", "messages", "model"),
        ("max_tokens", "messages", "model", "stream", "stream_options"),
    }


def test_printed_table_is_aligned(gateway: LocalGateway, doctor: Doctor) -> None:
    _, printed = doctor(gateway.environment() | {"DEEPSEEK_API_KEY": WRONG_KEY})
    assert (
        printed
        == f"""\
check         outcome  found
settings      ok       provider-native through 127.0.0.1:PORT
                       CLOUDFLARE_AI_GATEWAY_ROUTING: provider-native
                       CLOUDFLARE_ACCOUNT_ID: {ACCOUNT}
                       CLOUDFLARE_GATEWAY_ID: local
                       DEEPSEEK_API_KEY: set
                       CF_AIG_TOKEN: set
                       CLOUDFLARE_API_TOKEN: set, not sent on provider-native
                       CLOUDFLARE_AI_GATEWAY_BASE_URL: set
host          ok       127.0.0.1:PORT responds
gateway       ok       CF_AIG_TOKEN is accepted, and a wrong token is rejected
DeepSeek key  fail     DEEPSEEK_API_KEY is sent, and was rejected (status 401)
model         skipped  `DeepSeek key` failed
balance       skipped  `DeepSeek key` failed
answer        skipped  `DeepSeek key` failed
streaming     skipped  `DeepSeek key` failed
cache         skipped  `DeepSeek key` failed
log           ok       log id LOG-ID

DeepSeek key: DeepSeek rejected the key: check `api_key` (DEEPSEEK_API_KEY), or the key stored in \
the gateway.
"""
    )


def as_json(results: CheckResults, **changes: str) -> dict[str, dict[str, str]]:
    return {
        name: {"outcome": outcome, "found": found, "change": changes.get(name, "")}
        for name, (outcome, found) in results.items()
    }


@pytest.mark.parametrize("routing", ALL_OK_BY_ROUTING)
def test_json_report_is_one_object_with_the_same_results(
    routing: Routing, gateway: LocalGateway, doctor: Doctor
) -> None:
    status, printed = doctor(gateway.environment(routing), "--json")
    assert (status, json.loads(printed)) == (
        0,
        {"ok": True, "local_gateway": False, "checks": as_json(ALL_OK_BY_ROUTING[routing])},
    )
    assert printed.count("\n") == 1


def test_json_report_of_a_failing_setup_says_what_to_change(
    gateway: LocalGateway, doctor: Doctor
) -> None:
    gateway.fault(NO_FAULT)
    gateway.fault(status=503, body="")
    status, printed = doctor(gateway.environment(), "--json")
    found = "DeepSeek (status 503, log id LOG-ID): HTTP 503 without a body."
    results = ALL_OK | {"streaming": ("fail", found)}
    assert (status, json.loads(printed)) == (
        1,
        {
            "ok": False,
            "local_gateway": False,
            "checks": as_json(results, streaming="Try again in a moment."),
        },
    )


@pytest.mark.parametrize("routing", [None, *ALL_OK_BY_ROUTING])
def test_local_option_ignores_the_environment_and_passes_every_check(
    routing: Routing | None, doctor: Doctor
) -> None:
    arguments = ["--routing", routing] if routing else []
    closing = "All checks passed with the local gateway: fake credentials, simulated model."
    results = ALL_OK_BY_ROUTING[routing or "provider-native"]
    variables: dict[str, str | None] = {
        "CLOUDFLARE_AI_GATEWAY_ROUTING": "nonsense",
        "CLOUDFLARE_ACCOUNT_ID": KEY,
        "DEEPSEEK_API_KEY": WRONG_KEY,
    }
    assert doctor(variables, "--local", *arguments) == (0, report(results, closing))


def test_json_report_says_that_the_gateway_is_local(doctor: Doctor) -> None:
    status, printed = doctor({}, "--local", "--json")
    assert (status, json.loads(printed)) == (
        0,
        {"ok": True, "local_gateway": True, "checks": as_json(ALL_OK)},
    )
