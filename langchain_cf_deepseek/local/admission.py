"""Who gets in, and to which model: tokens, gateways, paths, model prefixes and provider keys.

The order of the checks is Cloudflare's: on the REST host the token comes before everything, on the
gateway host account and token come before the gateway, the provider and the provider's key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from langchain_cf_deepseek.local.envelopes import (
    BAD_TOKEN,
    GATEWAY_ERRORS,
    NO_ROUTE,
    deepseek_refusal,
    gateway_refusal,
    rest_refusal,
)
from langchain_cf_deepseek.local.exchange import Answer, Call, Proceed, RefusedError
from langchain_cf_deepseek.local.models import Model

NATIVE_ENDPOINTS = {
    "chat/completions": "chat/completions",
    "v1/chat/completions": "chat/completions",
    "beta/chat/completions": "chat/completions",
    "models": "models",
    "v1/models": "models",
}
"""DeepSeek's paths, and what each of them is."""

METHODS = {"chat/completions": "POST", "models": "GET"}

AUTO_ROUTER_FACTS = {
    "cf-aig-routed-model": "@cf/deepseek-ai/deepseek-v4-flash-0731",
    "cf-aig-routing-reason": "cost_optimal_within_pool",
    "cf-aig-routing-decision-id": "local-decision",
}


@dataclass(frozen=True)
class Settings:
    """Who may use the gateway. `LocalGateway` documents each field."""

    account_id: str
    gateway_id: str
    gateway_token: str
    api_key: str
    cloudflare_api_token: str
    authenticated: bool
    stored_key: bool
    models: Mapping[str, Model]
    upstream: bool


class Admission:
    """The checks of the three doors, each a step of a call."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def gateway_token(self, call: Call, proceed: Proceed) -> Answer:
        """Gateway host: account and gateway token, which fail alike."""
        settings = self._settings
        token = call.request.headers.get("cf-aig-authorization")
        if call.account != settings.account_id or (
            settings.authenticated and token != f"Bearer {settings.gateway_token}"
        ):
            raise gateway_refusal(2009)
        return await proceed()

    async def gateway_id(self, call: Call, proceed: Proceed) -> Answer:
        """Gateway host: the gateway exists. `default` comes into being on first use."""
        if call.gateway not in {self._settings.gateway_id, "default"}:
            raise gateway_refusal(2001)
        return await proceed()

    async def native_endpoint(self, call: Call, proceed: Proceed) -> Answer:
        """Provider-native: everything below `/deepseek` is DeepSeek's, its empty 404 included."""
        provider, _, path = call.endpoint.partition("/")
        if provider != "deepseek":
            raise gateway_refusal(2008)
        endpoint = NATIVE_ENDPOINTS.get(path)
        if endpoint is None:
            raise RefusedError(Answer(404, b"", None))
        if call.request.method != METHODS[endpoint]:
            raise RefusedError(Answer(405, b"", None))
        call.endpoint = endpoint
        call.model = _requested_model(call) or ""
        return await proceed()

    async def compat_model(self, call: Call, proceed: Proceed) -> Answer:
        """Compat: the prefix of the model names the provider."""
        requested = _requested_model(call)
        if requested is None or "/" not in requested:
            raise gateway_refusal(2019)
        if not self._take_prefix(call, requested.removeprefix("workers-ai/")):
            raise gateway_refusal(2008, f"Model not found: {requested}")
        return await proceed()

    async def provider_key(self, call: Call, proceed: Proceed) -> Answer:
        """Gateway host: the caller's key beats the stored one; without both DeepSeek refuses.

        In front of an upstream the caller's key is for the upstream to judge.
        """
        settings = self._settings
        authorization = call.request.headers.get("authorization")
        if settings.upstream or call.elsewhere:
            return await proceed()
        if authorization is None:
            if not settings.stored_key:
                raise RefusedError(Answer(401, b"Authentication Fails (governor)", "text/plain"))
        elif authorization != f"Bearer {settings.api_key}":
            raise deepseek_refusal(
                401,
                f"Authentication Fails, Your api key: ****{authorization[-4:]} is invalid",
                "authentication_error",
            )
        return await proceed()

    async def api_token(self, call: Call, proceed: Proceed) -> Answer:
        """REST host: the token is checked before the path is looked at."""
        token = call.request.headers.get("authorization")
        if token != f"Bearer {self._settings.cloudflare_api_token}":
            raise rest_refusal(401, BAD_TOKEN)
        return await proceed()

    async def rest_route(self, call: Call, proceed: Proceed) -> Answer:
        """REST host: one path of one account leads somewhere."""
        path, method = call.request.path, call.request.method
        if (
            call.account != self._settings.account_id
            or call.endpoint != "chat/completions"
            or method != "POST"
        ):
            hint = f"Could not route to {path}, perhaps your object identifier is invalid?"
            raise rest_refusal(404, (7003, hint), NO_ROUTE)
        return await proceed()

    async def rest_gateway(self, call: Call, proceed: Proceed) -> Answer:
        """REST host: a gateway is optional, but a named one must exist."""
        if call.gateway not in {None, self._settings.gateway_id, "default"}:
            raise rest_refusal(400, (2001, GATEWAY_ERRORS[2001][1]))
        return await proceed()

    async def rest_model(self, call: Call, proceed: Proceed) -> Answer:
        """REST host: the model is in the catalogue, or its provider's key is stored."""
        requested = _requested_model(call)
        if requested is None:
            message = "Model execution failed (User Input Error): field 'model' is missing"
            raise rest_refusal(400, (7003, message))
        settings = self._settings
        known = self._take_prefix(call, requested)
        if requested.startswith("dynamic/"):
            known = call.gateway == settings.gateway_id
        elif requested.startswith("deepseek/"):
            known = call.model in settings.models or settings.upstream
        if not known:
            raise rest_refusal(404, (7003, f"Model not found: {requested}"))
        entry = settings.models.get(call.model)
        call.billed = not settings.stored_key
        if call.billed and entry is not None and not entry.billed and not settings.upstream:
            message = "This model is not available via unified billing. Please use BYOK."
            raise rest_refusal(402, (2021, message))
        return await proceed()

    def _take_prefix(self, call: Call, requested: str) -> bool:
        """Find out who serves a prefixed model; the answer is False when nobody does."""
        prefix, _, rest = requested.partition("/")
        if prefix == "deepseek":
            call.model = rest
            return True
        call.elsewhere = True
        call.model = requested
        if prefix == "dynamic":
            call.model = next(iter(self._settings.models))
            call.facts |= {"cf-aig-model": call.model, "cf-aig-provider": "deepseek"}
        elif requested == "cloudflare/auto":
            call.model = AUTO_ROUTER_FACTS["cf-aig-routed-model"]
            call.facts |= AUTO_ROUTER_FACTS
        elif prefix.startswith("custom-"):
            call.model = rest
        return prefix in {"dynamic", "@cf"} or call.model != requested


def _requested_model(call: Call) -> str | None:
    body = call.request.body
    model = body.get("model") if isinstance(body, dict) else None
    return model if isinstance(model, str) else None
