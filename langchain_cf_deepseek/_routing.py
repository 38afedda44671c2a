"""The endpoint of a request: base URL, model name on the wire, and credential headers.

One table row per routing; names and addresses are in `data/routings.py`. Source:
https://developers.cloudflare.com/ai-gateway/usage/rest-api/ and
https://developers.cloudflare.com/ai-gateway/usage/providers/deepseek/
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

from langchain_cf_deepseek._headers import UnloggedText
from langchain_cf_deepseek._redaction import shown
from langchain_cf_deepseek.data.routings import (
    API_PATH,
    BASE_URLS,
    CREDENTIAL_VARIABLES,
    ID_PATTERNS,
    LOOPBACK_HOSTS,
    PATHS,
    ROUTINGS,
    Routing,
)


@dataclass(frozen=True)
class _RouteSpec:
    """One routing."""

    model_prefix: str
    model_pattern: re.Pattern[str]
    credentials: dict[str, str]
    """Header of each credential that this routing sends, by field."""
    is_gateway_in_url: bool
    has_beta: bool = False
    ignored_options: frozenset[str] = frozenset()
    """Fields of `GatewayOptions` that Cloudflare ignores here."""


_DEEPSEEK_MODEL = r"[\w.:-]+"
_ANY_MODEL = rf"deepseek/{_DEEPSEEK_MODEL}|dynamic/\S+|@cf/\S+|custom-[\w-]+/\S+|cloudflare/auto"
_EFFORT_ONLY_PREFIXES = ("@cf/", "dynamic/", "cloudflare/auto")
_GATEWAY_HOST_CREDENTIALS = {
    "api_key": "Authorization",
    "gateway_token": "cf-aig-authorization",
}

_ROUTE_SPECS: dict[Routing, _RouteSpec] = {
    "provider-native": _RouteSpec(
        model_prefix="",
        model_pattern=re.compile(_DEEPSEEK_MODEL),
        credentials=_GATEWAY_HOST_CREDENTIALS,
        is_gateway_in_url=True,
        has_beta=True,
    ),
    "unified": _RouteSpec(
        model_prefix="deepseek/",
        model_pattern=re.compile(_ANY_MODEL),
        credentials={"cloudflare_api_token": "Authorization"},
        is_gateway_in_url=False,
        ignored_options=frozenset({"byok_alias"}),
    ),
    "compat": _RouteSpec(
        model_prefix="deepseek/",
        model_pattern=re.compile(_ANY_MODEL),
        credentials=_GATEWAY_HOST_CREDENTIALS,
        is_gateway_in_url=True,
    ),
}


def sent_credentials(routing: Routing) -> frozenset[str]:
    """Return the fields of the credentials that `routing` sends."""
    return frozenset(_ROUTE_SPECS[routing].credentials)


def routing_by_suffix(base_url: str) -> Routing | None:
    """Return the routing whose base URLs end like `base_url`; `None` if none does."""
    url = base_url.rstrip("/")
    return next((name for name in ROUTINGS if url.endswith(PATHS[name].rpartition("}")[2])), None)


def parse_endpoint(url: str) -> dict[str, str]:
    """Return the ids in the URL of a chat request, and the `api_url` in one of `unified` routing.

    Args:
        url: The URL; one of another form holds none.
    """
    return next((found.groupdict() for form in _URL_PATTERNS if (found := form.fullmatch(url))), {})


def _url_pattern(path: str) -> re.Pattern[str]:
    for field, pattern in ID_PATTERNS.items():
        path = path.replace(f"{{{field}}}", f"(?P<{field}>{pattern.pattern})")
    prefix, api_path, path = path.rpartition(API_PATH)
    start = f"(?P<api_url>.+{api_path})" if api_path else ".+"
    return re.compile(f"{start}{prefix}{path}/.*")


_URL_PATTERNS = tuple(map(_url_pattern, PATHS.values()))


@dataclass(frozen=True)
class Endpoint:
    """URL, model name and headers of one request."""

    base_url: str
    """The URL up to, not including, `/chat/completions`."""

    beta_url: str | None
    """The same for DeepSeek's beta features; `None` where the routing has no such path."""

    tools_url: str | None
    """The same for DeepSeek's Search and Fetch; `None` where the routing has no such path."""

    model: str
    """The model's name on the wire."""

    headers: dict[str, str]
    """The credentials, and the gateway's id where it is sent in a header."""

    ignored_options: frozenset[str]
    """Fields of `GatewayOptions` that have no effect here."""

    reads_thinking: bool = True
    """Whether the model reads DeepSeek's `thinking`, and not `reasoning_effort` alone.

    Workers AI (`@cf/...`) has no `thinking` in its schema. A dynamic route and the Auto Router can
    choose Workers AI or DeepSeek, which reads `reasoning_effort: none` too.
    """


@dataclass(frozen=True)
class RouteSettings:
    """The fields of the chat model that determine the endpoint, by the same names."""

    routing: Routing
    model: str
    account_id: str | None = None
    gateway_id: str | None = None
    base_url: str | None = None
    api_key: SecretStr | None = None
    gateway_token: SecretStr | None = None
    cloudflare_api_token: SecretStr | None = None
    has_own_headers: bool = False
    """Whether the user sends other credential headers, such as those of Cloudflare Access."""

    def endpoint(self) -> Endpoint:
        """Return the endpoint of requests.

        Raises:
            ValueError: A setting is missing or malformed; the text names its field and variable.
        """
        spec = _ROUTE_SPECS[self.routing]
        headers = self._credential_headers(spec)
        base_url = self._base_url(spec)
        if self.gateway_id and not spec.is_gateway_in_url:
            headers["cf-aig-gateway-id"] = self.gateway_id
        root = base_url.removesuffix("/v1")
        return Endpoint(
            base_url=base_url,
            beta_url=f"{root}/beta" if spec.has_beta else None,
            tools_url=f"{root}/v1/tools" if spec.has_beta else None,
            model=(model := self._wire_model(spec)),
            headers=headers,
            ignored_options=spec.ignored_options,
            reads_thinking=not model.startswith(_EFFORT_ONLY_PREFIXES),
        )

    def _wire_model(self, spec: _RouteSpec) -> str:
        name = self.model.removeprefix("deepseek/")
        wire = self.model if "/" in name else spec.model_prefix + name
        if spec.model_pattern.fullmatch(wire):
            return wire
        if re.fullmatch(_ANY_MODEL, wire):
            msg = (
                f"`model` {self.model!r} is not served on `routing` {self.routing!r}, which has "
                'only DeepSeek\'s own models: use routing="unified" '
                '(CLOUDFLARE_AI_GATEWAY_ROUTING), or routing="compat".'
            )
        else:
            msg = (
                f"`model` {shown(self.model)} is not a recognised model name: use one like "
                "'deepseek-flash', or on unified and compat also 'dynamic/<route>', '@cf/...', "
                "'custom-<slug>/...' or 'cloudflare/auto'."
            )
        raise ValueError(msg)

    def _credential_headers(self, spec: _RouteSpec) -> dict[str, str]:
        headers: dict[str, str] = {}
        for field, header in spec.credentials.items():
            secret: SecretStr | None = getattr(self, field)
            if not secret or not (value := secret.get_secret_value()):
                continue
            check_credential(value, field, CREDENTIAL_VARIABLES[field])
            headers[header] = UnloggedText(f"Bearer {value}")
        if not headers and not self.has_own_headers:
            raise ValueError(self._missing_credential(spec))
        return headers

    def _missing_credential(self, spec: _RouteSpec) -> str:
        if "api_key" in spec.credentials:
            return (
                f"routing {self.routing!r} needs a credential: set `api_key` (DEEPSEEK_API_KEY) to "
                "a DeepSeek key, or `gateway_token` (CF_AIG_TOKEN) to use a key stored in the "
                "gateway."
            )
        return (
            f"routing {self.routing!r} needs a credential: set `cloudflare_api_token` "
            "(CLOUDFLARE_API_TOKEN) to a Cloudflare token with the permission Workers AI Read."
        )

    def _base_url(self, spec: _RouteSpec) -> str:
        if self.account_id:
            check_account_id(self.account_id)
        if self.gateway_id:
            check_gateway_id(self.gateway_id)
        if self.base_url:
            return _checked_base_url(self.base_url)
        check_account_id(self.account_id)
        if not self.gateway_id and spec.is_gateway_in_url:
            msg = (
                f"`gateway_id` is missing: routing {self.routing!r} needs it; pass it or set "
                "CLOUDFLARE_GATEWAY_ID."
            )
            raise ValueError(msg)
        return BASE_URLS[self.routing].format(
            account_id=self.account_id, gateway_id=self.gateway_id
        )


def check_account_id(account_id: str | None) -> None:
    """Check the id of an account.

    Raises:
        ValueError: It is missing or malformed.
    """
    if not account_id:
        msg = "`account_id` is missing: pass it or set CLOUDFLARE_ACCOUNT_ID."
        raise ValueError(msg)
    if not ID_PATTERNS["account_id"].fullmatch(account_id):
        # It can be a token that was pasted into the wrong field, so the value is not shown.
        msg = (
            "`account_id` (CLOUDFLARE_ACCOUNT_ID) must be the account's 32 lower-case "
            f"hexadecimal digits, not a text of {len(account_id)} characters."
        )
        raise ValueError(msg)


def check_gateway_id(gateway_id: str) -> None:
    """Check the name of a gateway.

    Raises:
        ValueError: It is malformed.
    """
    if not ID_PATTERNS["gateway_id"].fullmatch(gateway_id):
        msg = (
            "`gateway_id` (CLOUDFLARE_GATEWAY_ID) must be the gateway's name, up to 64 letters,"
            f" digits, '-' and '_', not a text of {len(gateway_id)} characters."
        )
        raise ValueError(msg)


def check_credential(value: str, field: str, variable: str) -> None:
    """Check that a credential can be sent in an HTTP header.

    Raises:
        ValueError: It is malformed; the message does not contain it.
    """
    if not re.fullmatch(r"[\x21-\x7e]+", value):
        msg = (
            f"`{field}` ({variable}) must be printable ASCII without white space: it is sent in an "
            "HTTP header."
        )
        raise ValueError(msg)


def _checked_base_url(base_url: str) -> str:
    name = "`base_url` (CLOUDFLARE_AI_GATEWAY_BASE_URL)"
    url = checked_url(base_url, name, example="https://ai.example.com/deepseek")
    if url.endswith("/chat/completions"):
        msg = f"{name} must end before /chat/completions, which is added to it."
        raise ValueError(msg)
    return url


def checked_url(url: str, name: str, *, example: str) -> str:
    """Return a URL to which credentials can be sent, without its trailing slash.

    Args:
        url: The URL.
        name: Its name in an error message.
        example: The example in an error message.

    Raises:
        ValueError: It is malformed, or would send credentials unencrypted to another machine.
    """
    url = url.rstrip("/")
    if re.search(r"[^\x21-\x7e]", url):
        msg = f"{name} must be a complete URL such as {example}."
        raise ValueError(msg)
    # The library's errors quote the value, which can be a pasted token.
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        msg = f"{name} is not a URL: Invalid IPv6 URL."
        raise ValueError(msg) from None
    try:
        _ = parts.port
    except ValueError:
        msg = f"{name} is not a URL: its port must be a number up to 65535."
        raise ValueError(msg) from None
    if parts.scheme not in {"http", "https"} or not host:
        msg = f"{name} must be a complete URL such as {example}."
        raise ValueError(msg)
    if parts.username or parts.password:
        msg = f"{name} must not contain a user name or password: use the credential fields."
        raise ValueError(msg)
    if parts.query or parts.fragment:
        msg = f"{name} must end before '?' and '#': use `default_query` for a query."
        raise ValueError(msg)
    if parts.scheme == "http" and host not in LOOPBACK_HOSTS:
        msg = f"{name} must use https: http would send credentials unencrypted to {shown(host)}."
        raise ValueError(msg)
    return url
