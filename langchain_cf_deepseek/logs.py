"""The gateway's log of a message: its cost, the bodies of request and response, and feedback.

Built on Cloudflare's own Python SDK (extra `logs`). This module finds the log of a message, waits
for it, and raises this package's errors; for anything else use the SDK itself.
https://developers.cloudflare.com/ai-gateway/evaluations/add-human-feedback-api/
"""

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

from langchain_core.messages import AIMessage
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from langchain_cf_deepseek._logs_api import (
    PollingBackoff,
    async_client,
    feedback_body,
    log_id_of,
    read_response,
    sync_client,
    typed_errors,
)
from langchain_cf_deepseek._redaction import construct
from langchain_cf_deepseek._routing import (
    check_account_id,
    check_credential,
    check_gateway_id,
    checked_url,
    parse_endpoint,
)
from langchain_cf_deepseek._settings import from_env, hide_secrets, secret_from_env
from langchain_cf_deepseek.data.routings import API_URL, VARIABLES
from langchain_cf_deepseek.errors import CFDeepSeekLogNotFoundError

if TYPE_CHECKING:
    from cloudflare.types.ai_gateway import LogGetResponse

    from langchain_cf_deepseek.chat_models import ChatCloudflareDeepSeek

_NOTHING: Mapping[str, Any] = {}


class GatewayLogs(BaseModel):
    """The logs of one gateway.

    Example:
        ```python
        from langchain_cf_deepseek import ChatCloudflareDeepSeek
        from langchain_cf_deepseek.logs import GatewayLogs

        llm = ChatCloudflareDeepSeek(model="deepseek-flash")
        logs = GatewayLogs.of(llm)

        message = llm.invoke("Why is the sky blue?")
        logs.feedback(message, 1, score=90, metadata={"judge": "a reader"})
        entry = logs.get(message)
        print(f"{entry.tokens_in} + {entry.tokens_out} tokens, ${entry.cost:.6f}")
        ```

        ```text
        51 + 59 tokens, $0.000043
        ```

    Every method takes a message or a log id, and has an async twin. Each call opens a connection
    and closes it, so an object can be used in any thread, event loop or process.

    Raises:
        pydantic.ValidationError: A setting is missing or malformed.
        ValueError: A message has no log id, or Cloudflare does not accept a value; nothing was
            sent.
        CFDeepSeekLogNotFoundError: The log did not appear within `wait` seconds.
        CFDeepSeekError: The request failed otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    account_id: str | None = Field(default_factory=from_env(VARIABLES["account_id"]))
    """Cloudflare account, 32 lower-case hexadecimal digits; variable CLOUDFLARE_ACCOUNT_ID."""

    gateway_id: str | None = Field(default_factory=from_env(VARIABLES["gateway_id"]))
    """Name of the gateway; environment variable CLOUDFLARE_GATEWAY_ID.

    `default` is where requests on `unified` routing without a gateway are logged.
    """

    api_token: SecretStr | None = Field(
        default_factory=secret_from_env(VARIABLES["cloudflare_api_token"])
    )
    """Cloudflare token with the permission AI Gateway Read; variable CLOUDFLARE_API_TOKEN.

    Feedback also needs AI Gateway Edit. The permissions for chat requests are not enough: neither
    AI Gateway Run of the gateway token, nor Workers AI Read of `unified` routing; but one token
    can have all of these permissions.
    """

    base_url: str | None = Field(default_factory=from_env("CLOUDFLARE_BASE_URL"))
    """Replaces `https://api.cloudflare.com/client/v4`; the SDK's variable CLOUDFLARE_BASE_URL."""

    wait: float = Field(default=10.0, ge=0, allow_inf_nan=False)
    """How many seconds to wait for a log that does not exist yet.

    Cloudflare writes logs after the response: most at once, some half a second or a few seconds
    later.
    """

    def __init__(self, **settings: Any) -> None:
        construct(super().__init__, **settings)

    @model_validator(mode="before")
    @classmethod
    def _hide_token(cls, values: Any) -> Any:
        # A validation error keeps its input, which must hold no readable credential.
        if isinstance(values, dict):
            hide_secrets(values, cls.model_fields, ["api_token"])
        return values

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_account_id(self.account_id)
        if not self.gateway_id:
            msg = (
                "`gateway_id` is missing: pass it or set CLOUDFLARE_GATEWAY_ID; requests on "
                "`unified` routing without one are logged in the gateway 'default'."
            )
            raise ValueError(msg)
        check_gateway_id(self.gateway_id)
        if not self.api_token or not (token := self.api_token.get_secret_value()):
            msg = (
                "`api_token` is missing: pass it or set CLOUDFLARE_API_TOKEN to a Cloudflare token "
                "with the permission AI Gateway Read, and AI Gateway Edit to write feedback."
            )
            raise ValueError(msg)
        check_credential(token, "api_token", "CLOUDFLARE_API_TOKEN")
        if self.base_url:
            checked_url(self.base_url, "`base_url` (CLOUDFLARE_BASE_URL)", example=API_URL)
        return self

    @classmethod
    def of(cls, llm: "ChatCloudflareDeepSeek", **settings: Any) -> Self:
        """Return the logs of the gateway that a chat model uses.

        Account, gateway and, on `unified` routing, `base_url` are taken from the URL of the model's
        requests, or else from its fields. The token is the model's `cloudflare_api_token`, which
        is for the same API; no other credential of the model is used.

        Args:
            llm: The model.
            **settings: Fields of this class that replace those of the model.
        """
        ids = parse_endpoint(llm.endpoint)
        default_gateway = "default" if llm.routing == "unified" else None
        derived: dict[str, Any] = {
            "account_id": llm.account_id,
            "gateway_id": llm.gateway_id or default_gateway,
            "api_token": llm.cloudflare_api_token,
            "base_url": ids.pop("api_url", None),
            **ids,
        }
        return cls(**{name: value for name, value in derived.items() if value} | settings)

    def get(self, log: AIMessage | str) -> "LogGetResponse":
        """Return the log entry: `cost` in US dollars, `duration` in milliseconds, tokens, status.

        Its `metadata` is a dict, although the SDK calls it a string.
        """
        entry: LogGetResponse = self._send("get", log)
        return entry

    async def aget(self, log: AIMessage | str) -> "LogGetResponse":
        """`get` for an event loop."""
        entry: LogGetResponse = await self._asend("get", log)
        return entry

    def feedback(
        self,
        log: AIMessage | str,
        feedback: Literal[-1, 0, 1] | None = None,
        *,
        score: int | None = None,
        metadata: Mapping[str, str | float | bool] | None = None,
    ) -> None:
        """Write feedback to the log entry; what is not given is not changed.

        Args:
            log: The message, or the id of its log.
            feedback: 1 for good, -1 for bad, 0 for neither.
            score: 0 to 100.
            metadata: At most five tags: strings, numbers or booleans. Cloudflare does not document
                whether they are added to the tags of the request or replace them.
        """
        self._send("edit", log, feedback_body(feedback, score, metadata))

    async def afeedback(
        self,
        log: AIMessage | str,
        feedback: Literal[-1, 0, 1] | None = None,
        *,
        score: int | None = None,
        metadata: Mapping[str, str | float | bool] | None = None,
    ) -> None:
        """`feedback` for an event loop."""
        await self._asend("edit", log, feedback_body(feedback, score, metadata))

    def request(self, log: AIMessage | str) -> Any:
        """Return the stored body of the request: its JSON value, or its text if it is not JSON."""
        return self._send("request", log)

    async def arequest(self, log: AIMessage | str) -> Any:
        """`request` for an event loop."""
        return await self._asend("request", log)

    def response(self, log: AIMessage | str) -> Any:
        """Return the stored body of the response: its JSON value, or its text if it is not JSON."""
        return self._send("response", log)

    async def aresponse(self, log: AIMessage | str) -> Any:
        """`response` for an event loop."""
        return await self._asend("response", log)

    def _send(
        self, operation: str, log: AIMessage | str, body: Mapping[str, Any] = _NOTHING
    ) -> Any:
        arguments = self._arguments(log)
        backoff = PollingBackoff(self.wait)
        with sync_client(self._token, self.base_url) as client:
            send = getattr(client.ai_gateway.logs.with_raw_response, operation)
            while True:
                try:
                    with typed_errors():
                        response = send(**arguments, **body)
                        return read_response(operation, response.http_response)
                except CFDeepSeekLogNotFoundError as error:
                    time.sleep(backoff.next_delay(error))

    async def _asend(
        self, operation: str, log: AIMessage | str, body: Mapping[str, Any] = _NOTHING
    ) -> Any:
        arguments = self._arguments(log)
        backoff = PollingBackoff(self.wait)
        # The first client reads certificates, which must not block the event loop.
        async with await asyncio.to_thread(async_client, self._token, self.base_url) as client:
            send = getattr(client.ai_gateway.logs.with_raw_response, operation)
            while True:
                try:
                    with typed_errors():
                        response = await send(**arguments, **body)
                        return read_response(operation, response.http_response)
                except CFDeepSeekLogNotFoundError as error:
                    await asyncio.sleep(backoff.next_delay(error))

    def _arguments(self, log: AIMessage | str) -> dict[str, Any]:
        return {"id": log_id_of(log), "account_id": self.account_id, "gateway_id": self.gateway_id}

    @property
    def _token(self) -> str:
        return self.api_token.get_secret_value() if self.api_token else ""
