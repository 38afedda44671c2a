"""The ways to DeepSeek through Cloudflare: URL, model name on the wire, and credential headers.

One table row per routing. Source: https://developers.cloudflare.com/ai-gateway/usage/rest-api/ and
https://developers.cloudflare.com/ai-gateway/usage/providers/deepseek/
"""

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import SecretStr

from langchain_cf_deepseek._headers import UnloggedText
from langchain_cf_deepseek._redaction import shown

Routing: TypeAlias = Literal["provider-native", "unified", "compat"]
"""Which door of Cloudflare a request takes."""

THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
"""The hosts to which plain http is allowed, and for which no proxy is asked."""

CREDENTIAL_VARIABLES = {
    "api_key": "DEEPSEEK_API_KEY",
    "gateway_token": "CF_AIG_TOKEN",
    "cloudflare_api_token": "CLOUDFLARE_API_TOKEN",
}
"""The field of each credential and the environment variable it is read from."""

ID_FORMS = {
    "account_id": re.compile(r"[0-9a-f]{32}"),
    "gateway_id": re.compile(r"[A-Za-z0-9_-]{1,64}"),
}
"""What an id looks like, by field."""


@dataclass(frozen=True)
class _RouteSpec:
    """One routing."""

    url: str
    model_prefix: str
    model_forms: re.Pattern[str]
    credentials: dict[str, str]
    """Header of each credential that leaves through this door, by field."""
    gateway_in_url: bool
    has_beta: bool
    ignored_options: frozenset[str] = frozenset()
    """Fields of `GatewayOptions` that Cloudflare ignores here."""


_DEEPSEEK_NAME = r"[\w.:-]+"
_ANY_NAME = rf"deepseek/{_DEEPSEEK_NAME}|dynamic/\S+|@cf/\S+|custom-[\w-]+/\S+|cloudflare/auto"
_EFFORT_ONLY = ("@cf/", "dynamic/", "cloudflare/auto")
_GATEWAY_HOST_CREDENTIALS = {
    "api_key": "Authorization",
    "gateway_token": "cf-aig-authorization",
}

_ROUTE_SPECS: dict[Routing, _RouteSpec] = {
    "provider-native": _RouteSpec(
        url="https://gateway.ai.cloudflare.com/v1/{account_id}/{gateway_id}/deepseek",
        model_prefix="",
        model_forms=re.compile(_DEEPSEEK_NAME),
        credentials=_GATEWAY_HOST_CREDENTIALS,
        gateway_in_url=True,
        has_beta=True,
    ),
    "unified": _RouteSpec(
        url="https://api.cloudflare.com/client/v4/accounts/{account_id}/ai/v1",
        model_prefix="deepseek/",
        model_forms=re.compile(_ANY_NAME),
        credentials={"cloudflare_api_token": "Authorization"},
        gateway_in_url=False,
        has_beta=False,
        ignored_options=frozenset({"byok_alias"}),
    ),
    "compat": _RouteSpec(
        url="https://gateway.ai.cloudflare.com/v1/{account_id}/{gateway_id}/compat",
        model_prefix="deepseek/",
        model_forms=re.compile(_ANY_NAME),
        credentials=_GATEWAY_HOST_CREDENTIALS,
        gateway_in_url=True,
        has_beta=False,
    ),
}


def sent_credentials(routing: Routing) -> frozenset[str]:
    """Return the fields of the credentials that leave on `routing`."""
    return frozenset(_ROUTE_SPECS[routing].credentials)


def routing_of(base_url: str) -> Routing | None:
    """Return the routing whose addresses end like `base_url`, if there is one."""
    endings = {routing: door.url.rpartition("}")[2] for routing, door in _ROUTE_SPECS.items()}
    return next((name for name, end in endings.items() if base_url.rstrip("/").endswith(end)), None)


@dataclass(frozen=True)
class Endpoint:
    """Where one request goes, what the model is called there, and what it may carry."""

    base_url: str
    """The URL up to, not including, `/chat/completions`."""

    beta_url: str | None
    """The same for DeepSeek's beta features; `None` where there is no such path."""

    tools_url: str | None
    """The same for DeepSeek's Search and Fetch."""

    model: str
    """The model's name on the wire."""

    headers: dict[str, str]
    """The credentials, and the gateway's id where it travels in a header."""

    ignored_options: frozenset[str]
    """Fields of `GatewayOptions` that have no effect here."""

    reads_thinking: bool = True
    """Whether the model reads DeepSeek's `thinking`, and not `reasoning_effort` alone.

    Workers AI (`@cf/...`) has no `thinking` in its schema. A dynamic route and the Auto Router may
    lead there or to DeepSeek, which reads `reasoning_effort: none` too.
    """


@dataclass(frozen=True)
class RouteSettings:
    """What a user sets to say which way to take; the fields of the model, by the same names."""

    routing: Routing
    model: str
    account_id: str | None = None
    gateway_id: str | None = None
    base_url: str | None = None
    api_key: SecretStr | None = None
    gateway_token: SecretStr | None = None
    cloudflare_api_token: SecretStr | None = None
    has_own_headers: bool = False
    """Whether the user sends headers of his own, which may identify him to Cloudflare Access."""

    def endpoint(self) -> Endpoint:
        """Return where requests go.

        Raises:
            ValueError: A setting is missing or malformed; the text names its field and variable.
        """
        door = _ROUTE_SPECS[self.routing]
        headers = self._credential_headers(door)
        base_url = self._base_url(door)
        if self.gateway_id and not door.gateway_in_url:
            headers["cf-aig-gateway-id"] = self.gateway_id
        root = base_url.removesuffix("/v1")
        return Endpoint(
            base_url=base_url,
            beta_url=f"{root}/beta" if door.has_beta else None,
            tools_url=f"{root}/v1/tools" if door.has_beta else None,
            model=(model := self._wire_model(door)),
            headers=headers,
            ignored_options=door.ignored_options,
            reads_thinking=not model.startswith(_EFFORT_ONLY),
        )

    def _wire_model(self, door: _RouteSpec) -> str:
        name = self.model.removeprefix("deepseek/")
        wire = self.model if "/" in name else door.model_prefix + name
        if door.model_forms.fullmatch(wire):
            return wire
        if re.fullmatch(_ANY_NAME, wire):
            msg = (
                f"`model` {self.model!r} is not served on `routing` {self.routing!r}, which takes "
                'DeepSeek\'s own names: use routing="unified" (CLOUDFLARE_AI_GATEWAY_ROUTING), '
                'or routing="compat".'
            )
        else:
            msg = (
                f"`model` {shown(self.model)} is none of the names that lead to DeepSeek: use one "
                "like 'deepseek-flash', or on unified and compat also 'dynamic/<route>', "
                "'@cf/...', 'custom-<slug>/...' or 'cloudflare/auto'."
            )
        raise ValueError(msg)

    def _credential_headers(self, door: _RouteSpec) -> dict[str, str]:
        headers: dict[str, str] = {}
        for field, header in door.credentials.items():
            secret: SecretStr | None = getattr(self, field)
            if not secret or not (value := secret.get_secret_value()):
                continue
            check_credential(value, field, CREDENTIAL_VARIABLES[field])
            headers[header] = UnloggedText(f"Bearer {value}")
        if not headers and not self.has_own_headers:
            raise ValueError(self._missing_credential(door))
        return headers

    def _missing_credential(self, door: _RouteSpec) -> str:
        if "api_key" in door.credentials:
            return (
                f"routing {self.routing!r} needs a credential: set `api_key` (DEEPSEEK_API_KEY) to "
                "a DeepSeek key, or `gateway_token` (CF_AIG_TOKEN) to use a key stored in the "
                "gateway."
            )
        return (
            f"routing {self.routing!r} needs a credential: set `cloudflare_api_token` "
            "(CLOUDFLARE_API_TOKEN) to a Cloudflare token with the permission Workers AI Read."
        )

    def _base_url(self, door: _RouteSpec) -> str:
        if self.account_id:
            check_account_id(self.account_id)
        if self.gateway_id:
            check_gateway_id(self.gateway_id)
        if self.base_url:
            return _checked_base_url(self.base_url)
        check_account_id(self.account_id)
        if not self.gateway_id and door.gateway_in_url:
            msg = (
                f"`gateway_id` is missing: routing {self.routing!r} needs it; pass it or set "
                "CLOUDFLARE_GATEWAY_ID."
            )
            raise ValueError(msg)
        return door.url.format(account_id=self.account_id, gateway_id=self.gateway_id)


def check_account_id(account_id: str | None) -> None:
    """Refuse what is no id of an account.

    Raises:
        ValueError: It is missing or malformed.
    """
    if not account_id:
        msg = "`account_id` is missing: pass it or set CLOUDFLARE_ACCOUNT_ID."
        raise ValueError(msg)
    if not ID_FORMS["account_id"].fullmatch(account_id):
        # People paste tokens into the wrong field: nothing of what is no id is shown.
        msg = (
            "`account_id` (CLOUDFLARE_ACCOUNT_ID) must be the account's 32 lower-case "
            f"hexadecimal digits, not a text of {len(account_id)} characters."
        )
        raise ValueError(msg)


def check_gateway_id(gateway_id: str) -> None:
    """Refuse what is no name of a gateway.

    Raises:
        ValueError: It is malformed.
    """
    if not ID_FORMS["gateway_id"].fullmatch(gateway_id):
        msg = (
            "`gateway_id` (CLOUDFLARE_GATEWAY_ID) must be the gateway's name, up to 64 letters,"
            f" digits, '-' and '_', not a text of {len(gateway_id)} characters."
        )
        raise ValueError(msg)


def check_credential(value: str, field: str, variable: str) -> None:
    """Refuse a credential that cannot travel; the text does not hold it.

    Raises:
        ValueError: It is malformed.
    """
    if not re.fullmatch(r"[\x21-\x7e]+", value):
        msg = (
            f"`{field}` ({variable}) must be printable ASCII without white space: it travels in "
            "an HTTP header."
        )
        raise ValueError(msg)


def _checked_base_url(base_url: str) -> str:
    named = "`base_url` (CLOUDFLARE_AI_GATEWAY_BASE_URL)"
    url = checked_url(base_url, named, example="https://ai.example.com/deepseek")
    if url.endswith("/chat/completions"):
        msg = f"{named} must end before /chat/completions, which is added to it."
        raise ValueError(msg)
    return url


def checked_url(url: str, named: str, *, example: str) -> str:
    """Return an address to which a credential may be sent, without a slash at its end.

    Args:
        url: The address.
        named: Its name in the text of an error.
        example: The example in the text of an error.

    Raises:
        ValueError: It is malformed, or would send credentials in clear to another machine.
    """
    url = url.rstrip("/")
    if re.search(r"[^\x21-\x7e]", url):
        msg = f"{named} must be a whole URL such as {example}."
        raise ValueError(msg)
    # The errors of the library show what they are about, which may be a pasted token.
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        msg = f"{named} is not a URL: Invalid IPv6 URL."
        raise ValueError(msg) from None
    try:
        _ = parts.port
    except ValueError:
        msg = f"{named} is not a URL: its port must be a number up to 65535."
        raise ValueError(msg) from None
    if parts.scheme not in {"http", "https"} or not host:
        msg = f"{named} must be a whole URL such as {example}."
        raise ValueError(msg)
    if parts.username or parts.password:
        msg = f"{named} must not hold a user name or password: use the credential fields."
        raise ValueError(msg)
    if parts.query or parts.fragment:
        msg = f"{named} must end before '?' and '#': use `default_query` for a query."
        raise ValueError(msg)
    if parts.scheme == "http" and host not in THIS_MACHINE:
        msg = f"{named} must use https: credentials travel in clear over http to {shown(host)}."
        raise ValueError(msg)
    return url
