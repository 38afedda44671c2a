"""Which requests are admitted: tokens, gateways, paths, model prefixes and provider keys.

The order of the checks is Cloudflare's: on the REST host the token is checked first, on the gateway
host account and token are checked before the gateway, the provider and the provider's key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from langchain_cf_deepseek.local.cloudflare.assumptions import Assumptions
from langchain_cf_deepseek.local.cloudflare.model_prefixes import assign_provider
from langchain_cf_deepseek.local.deepseek.models import Model
from langchain_cf_deepseek.local.exchange import Call, CallNext, GatewayResponse, RefusedError
from langchain_cf_deepseek.local.faults.error_bodies import (
    BAD_TOKEN,
    NO_ROUTE,
    deepseek_refusal,
    refusal,
    rest_refusal,
)

_NATIVE_ENDPOINT = re.compile(
    r"(?:v1/|beta/)?(?P<chat>chat/completions)|(?:v1/)?(?:(?P<models>models)|(?P<files>files)|"
    r"(?P<file>files/[^/]+))|(?P<web>v1/tools/(?:search|fetch))"
)
"""DeepSeek's paths; the group is the kind of endpoint, its text the endpoint."""

DEFAULT_ALIAS = "default"
"""The stored key for requests without an alias; the only one on the REST host."""

_METHODS = {
    "chat": {"POST"},
    "models": {"GET"},
    "files": {"GET", "POST"},
    "file": {"GET", "DELETE"},
    "web": {"POST"},
}
_UNDOCUMENTED = {"files", "file", "web"}
"""The endpoints that Cloudflare does not document."""


@dataclass(frozen=True)
class Settings:
    """Who can use the gateway. `LocalGateway` documents each field."""

    account_id: str
    gateway_id: str
    gateway_token: str
    api_key: str
    cloudflare_api_token: str
    authenticated: bool
    stored_keys: Mapping[str, str]
    byok_only: bool
    models: Mapping[str, Model]
    upstream: bool
    assumptions: Assumptions


ModelResolver = Callable[[Call, str], bool]
"""Sets a call's model and provider, and returns whether it recognises the model name."""


class Admission:
    """The checks of the endpoints, each a step of a call."""

    def __init__(self, settings: Settings, model_resolvers: Sequence[ModelResolver]) -> None:
        """Configure the checks.

        Args:
            settings: Who can use the gateway.
            model_resolvers: Recognise model names without a provider: routes, the Auto Router.
        """
        self._settings = settings
        self._model_resolvers = (*model_resolvers, assign_provider)

    async def gateway_token(self, call: Call, call_next: CallNext) -> GatewayResponse:
        """Gateway host: account and gateway token, which fail with the same error."""
        settings = self._settings
        token = call.request.headers.get("cf-aig-authorization")
        if call.account != settings.account_id or (
            settings.authenticated and token != f"Bearer {settings.gateway_token}"
        ):
            raise refusal(call, 2009)
        return await call_next()

    async def gateway_id(self, call: Call, call_next: CallNext) -> GatewayResponse:
        """Gateway host: the gateway exists. `default` is created on first use."""
        if call.gateway not in {self._settings.gateway_id, "default"}:
            raise refusal(call, 2001)
        return await call_next()

    async def universal_entry(self, call: Call, call_next: CallNext) -> GatewayResponse:
        """Universal: an entry is for a provider, or for compat, whose model has the provider."""
        if call.endpoint == "compat/chat/completions":
            call.endpoint = "chat/completions"
            return await self.compat_model(call, call_next)
        return await self.native_endpoint(call, call_next)

    async def native_endpoint(self, call: Call, call_next: CallNext) -> GatewayResponse:
        """Provider-native: DeepSeek's paths are below `/deepseek`; all others are an empty 404."""
        provider, _, path = call.endpoint.partition("/")
        if provider != "deepseek":
            raise refusal(call, 2008)
        endpoint = _NATIVE_ENDPOINT.fullmatch(path)
        kind = endpoint.lastgroup if endpoint else None
        is_forwarded = kind not in _UNDOCUMENTED or self._settings.assumptions.deepseek_paths
        if endpoint is None or kind is None or not is_forwarded:
            raise RefusedError(GatewayResponse(404, b"", None))
        if call.request.method not in _METHODS[kind]:
            raise RefusedError(GatewayResponse(405, b"", None))
        call.endpoint, call.provider = endpoint[kind], provider
        call.beta = path.startswith("beta/")
        call.model = _requested_model(call) or ""
        return await call_next()

    async def compat_model(self, call: Call, call_next: CallNext) -> GatewayResponse:
        """Compat: the prefix of the model is the provider."""
        requested = _requested_model(call)
        if requested is None or "/" not in requested:
            raise refusal(call, 2019)
        if not self._resolve_model(call, requested.removeprefix("workers-ai/")):
            raise refusal(call, 2008, f"Model not found: {requested}")
        return await call_next()

    async def provider_key(self, call: Call, call_next: CallNext) -> GatewayResponse:
        """Gateway host: the caller's key overrides the stored one; without both DeepSeek refuses.

        The key for an upstream is checked by the upstream.
        """
        settings = self._settings
        if settings.upstream or call.not_deepseek:
            return await call_next()
        authorization = call.request.headers.get("authorization")
        if authorization is None:
            authorization = self._stored_authorization(call)
        if authorization != f"Bearer {settings.api_key}":
            raise deepseek_refusal(
                401,
                f"Authentication Fails, Your api key: ****{authorization[-4:]} is invalid",
                "authentication_error",
            )
        return await call_next()

    def _stored_authorization(self, call: Call) -> str:
        """Return the header that the gateway adds where the caller sent no key."""
        keys = self._settings.stored_keys
        alias = call.request.headers.get("cf-aig-byok-alias", DEFAULT_ALIAS)
        if alias in keys:
            return f"Bearer {keys[alias]}"
        if alias != DEFAULT_ALIAS:
            raise refusal(call, 2040, alias=alias, known=", ".join(keys) or "none")
        self._check_unified_billing(call)
        if code := self._settings.assumptions.missing_key_code:
            raise refusal(call, code)
        raise RefusedError(GatewayResponse(401, b"Authentication Fails (governor)", "text/plain"))

    def _check_unified_billing(self, call: Call) -> None:
        """Refuse the call if the gateway or the request forbids that Cloudflare pays for it."""
        by_gateway = self._settings.byok_only and call.is_at(self._settings.gateway_id)
        if by_gateway or call.request.headers.get("cf-aig-no-wholesale") == "true":
            raise refusal(call, 2001, "A provider key of your own is required")

    async def api_token(self, call: Call, call_next: CallNext) -> GatewayResponse:
        """REST host: the API token is valid."""
        token = call.request.headers.get("authorization")
        if token != f"Bearer {self._settings.cloudflare_api_token}":
            raise rest_refusal(401, BAD_TOKEN)
        return await call_next()

    async def rest_path(self, call: Call, call_next: CallNext) -> GatewayResponse:
        """REST host: one path of one account exists."""
        path, method = call.request.path, call.request.method
        if (
            call.account != self._settings.account_id
            or call.endpoint != "chat/completions"
            or method != "POST"
        ):
            hint = f"Could not route to {path}, perhaps your object identifier is invalid?"
            raise rest_refusal(404, (7003, hint), NO_ROUTE)
        return await call_next()

    async def rest_gateway(self, call: Call, call_next: CallNext) -> GatewayResponse:
        """REST host: a gateway is optional, but must exist if given."""
        if call.gateway not in {None, self._settings.gateway_id, "default"}:
            raise refusal(call, 2001)
        return await call_next()

    async def rest_model(self, call: Call, call_next: CallNext) -> GatewayResponse:
        """REST host: Cloudflare has the model, and sells it unless a key is stored."""
        requested = _requested_model(call)
        if requested is None:
            message = "Model execution failed (User Input Error): field 'model' is missing"
            raise rest_refusal(400, (7003, message))
        settings = self._settings
        known = self._resolve_model(call, requested)
        if requested.startswith("deepseek/"):
            known = call.model in settings.models or settings.upstream
        if not known:
            raise refusal(call, 7003, model=requested)
        entry = settings.models.get(call.model)
        call.unified_billing = DEFAULT_ALIAS not in settings.stored_keys
        if not call.unified_billing:
            return await call_next()
        self._check_unified_billing(call)
        if entry is not None and not entry.billed and not settings.upstream:
            message = "This model is not available via unified billing. Please use BYOK."
            raise rest_refusal(402, (2021, message))
        return await call_next()

    def _resolve_model(self, call: Call, name: str) -> bool:
        return any(resolve(call, name) for resolve in self._model_resolvers)


def _requested_model(call: Call) -> str | None:
    body = call.request.body
    model = body.get("model") if isinstance(body, dict) else None
    return model if isinstance(model, str) else None
