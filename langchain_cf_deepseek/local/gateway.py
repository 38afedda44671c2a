"""`LocalGateway`: the gateway as tests and the command line use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from langchain_cf_deepseek.data.routings import API_PATH, PATHS, VARIABLES, Routing
from langchain_cf_deepseek.local.cloudflare.admission import DEFAULT_ALIAS, Settings
from langchain_cf_deepseek.local.cloudflare.endpoints import Gateway, Provider
from langchain_cf_deepseek.local.cloudflare.rules import Rules
from langchain_cf_deepseek.local.deepseek.chat import DeepSeek, Passback, UsageChunk
from langchain_cf_deepseek.local.deepseek.models import MODELS, Model
from langchain_cf_deepseek.local.exchange import RecordedRequest
from langchain_cf_deepseek.local.faults.catalog import failure
from langchain_cf_deepseek.local.faults.specification import Fault
from langchain_cf_deepseek.local.http.server import HOST, Server
from langchain_cf_deepseek.local.http.upstream import Upstream
from langchain_cf_deepseek.local.simulated_model.replies import Reply

if TYPE_CHECKING:
    from langchain_cf_deepseek import ChatCloudflareDeepSeek
    from langchain_cf_deepseek.logs import GatewayLogs

ACCOUNT_ID = "0123456789abcdef0123456789abcdef"
GATEWAY_ID = "local"
# Pretended credentials, good for nothing but this gateway.
GATEWAY_TOKEN = "local-gateway-token"  # noqa: S105
API_KEY = "local-deepseek-key"
CLOUDFLARE_API_TOKEN = "local-cloudflare-token"  # noqa: S105


class LocalGateway:
    """Cloudflare AI Gateway and DeepSeek on this machine, over real HTTP.

    It listens on 127.0.0.1 only, knows one account with fixed, pretended credentials, and is made
    for trying out and for tests, not for production. Use it as a context manager, or call `start`
    and `stop`.

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
    ) -> None:
        """Set up a gateway; it serves from `start` on.

        Args:
            port: The port to listen on, or 0 for any free one.
            upstream: Base URL of an OpenAI-compatible server that answers instead of the
                pretend model: everything before `/chat/completions`.
            upstream_api_key: The upstream's key. Without it the caller's own key is passed on.
            account_id: The one account, 32 lower-case hexadecimal digits.
            gateway_id: The one gateway, besides `default`.
            gateway_token: What `cf-aig-authorization` must hold on the gateway host.
            api_key: The DeepSeek key that is accepted.
            cloudflare_api_token: What `Authorization` must hold on the REST host.
            stored_key: Whether a DeepSeek key is stored in the gateway (BYOK), so that requests
                need none; or the keys stored, by alias.
            authenticated: Whether the gateway host asks for the gateway token.
            models: The models served, by name. The first one answers routes that have no
                steps of their own.
            passback: Which models refuse earlier assistant turns without `reasoning_content`:
                none, only V4 Pro, or all.
            keep_alive: How many `: keep-alive` comments precede the first chunk of a stream, and
                how many blank lines a whole answer.
            usage_chunk: How the unified endpoint streams usage: `deepseek` puts it into the last
                chunk with content, `catalogue` into a chunk of its own, as for the models that
                Cloudflare resells. None means `catalogue` for `deepseek-v4-pro` without a stored
                key, which Cloudflare resells, and `deepseek` for all others.
            unified_headers: Whether the unified endpoint sends `cf-aig-log-id` and its like.
            log_delay: Seconds until a call that has ended can be seen in the logs.
            rules: Limits, guardrails, DLP, routes, retries and the like; none without it.
        """
        self.account_id = account_id
        self.gateway_id = gateway_id
        self.gateway_token = gateway_token
        self.api_key = api_key
        self.cloudflare_api_token = cloudflare_api_token
        self._port = port
        provider: Provider
        if upstream is None:
            provider = DeepSeek(
                models=models,
                passback=passback,
                keep_alive=int(keep_alive),
                usage_chunk=usage_chunk,
            )
        else:
            provider = Upstream(upstream, upstream_api_key, api_key)
        self._provider = provider
        rules = rules or Rules()
        self._gateway = Gateway(
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
        """Listen. Returns when requests are answered."""
        if self._server is not None:
            msg = "The local gateway is running already."
            raise RuntimeError(msg)
        server = Server(self._gateway.app, self._port, self._provider.aclose)
        server.start()
        self._server = server
        return self

    def stop(self) -> None:
        """Cut every connection and stop listening."""
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
        """The base URL of one door: everything before `/chat/completions`."""
        path = PATHS[routing].format(account_id=self.account_id, gateway_id=self.gateway_id)
        return self.url + path

    @property
    def requests(self) -> list[RecordedRequest]:
        """Every request received, in order; the latest 10,000."""
        return self._gateway.recorded()

    @property
    def upstream_calls(self) -> int:
        """How often the provider was asked: again and again where an attempt failed.

        Not for requests that were refused or answered from the cache.
        """
        return self._gateway.memory.enforcement.upstream_calls

    def chat_model(self, **kwargs: Any) -> ChatCloudflareDeepSeek:
        """Make a chat model that talks to this gateway.

        Args:
            **kwargs: Fields of `ChatCloudflareDeepSeek`, instead of the gateway's own.
        """
        # The gateway itself does without the client.
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
        """Make what reads this gateway's logs, and gives feedback on them (extra `logs`).

        Args:
            **kwargs: Fields of `GatewayLogs`, instead of the gateway's own.
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
        """The environment variables that point the client at this gateway."""
        settings = {
            "routing": routing,
            "account_id": self.account_id,
            "gateway_id": self.gateway_id,
            "base_url": self.base_url(routing),
            **self._credentials(routing),
        }
        return {VARIABLES[field]: value for field, value in settings.items()}

    def _credentials(self, routing: Routing) -> dict[str, str]:
        if routing == "unified":
            return {"cloudflare_api_token": self.cloudflare_api_token}
        return {"api_key": self.api_key, "gateway_token": self.gateway_token}

    def reply(self, reply: Reply | None = None, /, **fields: Any) -> None:
        """Script the next answer; several are given in order, then the pretend model goes on.

        Args:
            reply: The answer.
            **fields: The fields of a `Reply`, instead of one.

        Raises:
            TypeError: The gateway has an upstream, which says what it likes.
        """
        if isinstance(self._provider, Upstream):
            msg = "Replies cannot be scripted: the upstream answers."
            raise TypeError(msg)
        self._gateway.memory.replies.append(reply or Reply(**fields))

    def fault(self, fault: Fault | None = None, /, **fields: Any) -> None:
        """Order a fault.

        Args:
            fault: The fault.
            **fields: The fields of a `Fault`, instead of one.
        """
        self._gateway.memory.faults.add(fault or Fault(**fields))

    def fail_next(self, name: str, *, times: int | None = 1) -> None:
        """Order a failure that Cloudflare or DeepSeek is known for.

        Args:
            name: One of `FAILURES`, `gateway-token` or `spend-limit` for instance.
            times: How many requests it strikes; None strikes all.

        Raises:
            ValueError: No failure is called so.
        """
        self.fault(replace(failure(name), times=times))

    def reset(self) -> None:
        """Forget requests, scripted replies, faults, cached answers, logs and all that counts.

        A call under way finds what was there when it came, and leaves nothing behind.
        """
        self._gateway.reset()


def _stored_keys(stored: bool | Mapping[str, str], api_key: str) -> Mapping[str, str]:
    if isinstance(stored, Mapping):
        return stored
    return {DEFAULT_ALIAS: api_key} if stored else {}
