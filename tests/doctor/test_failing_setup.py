"""Setups that fail at a service: the failing check names the cause."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from langchain_cf_deepseek.data.routings import Routing
from langchain_cf_deepseek.local import (
    FAILURES,
    Fault,
    LocalGateway,
    deepseek_error,
    edge_error,
    gateway_error,
    rest_error,
)
from tests.conftest import ACCOUNT
from tests.doctor.conftest import Doctor
from tests.doctor.expected_output import (
    ALL_MODEL_NAMES,
    ALL_OK,
    ALL_OK_BY_ROUTING,
    CLOUDFLARE_TOKEN_HINT,
    CREDENTIALS,
    GATEWAY_TOKEN_HINT,
    KEY_REJECTED,
    MODEL_NAMES,
    NO_FAULT,
    NO_KEY_SET,
    NO_TOKEN_SET,
    OTHER_GATEWAY,
    WRONG_KEY,
    WRONG_TOKEN,
    failing_report,
    repeatable,
    report,
    run,
)

NO_SERVICE_TOKEN = (
    "The address is behind Cloudflare Access: set a service token as `CF-Access-Client-Id` and "
    "`CF-Access-Client-Secret` in `default_headers`."
)


@dataclass(frozen=True)
class FailingSetup:
    """A working setup with one change that makes it fail, and the report expected then."""

    expected: str
    routing: Routing = "provider-native"
    gateway: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str | None] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    fault: Fault | None = None


FAILING_SETUPS = {
    "wrong gateway token": FailingSetup(
        failing_report(
            "gateway",
            "CF_AIG_TOKEN was rejected (status 401, code 2009)",
            GATEWAY_TOKEN_HINT,
            log=False,
        ),
        variables={"CF_AIG_TOKEN": WRONG_TOKEN},
    ),
    "no gateway token": FailingSetup(
        failing_report(
            "gateway",
            "needs a token, and CF_AIG_TOKEN is not set (status 401, code 2009)",
            GATEWAY_TOKEN_HINT,
            before=NO_TOKEN_SET,
            log=False,
        ),
        variables={"CF_AIG_TOKEN": None},
    ),
    "wrong API token on unified": FailingSetup(
        failing_report(
            "gateway",
            "CLOUDFLARE_API_TOKEN was rejected (status 401, code 10000)",
            CLOUDFLARE_TOKEN_HINT,
            before=ALL_OK_BY_ROUTING["unified"],
            log=False,
        ),
        "unified",
        variables={"CLOUDFLARE_API_TOKEN": WRONG_TOKEN},
    ),
    "unknown gateway id": FailingSetup(
        failing_report(
            "gateway",
            "Cloudflare AI Gateway (status 400, code 2001): Please configure AI Gateway in the "
            "Cloudflare dashboard.",
            "Check `gateway_id` (CLOUDFLARE_GATEWAY_ID): the account has no such gateway, or the "
            "gateway has no key to use.",
            before=OTHER_GATEWAY,
            log=False,
        ),
        variables={
            "CLOUDFLARE_GATEWAY_ID": "prod",
            "CLOUDFLARE_AI_GATEWAY_BASE_URL": "URL/v1/ACCOUNT/prod/deepseek",
        },
    ),
    "an account that the API does not know": FailingSetup(
        failing_report(
            "gateway",
            "Cloudflare's API (status 404, code 7003): Could not route to "
            "/client/v4/accounts/elsewhere/ai/v1/chat/completions, perhaps your object identifier "
            "is invalid?; No route for that URI.",
            "Check `account_id` (CLOUDFLARE_ACCOUNT_ID) and `base_url`: Cloudflare's API has no "
            "such address.",
            before=ALL_OK_BY_ROUTING["unified"],
            log=False,
        ),
        "unified",
        variables={
            "CLOUDFLARE_AI_GATEWAY_BASE_URL": "URL/client/v4/accounts/elsewhere/ai/v1",
        },
    ),
    "an address where nothing is": FailingSetup(
        failing_report(
            "gateway",
            "Cloudflare AI Gateway (status 404): HTTP 404 without a body.",
            "Check `model`, `routing` and `base_url`.",
            log=False,
        ),
        variables={"CLOUDFLARE_AI_GATEWAY_BASE_URL": "URL/nowhere"},
    ),
    "a block of the edge": FailingSetup(
        failing_report(
            "gateway",
            "Cloudflare's edge (status 403, code 1010): error code: 1010.",
            "The domain blocks clients of this kind: set another `User-Agent` in "
            "`default_headers`, or ask its owner to allow this client.",
            log=False,
        ),
        fault=edge_error(),
    ),
    "a rate limit of the edge": FailingSetup(
        failing_report(
            "gateway",
            "Cloudflare's edge (status 429, code 1015): Error 1015: You are being rate limited. "
            "The owner of the domain limits the request rate.",
            "The domain limits the request rate per client: send fewer requests, or ask its owner "
            "to raise the limit.",
            log=False,
        ),
        fault=FAILURES["edge-problem"].fault,
    ),
    "a failure of the edge that says no more than its status": FailingSetup(
        failing_report(
            "gateway",
            "Cloudflare's edge (status 524, code 524): Error 524: A timeout occurred. The origin "
            "took too long to respond.",
            "Cloudflare's edge responded instead of the server behind it: check `base_url` "
            "(CLOUDFLARE_AI_GATEWAY_BASE_URL), or ask the owner of the domain. Try again in a "
            "moment.",
            log=False,
        ),
        fault=FAILURES["edge-problem-524"].fault,
    ),
    "a page of Cloudflare Access": FailingSetup(
        failing_report(
            "gateway",
            "Cloudflare's edge (status 302): Cloudflare Access refused the request: it requires a "
            "login.",
            NO_SERVICE_TOKEN,
            log=False,
        ),
        fault=FAILURES["access-login"].fault,
    ),
    "a token that Cloudflare Access does not know": FailingSetup(
        failing_report(
            "gateway",
            "Cloudflare's edge (status 401, code invalid_token): Cloudflare Access refused the "
            "request: invalid_token.",
            NO_SERVICE_TOKEN,
            log=False,
        ),
        fault=FAILURES["access-invalid-token"].fault,
    ),
    "a service token that Cloudflare Access misses": FailingSetup(
        failing_report(
            "gateway",
            "Cloudflare's edge (status 403, code missing_service_token): Cloudflare Access "
            "refused the request: missing_service_token.",
            NO_SERVICE_TOKEN,
            log=False,
        ),
        fault=FAILURES["access-service-token"].fault,
    ),
    "a page of somebody in front": FailingSetup(
        failing_report(
            "gateway",
            "Cloudflare AI Gateway (status 200): Log in to the WLAN.",
            "Try again in a moment.",
            log=False,
        ),
        fault=edge_error(200, "<html><title>Log in to the WLAN</title></html>", "text/html"),
    ),
    "wrong DeepSeek key": FailingSetup(
        failing_report(
            "DeepSeek key", "DEEPSEEK_API_KEY is sent, and was rejected (status 401)", KEY_REJECTED
        ),
        variables={"DEEPSEEK_API_KEY": WRONG_KEY},
    ),
    "no DeepSeek key, and none stored": FailingSetup(
        failing_report(
            "DeepSeek key",
            "no key is sent, and none is stored in the gateway (status 401)",
            "No DeepSeek key reached DeepSeek: set `api_key` (DEEPSEEK_API_KEY), or store a key "
            "in the gateway and set `gateway_token` (CF_AIG_TOKEN).",
            before=NO_KEY_SET,
        ),
        variables={"DEEPSEEK_API_KEY": None},
    ),
    "a stored key that DeepSeek refuses": FailingSetup(
        failing_report(
            "DeepSeek key",
            "the key stored in the gateway was rejected (status 401)",
            KEY_REJECTED,
            before=NO_KEY_SET,
        ),
        gateway={"stored_key": True},
        variables={"DEEPSEEK_API_KEY": None},
        fault=deepseek_error(401, "Authentication Fails", "authentication_error"),
    ),
    "a stored key that DeepSeek refuses on unified": FailingSetup(
        failing_report(
            "DeepSeek key",
            "the key stored in the gateway was rejected (status 401, code 2009)",
            "DeepSeek rejected the key stored in the gateway: store a valid one.",
            before=ALL_OK_BY_ROUTING["unified"],
        ),
        "unified",
        fault=rest_error(2009, 401, "Unauthorized"),
    ),
    "unknown model": FailingSetup(
        failing_report(
            "model",
            "DeepSeek (status 400, code invalid_request_error, log id LOG-ID): The supported API "
            "model names are deepseek-flash, deepseek-v4-pro, but you passed deepseek-flsh.",
            "Check `model`: no model of this name is served here. Did you mean 'deepseek-flash'? "
            f"Known names: {MODEL_NAMES}.",
        ),
        arguments=("--model", "deepseek-flsh"),
    ),
    "unknown model on unified": FailingSetup(
        failing_report(
            "model",
            "Cloudflare's API (status 404, code 7003, log id LOG-ID): Model not found: "
            "deepseek/gpt-5.",
            "Check `model`: Cloudflare's catalogue has no model of this name. "
            f"Known names: {ALL_MODEL_NAMES}.",
            before=ALL_OK_BY_ROUTING["unified"]
            | {"DeepSeek key": ("ok", "a stored key, or Cloudflare's own, is used")},
        ),
        "unified",
        arguments=("--model", "gpt-5"),
    ),
    "unknown provider on compat": FailingSetup(
        failing_report(
            "model",
            "Cloudflare AI Gateway (status 400, code 2008, log id LOG-ID): Invalid provider.",
            "Check `model`: the gateway cannot determine the provider from it. "
            f"Known names: {ALL_MODEL_NAMES}.",
            before=ALL_OK_BY_ROUTING["compat"]
            | {"DeepSeek key": ("ok", "DEEPSEEK_API_KEY is sent, and not rejected")},
        ),
        "compat",
        arguments=("--model", "dynamic/mine"),
        fault=gateway_error(2008, 400, "Invalid provider"),
    ),
    "no balance": FailingSetup(
        failing_report(
            "balance",
            "DeepSeek (status 402, code invalid_request_error, log id LOG-ID): Insufficient "
            "Balance.",
            "Top up the balance of the DeepSeek account.",
            before=ALL_OK | {"model": ("ok", "deepseek-flash is not rejected")},
        ),
        fault=deepseek_error(402, "Insufficient Balance", "unknown_error"),
    ),
    "no credits on unified": FailingSetup(
        failing_report(
            "balance",
            "Cloudflare's API (status 402, code 2021, log id LOG-ID): Insufficient credits.",
            "Top up the gateway's credits in the Cloudflare dashboard. Use your own DeepSeek key: "
            'set `api_key` (DEEPSEEK_API_KEY) with `routing="provider-native"`, or store one in '
            "the gateway.",
            before=ALL_OK_BY_ROUTING["unified"]
            | {
                "DeepSeek key": ("ok", "a stored key, or Cloudflare's own, is used"),
                "model": ("ok", "deepseek-flash is not rejected"),
            },
        ),
        "unified",
        fault=rest_error(2021, 402, "Insufficient credits"),
    ),
    "a rate limit": FailingSetup(
        failing_report(
            "answer",
            "Cloudflare AI Gateway (status 429, code 2003, log id LOG-ID): Rate limited.",
            "The gateway's rate limit is reached.",
            before=ALL_OK
            | {
                "DeepSeek key": ("ok", "DEEPSEEK_API_KEY is sent, and not rejected"),
                "model": ("ok", "deepseek-flash is not rejected"),
            },
        ),
        fault=gateway_error(2003, 429, "Rate limited"),
    ),
    "a rate limit of a gateway that asks for no token": FailingSetup(
        failing_report(
            "answer",
            "Cloudflare AI Gateway (status 429, code 2003, log id LOG-ID): Rate limited.",
            "The gateway's rate limit is reached.",
            before=ALL_OK
            | {
                "gateway": ("ok", "CF_AIG_TOKEN is not rejected"),
                "DeepSeek key": ("ok", "DEEPSEEK_API_KEY is sent, and not rejected"),
                "model": ("ok", "deepseek-flash is not rejected"),
            },
        ),
        gateway={"authenticated": False},
        fault=gateway_error(2003, 429, "Rate limited"),
    ),
}


@pytest.mark.parametrize("name", FAILING_SETUPS)
def test_doctor_names_the_cause_of_a_failing_setup(name: str, doctor: Doctor) -> None:
    setup = FAILING_SETUPS[name]
    with LocalGateway(**CREDENTIALS | setup.gateway) as gateway:
        if setup.fault:
            gateway.fault(replace(setup.fault, times=None))
        changes = {
            variable: value and value.replace("URL", gateway.url).replace("ACCOUNT", ACCOUNT)
            for variable, value in setup.variables.items()
        }
        variables = gateway.environment(setup.routing) | changes
        assert doctor(variables, *setup.arguments) == (1, setup.expected)


def test_truncated_stream_fails_only_the_streaming_check(
    gateway: LocalGateway, doctor: Doctor
) -> None:
    gateway.fault(NO_FAULT)
    gateway.fault(then="cut")
    found = (
        "The connection (status 200, log id LOG-ID): the response ended before its finish reason."
    )
    assert doctor(gateway.environment()) == (
        1,
        report(
            ALL_OK | {"streaming": ("fail", found)},
            "streaming: Try again in a moment.",
        ),
    )


def test_failed_repeated_request_fails_the_cache_check(
    gateway: LocalGateway, doctor: Doctor
) -> None:
    gateway.fault(split=1000)
    gateway.fault(NO_FAULT)
    gateway.fault(gateway_error(2003, 429, "Rate limited"))
    found = "Cloudflare AI Gateway (status 429, code 2003, log id LOG-ID): Rate limited."
    assert doctor(gateway.environment()) == (
        1,
        report(
            ALL_OK | {"cache": ("fail", found)},
            "cache: The gateway's rate limit is reached.",
        ),
    )


def test_doctor_as_a_process_prints_the_report_and_exits_with_its_status(
    gateway: LocalGateway,
) -> None:
    done = run(gateway.environment() | {"CF_AIG_TOKEN": WRONG_TOKEN})
    expected = FAILING_SETUPS["wrong gateway token"].expected
    assert (done.returncode, repeatable(done.stdout), done.stderr) == (1, expected, "")
