"""The output that `doctor` must print, as data: results by check, and the text of a report."""

import re
import subprocess
from typing import Any

from langchain_cf_deepseek.data.routings import Routing
from langchain_cf_deepseek.local import Fault
from tests.conftest import ACCOUNT
from tests.subprocesses import run_python

KEY = "sk-Zq8vXw3kTn5rLm2pYc7dHb4gJf9sQx6e"
TOKEN = "cfut_Kj4mWz9xBv7nRt2pQs5dGh8fLc3yXq6w"
API_TOKEN = "Vr7tYk2mXz9wQp4nHs6bJd3fLg8cTv5xRq1zWn0e"
WRONG_KEY = "sk-Wd5hNc8jRv2bXt7mKq4zPs9gFy3lQw6k"
WRONG_TOKEN = "cfut_Xn3bVq8zMw5kTj2rHd7sPg4cLf9yRt6v"

CREDENTIALS: dict[str, Any] = {
    "api_key": KEY,
    "gateway_token": TOKEN,
    "cloudflare_api_token": API_TOKEN,
}
SECRET_VARIABLES = ("DEEPSEEK_API_KEY", "CF_AIG_TOKEN", "CLOUDFLARE_API_TOKEN")

CheckResults = dict[str, tuple[str, str]]

CHECKS = (
    "settings",
    "host",
    "gateway",
    "DeepSeek key",
    "model",
    "balance",
    "answer",
    "streaming",
    "cache",
    "log",
)


def repeatable(text: str) -> str:
    """Replace ports and log ids by placeholders."""
    text = re.sub(r"(127\.0\.0\.1|localhost):\d+", r"\1:PORT", text)
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "LOG-ID", text)


def report(results: CheckResults, *closing: str) -> str:
    """Return the report with these results."""
    lines = ["check         outcome  found"]
    for name, (outcome, found) in results.items():
        first, *others = found.split("\n")
        lines.append(f"{name:<12}  {outcome:<7}  {first}")
        lines += [" " * 23 + other for other in others]
    return "\n".join([*lines, "", *(closing or ["All checks passed."]), ""])


SETTINGS: dict[Routing, str] = {
    "provider-native": f"""\
provider-native through 127.0.0.1:PORT
CLOUDFLARE_AI_GATEWAY_ROUTING: provider-native
CLOUDFLARE_ACCOUNT_ID: {ACCOUNT}
CLOUDFLARE_GATEWAY_ID: local
DEEPSEEK_API_KEY: set
CF_AIG_TOKEN: set
CLOUDFLARE_API_TOKEN: set, not sent on provider-native
CLOUDFLARE_AI_GATEWAY_BASE_URL: set""",
    "unified": f"""\
unified through 127.0.0.1:PORT
CLOUDFLARE_AI_GATEWAY_ROUTING: unified
CLOUDFLARE_ACCOUNT_ID: {ACCOUNT}
CLOUDFLARE_GATEWAY_ID: local
CLOUDFLARE_API_TOKEN: set
CLOUDFLARE_AI_GATEWAY_BASE_URL: set""",
}
SETTINGS["compat"] = SETTINGS["provider-native"].replace("provider-native", "compat")

ALL_OK: CheckResults = {
    "settings": ("ok", SETTINGS["provider-native"]),
    "host": ("ok", "127.0.0.1:PORT responds"),
    "gateway": ("ok", "CF_AIG_TOKEN is accepted, and a wrong token is rejected"),
    "DeepSeek key": ("ok", "DEEPSEEK_API_KEY is sent, and accepted"),
    "model": ("ok", "deepseek-flash"),
    "balance": ("ok", "enough for a request"),
    "answer": ("ok", "complete, with a finish reason"),
    "streaming": ("ok", "arrives in chunks, with a finish reason"),
    "cache": ("ok", "a repeated request with `cache_ttl` was a HIT"),
    "log": ("ok", "log id LOG-ID"),
}
ALL_OK_BY_ROUTING: dict[Routing, CheckResults] = {
    "provider-native": ALL_OK,
    "compat": ALL_OK | {"settings": ("ok", SETTINGS["compat"])},
    "unified": ALL_OK
    | {
        "settings": ("ok", SETTINGS["unified"]),
        "gateway": ("ok", "CLOUDFLARE_API_TOKEN is accepted, gateway local"),
        "DeepSeek key": (
            "ok",
            "no key is sent or stored; Cloudflare pays DeepSeek and bills you (Unified Billing)",
        ),
    },
}


def failing_report(
    check: str, found: str, change: str, *, before: CheckResults = ALL_OK, log: bool = True
) -> str:
    """Return the report of a setup that fails at `check`; `log`: whether there is a log id."""
    at = CHECKS.index(check)
    skipped = ("skipped", f"`{check}` failed")
    rest = dict.fromkeys(CHECKS[at + 1 :], skipped)
    if log:
        rest["log"] = ALL_OK["log"]
    kept = {name: before[name] for name in CHECKS[:at]}
    return report({**kept, check: ("fail", found), **rest}, f"{check}: {change}")


GATEWAY_TOKEN_HINT = (
    "Set `gateway_token` (CF_AIG_TOKEN) to a Cloudflare token with the permission AI Gateway Run "
    "on the account in `account_id` (CLOUDFLARE_ACCOUNT_ID)."
)
CLOUDFLARE_TOKEN_HINT = (
    "Set `cloudflare_api_token` (CLOUDFLARE_API_TOKEN) to a token with the permission Workers AI "
    "Read."
)
KEY_REJECTED = (
    "DeepSeek rejected the key: check `api_key` (DEEPSEEK_API_KEY), or the key stored in the "
    "gateway."
)
NO_AUTHENTICATION = (
    "warn",
    (
        "requires no token, so anyone who knows its URL can use it: turn on Authenticated "
        "Gateway in its settings"
    ),
)
MODEL_NAMES = (
    "deepseek-chat, deepseek-flash, deepseek-reasoner, deepseek-v4-flash, "
    "deepseek-v4-flash-vision-exp, deepseek-v4-pro"
)
ALL_MODEL_NAMES = (
    f"@cf/deepseek-ai/deepseek-v4-flash-0731, @cf/deepseek-ai/deepseek-v4-pro-0813, {MODEL_NAMES}"
)
NO_TOKEN_SET = ALL_OK | {
    "settings": (
        "ok",
        SETTINGS["provider-native"].replace("CF_AIG_TOKEN: set", "CF_AIG_TOKEN: not set"),
    )
}
NO_KEY_SET = ALL_OK | {
    "settings": (
        "ok",
        SETTINGS["provider-native"].replace("DEEPSEEK_API_KEY: set", "DEEPSEEK_API_KEY: not set"),
    )
}
OTHER_GATEWAY = ALL_OK | {
    "settings": ("ok", SETTINGS["provider-native"].replace("ID: local", "ID: prod"))
}


WHOLE_ANSWER = {
    "id": "1",
    "model": "deepseek-flash",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "1"}, "finish_reason": "stop"}
    ],
}


NO_FAULT = Fault()


def run(variables: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return run_python("-m", "langchain_cf_deepseek", "doctor", *arguments, env=variables)
