"""Settings with which no model can be created: nothing is sent."""

import pytest

from tests.conftest import ACCOUNT
from tests.doctor.conftest import Doctor
from tests.doctor.expected_output import API_TOKEN, KEY, TOKEN, failing_report

NO_CREDENTIAL = (
    "routing 'provider-native' needs a credential: set `api_key` (DEEPSEEK_API_KEY) to a DeepSeek "
    "key, or `gateway_token` (CF_AIG_TOKEN) to use a key stored in the gateway."
)


@pytest.mark.parametrize(
    ("variables", "shown", "change"),
    [
        pytest.param(
            {"CLOUDFLARE_GATEWAY_ID": "prod", "DEEPSEEK_API_KEY": KEY},
            "a setting is missing or malformed\n"
            "CLOUDFLARE_ACCOUNT_ID: not set\n"
            "CLOUDFLARE_GATEWAY_ID: prod\n"
            "DEEPSEEK_API_KEY: set\n"
            "CF_AIG_TOKEN: not set",
            "`account_id` is missing: pass it or set CLOUDFLARE_ACCOUNT_ID.",
            id="no account id",
        ),
        pytest.param(
            {
                "CLOUDFLARE_ACCOUNT_ID": ACCOUNT.upper(),
                "CLOUDFLARE_GATEWAY_ID": "prod",
                "CF_AIG_TOKEN": TOKEN,
                "CLOUDFLARE_API_TOKEN": API_TOKEN,
            },
            "a setting is missing or malformed\n"
            "CLOUDFLARE_ACCOUNT_ID: malformed (32 characters)\n"
            "CLOUDFLARE_GATEWAY_ID: prod\n"
            "DEEPSEEK_API_KEY: not set\n"
            "CF_AIG_TOKEN: set\n"
            "CLOUDFLARE_API_TOKEN: set, not sent on provider-native",
            "`account_id` (CLOUDFLARE_ACCOUNT_ID) must be the account's 32 lower-case hexadecimal "
            "digits, not a text of 32 characters.",
            id="malformed account id",
        ),
        pytest.param(
            {"CLOUDFLARE_ACCOUNT_ID": ACCOUNT, "CLOUDFLARE_GATEWAY_ID": "prod"},
            "a setting is missing or malformed\n"
            f"CLOUDFLARE_ACCOUNT_ID: {ACCOUNT}\n"
            "CLOUDFLARE_GATEWAY_ID: prod\n"
            "DEEPSEEK_API_KEY: not set\n"
            "CF_AIG_TOKEN: not set",
            NO_CREDENTIAL,
            id="no credential",
        ),
        pytest.param(
            {
                "CLOUDFLARE_AI_GATEWAY_ROUTING": KEY,
                "CLOUDFLARE_AI_GATEWAY_BASE_URL": "http://127.0.0.1:9/v1/a/g/deepseek",
            },
            "a setting is missing or malformed\n"
            "CLOUDFLARE_AI_GATEWAY_ROUTING: malformed (35 characters)\n"
            "CLOUDFLARE_ACCOUNT_ID: not set\n"
            "CLOUDFLARE_GATEWAY_ID: not set\n"
            "DEEPSEEK_API_KEY: not set\n"
            "CF_AIG_TOKEN: not set\n"
            "CLOUDFLARE_API_TOKEN: not set\n"
            "CLOUDFLARE_AI_GATEWAY_BASE_URL: set",
            "`routing`: Input should be 'provider-native', 'unified' or 'compat'.",
            id="unknown routing",
        ),
        pytest.param(
            {
                "CLOUDFLARE_ACCOUNT_ID": KEY,
                "CLOUDFLARE_GATEWAY_ID": "prod",
                "CF_AIG_TOKEN": TOKEN,
            },
            "a value is in the wrong variable\n"
            "CLOUDFLARE_ACCOUNT_ID: malformed (35 characters)\n"
            "CLOUDFLARE_GATEWAY_ID: prod\n"
            "DEEPSEEK_API_KEY: not set\n"
            "CF_AIG_TOKEN: set",
            "Set CLOUDFLARE_ACCOUNT_ID to the account's id: it contains what looks like a DeepSeek "
            "key.",
            id="key as account id",
        ),
        pytest.param(
            {
                "CLOUDFLARE_ACCOUNT_ID": ACCOUNT,
                "CLOUDFLARE_GATEWAY_ID": API_TOKEN,
                "CF_AIG_TOKEN": TOKEN,
            },
            "a value is in the wrong variable\n"
            f"CLOUDFLARE_ACCOUNT_ID: {ACCOUNT}\n"
            "CLOUDFLARE_GATEWAY_ID: malformed (40 characters)\n"
            "DEEPSEEK_API_KEY: not set\n"
            "CF_AIG_TOKEN: set",
            "Set CLOUDFLARE_GATEWAY_ID to the gateway's name: it contains what looks like a "
            "Cloudflare token.",
            id="token as gateway id",
        ),
        pytest.param(
            {
                "CLOUDFLARE_ACCOUNT_ID": ACCOUNT,
                "CLOUDFLARE_GATEWAY_ID": "prod",
                "DEEPSEEK_API_KEY": TOKEN,
            },
            "a value is in the wrong variable\n"
            f"CLOUDFLARE_ACCOUNT_ID: {ACCOUNT}\n"
            "CLOUDFLARE_GATEWAY_ID: prod\n"
            "DEEPSEEK_API_KEY: set\n"
            "CF_AIG_TOKEN: not set",
            "Set DEEPSEEK_API_KEY to a DeepSeek key: it contains what looks like a Cloudflare "
            "token.",
            id="token as key",
        ),
        pytest.param(
            {
                "CLOUDFLARE_ACCOUNT_ID": ACCOUNT,
                "CLOUDFLARE_GATEWAY_ID": "prod",
                "CF_AIG_TOKEN": KEY,
            },
            "a value is in the wrong variable\n"
            f"CLOUDFLARE_ACCOUNT_ID: {ACCOUNT}\n"
            "CLOUDFLARE_GATEWAY_ID: prod\n"
            "DEEPSEEK_API_KEY: not set\n"
            "CF_AIG_TOKEN: set",
            "Set CF_AIG_TOKEN to a Cloudflare token: it contains what looks like a DeepSeek key.",
            id="key as token",
        ),
        pytest.param(
            {
                "CLOUDFLARE_ACCOUNT_ID": ACCOUNT,
                "CLOUDFLARE_GATEWAY_ID": "prod",
                "DEEPSEEK_API_KEY": API_TOKEN,
                "CF_AIG_TOKEN": API_TOKEN,
            },
            "a value is in the wrong variable\n"
            f"CLOUDFLARE_ACCOUNT_ID: {ACCOUNT}\n"
            "CLOUDFLARE_GATEWAY_ID: prod\n"
            "DEEPSEEK_API_KEY: set\n"
            "CF_AIG_TOKEN: set",
            "Set DEEPSEEK_API_KEY to a DeepSeek key and CF_AIG_TOKEN to a Cloudflare token: both "
            "contain the same text.",
            id="one token as both",
        ),
        pytest.param(
            {
                "CLOUDFLARE_AI_GATEWAY_ROUTING": "compat",
                "CLOUDFLARE_AI_GATEWAY_BASE_URL": "http://127.0.0.1:9/v1/a/g/deepseek/",
                "DEEPSEEK_API_KEY": KEY,
            },
            "a value is in the wrong variable\n"
            "CLOUDFLARE_AI_GATEWAY_ROUTING: compat\n"
            "CLOUDFLARE_ACCOUNT_ID: not set\n"
            "CLOUDFLARE_GATEWAY_ID: not set\n"
            "DEEPSEEK_API_KEY: set\n"
            "CF_AIG_TOKEN: not set\n"
            "CLOUDFLARE_AI_GATEWAY_BASE_URL: set",
            "Set CLOUDFLARE_AI_GATEWAY_BASE_URL to a URL of routing 'compat': it ends like one of "
            "'provider-native'.",
            id="address of another routing",
        ),
    ],
)
def test_settings_that_no_model_accepts_skip_all_other_checks(
    variables: dict[str, str | None], shown: str, change: str, doctor: Doctor
) -> None:
    assert doctor(variables) == (1, failing_report("settings", shown, change, log=False))
