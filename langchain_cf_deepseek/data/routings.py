"""The routings as plain data: addresses, ids, and environment variables.

The standard library alone is imported, so that `--help` and the local gateway can read this at no
cost. What follows from it for a request is in `_routing.py`.
"""

import re
from typing import Literal, TypeAlias, get_args

Routing: TypeAlias = Literal["provider-native", "unified", "compat"]
"""Which Cloudflare endpoint a request is sent to."""

ROUTINGS: tuple[Routing, ...] = get_args(Routing)
DEFAULT_ROUTING: Routing = "provider-native"

API_PATH = "/client/v4"
"""Path of Cloudflare's REST API, which serves `unified` routing and the logs."""

PATHS: dict[Routing, str] = {
    "provider-native": "/v1/{account_id}/{gateway_id}/deepseek",
    "unified": f"{API_PATH}/accounts/{{account_id}}/ai/v1",
    "compat": "/v1/{account_id}/{gateway_id}/compat",
}
"""Path of the base URL: everything between the host and `/chat/completions`."""

_GATEWAY_HOST, _API_HOST = "https://gateway.ai.cloudflare.com", "https://api.cloudflare.com"

API_URL = _API_HOST + API_PATH

BASE_URLS: dict[Routing, str] = {
    routing: (_API_HOST if path.startswith(API_PATH) else _GATEWAY_HOST) + path
    for routing, path in PATHS.items()
}

ID_PATTERNS = {
    "account_id": re.compile(r"[0-9a-f]{32}"),
    "gateway_id": re.compile(r"[A-Za-z0-9_-]{1,64}"),
}
"""The pattern that an id matches, by field."""

CREDENTIAL_VARIABLES = {
    "api_key": "DEEPSEEK_API_KEY",
    "gateway_token": "CF_AIG_TOKEN",
    "cloudflare_api_token": "CLOUDFLARE_API_TOKEN",
}
"""The environment variable of each credential, by field."""

VARIABLES = {
    "routing": "CLOUDFLARE_AI_GATEWAY_ROUTING",
    "account_id": "CLOUDFLARE_ACCOUNT_ID",
    "gateway_id": "CLOUDFLARE_GATEWAY_ID",
    **CREDENTIAL_VARIABLES,
    "base_url": "CLOUDFLARE_AI_GATEWAY_BASE_URL",
}
"""The environment variable of each field that has one."""

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
"""Hosts to which plain http is allowed, and that are never reached through a proxy."""

LOOPBACK_MOUNTS = tuple(
    f"all://[{host}]" if ":" in host else f"all://{host}" for host in LOOPBACK_HOSTS
)
"""The same hosts as the patterns of the HTTP library's `mounts`."""
