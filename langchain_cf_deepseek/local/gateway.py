"""`LocalGateway`: the local gateway's public class."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from langchain_cf_deepseek.data.routings import API_PATH, PATHS, VARIABLES, Routing
from langchain_cf_deepseek.local.application import GatewayApplication, Provider
from langchain_cf_deepseek.local.cloudflare.admission import DEFAULT_ALIAS, Settings
from langchain_cf_deepseek.local.cloudflare.rules import Rules
from langchain_cf_deepseek.local.deepseek.chat import ChatSettings, Passback, UsageChunk
from langchain_cf_deepseek.local.deepseek.documents import FileLimits
from langchain_cf_deepseek.local.deepseek.models import MODELS, Model
from langchain_cf_deepseek.local.deepseek.service import DeepSeek
from langchain_cf_deepseek.local.exchange import RecordedRequest
from langchain_cf_deepseek.local.http.server import HOST, Server
from langchain_cf_deepseek.local.http.upstream import Upstream
from langchain_cf_deepseek.local.scripting import Scripting
from langchain_cf_deepseek.local.simulated_model.web import Web, WebPage

if TYPE_CHECKING:
    from langchain_cf_deepseek import ChatCloudflareDeepSeek
    from langchain_cf_deepseek.logs import GatewayLogs

ACCOUNT_ID = "0123456789abcdef0123456789abcdef"
GATEWAY_ID = "local"
# Fake credentials, which only this gateway accepts.
GATEWAY_TOKEN = "local-gateway-token"  # noqa: S105
API_KEY = "local-deepseek-key"
CLOUDFLARE_API_TOKEN = "local-cloudflare-token"  # noqa: S105


class LocalGateway(Scripting):
    """Cloudflare AI Gateway and DeepSeek on this machine, over real HTTP.

    It is for experiments and tests, not for production: it listens on 127.0.0.1 only, and has one
    account with fake credentials. Use it as a context manager, or call `start` and `stop`.

    Example:
        ```python
        with LocalGateway() as gateway:
            gateway.reply(content="Because of Rayleigh scattering.", reasoning="Physics.")
            print(gateway.chat_model().invoke("Why is the sky blue?").content)
            print(gateway.requests[-1].headers["cf-aig-authorization"])
        ```
    """

    def __init__(
        self,
        *,
        port: int = 0,
        upstream: str | None = None,
        upstream_api_key: str | None = None,
        account_id: str = ACCOUNT_ID,
        gateway_id: str = GATEWAY_ID,
        gateway_token: str = GATEWAY_TOKEN,
        api_key: str = API_KEY,
        cloudflare_api_token: str = CLOUDFLARE_API_TOKEN,
        stored_key: bool | Mapping[str, str] = False,
        authenticated: bool = True,
        models: Mapping[str, Model] = MODELS,
        passback: Passback = "strict",
        keep_alive: int | bool = 0,
        usage_chunk: UsageChunk | None = None,
        unified_headers: bool = True,
        log_delay: float = 0,
        rules: Rules | None = None,
        web: Mapping[str, WebPage | tuple[str, str]] | None = None,
        file_limits: FileLimits | None = None,
    ) -> None:
        """Configure a gateway; `start` starts it.

        Args:
            port: The port to listen on, or 0 for any free one.
            upstream: Base URL of an OpenAI-compatible server that replaces the simulated model:
                everything before `/chat/completions`.
            upstream_api_key: The upstream's key. Without it the caller's key is forwarded.
            account_id: The one account, 32 lower-case hexadecimal digits.
            gateway_id: The one gateway, besides `default`.
            gateway_token: What `cf-aig-authorization` must hold on the gateway host.
            api_key: The DeepSeek key that the gateway accepts.
            cloudflare_api_token: What `Authorization` must hold on the REST host.
            stored_key: Whether a DeepSeek key is stored in the gateway (BYOK), so that requests
                need none; or the stored keys by alias.
            authenticated: Whether the gateway host requires the gateway token.
            models: The models served, by name. The first one serves routes without steps.
            passback: Which models reject earlier assistant turns without `reasoning_content`:
                none, only V4 Pro, or all.
            keep_alive: How many `: keep-alive` comments precede the first chunk of a stream, and
                how many blank lines precede a response that is not streamed.
            usage_chunk: How the unified endpoint streams usage: `deepseek` puts it into the last
                chunk with content, `catalogue` into a separate chunk, as for the models that
                Cloudflare resells. None means `catalogue` for `deepseek-v4-pro` without a stored
                key, which Cloudflare resells, and `deepseek` for all other models.
            unified_headers: Whether the unified endpoint sends `cf-aig-log-id` and similar headers.
            log_delay: Seconds until a completed call is visible in the logs.
            rules: Limits, guardrails, DLP, routes, retries and similar settings.
            web: The pages that server tools, Search and Fetch find, by URL: each a `WebPage`, or
                its title and its Markdown.
            file_limits: The sizes and numbers of uploaded files.
        """
        self.account_id = account_id
        self.gateway_id = gateway_id
        self.gateway_token = gateway_token
        self.api_key = api_key
        self.cloudflare_api_token = cloudflare_api_token
        self._port = port
        rules = rules or Rules()
        provider: Provider
        if upstream is None:
            chat = ChatSettings(
                models=models,
                passback=passback,
                keep_alive=int(keep_alive),
                usage_chunk=usage_chunk,
                assumptions=rules.assumptions,
                web=Web(web or {}),
            )
            provider = DeepSeek(chat, file_limits or FileLimits())
        else:
            provider = Upstream(upstream, upstream_api_key, api_key)
        self._provider = provider
        self._application = GatewayApplication(
            Settings(
                account_id=account_id,
                gateway_id=gateway_id,
                gateway_token=gateway_token,
                api_key=api_key,
                cloudflare_api_token=cloudflare_api_token,
                authenticated=authenticated,
                stored_keys=_stored_keys(stored_key, api_key),
                byok_only=rules.byok_only,
                models=models,
                upstream=upstream is not None,
                assumptions=rules.assumptions,
            ),
            rules,
            provider,
            unified_headers=unified_headers,
            log_delay=log_delay,
        )
        self._server: Server | None = None

    def start(self) -> Self:
        """Start the server; returns when it accepts requests."""
        if self._server is not None:
            msg = "The local gateway is running already."
            raise RuntimeError(msg)
        server = Server(self._application.app, self._port, self._provider.aclose)
        server.start()
        self._server = server
        return self

    def stop(self) -> None:
        """Close every connection and stop the server."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        if self._server is None:
            msg = "The local gateway is not running: use it in a `with` block, or call start()."
            raise RuntimeError(msg)
        return f"http://{HOST}:{self._server.port}"

    def base_url(self, routing: Routing = "provider-native") -> str:
        """The base URL of one routing: everything before `/chat/completions`."""
        path = PATHS[routing].format(account_id=self.account_id, gateway_id=self.gateway_id)
        return self.url + path

    @property
    def requests(self) -> list[RecordedRequest]:
        """The latest requests received, in order: at most 10,000, and 64 MiB of bodies."""
        return self._application.recorded_requests()

    @property
    def upstream_calls(self) -> int:
        """How many requests the provider received, retries included.

        Requests that the gateway refused or served from its cache do not count.
        """
        return self._application.generation.rules.upstream_calls

    def chat_model(self, **kwargs: Any) -> ChatCloudflareDeepSeek:
        """Create a chat model that sends its requests to this gateway.

        Args:
            **kwargs: Fields of `ChatCloudflareDeepSeek`; they override the gateway's.
        """
        # The gateway itself does not need the client.
        from langchain_cf_deepseek import ChatCloudflareDeepSeek  # noqa: PLC0415

        routing: Routing = kwargs.pop("routing", "provider-native")
        fields = {
            "model": "deepseek-flash",
            "routing": routing,
            "account_id": self.account_id,
            "gateway_id": self.gateway_id,
            "base_url": self.base_url(routing),
            **self._credentials(routing),
        }
        return ChatCloudflareDeepSeek(**{**fields, **kwargs})

    def logs(self, **kwargs: Any) -> GatewayLogs:
        """Create a `GatewayLogs` for this gateway (extra `logs`).

        Args:
            **kwargs: Fields of `GatewayLogs`; they override the gateway's.
        """
        from langchain_cf_deepseek.logs import GatewayLogs  # noqa: PLC0415

        fields = {
            "account_id": self.account_id,
            "gateway_id": self.gateway_id,
            "api_token": self.cloudflare_api_token,
            "base_url": self.url + API_PATH,
        }
        return GatewayLogs(**{**fields, **kwargs})

    def environment(self, routing: Routing = "provider-native") -> dict[str, str]:
        """The environment variables that point the client and `GatewayLogs` at this gateway."""
        settings = {
            "routing": routing,
            "account_id": self.account_id,
            "gateway_id": self.gateway_id,
            "base_url": self.base_url(routing),
            **self._credentials(routing),
            "cloudflare_api_token": self.cloudflare_api_token,
        }
        variables = {VARIABLES[field]: value for field, value in settings.items()}
        return {**variables, "CLOUDFLARE_BASE_URL": self.url + API_PATH}

    def _credentials(self, routing: Routing) -> dict[str, str]:
        if routing == "unified":
            return {"cloudflare_api_token": self.cloudflare_api_token}
        return {"api_key": self.api_key, "gateway_token": self.gateway_token}

    def reset(self) -> None:
        """Drop all requests, replies, faults, cached responses, logs and counts.

        A request in flight is completed with the state from before the reset, and changes nothing
        afterwards.
        """
        self._application.reset()


def _stored_keys(stored: bool | Mapping[str, str], api_key: str) -> Mapping[str, str]:
    if isinstance(stored, Mapping):
        return stored
    return {DEFAULT_ALIAS: api_key} if stored else {}
