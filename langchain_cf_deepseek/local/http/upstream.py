"""The upstream: another OpenAI-compatible server that replaces DeepSeek."""

from __future__ import annotations

import httpx

from langchain_cf_deepseek.data.routings import LOOPBACK_MOUNTS
from langchain_cf_deepseek.local.exchange import EVENT_STREAM, Call, GatewayResponse, Stream
from langchain_cf_deepseek.local.faults.error_bodies import UPSTREAM_FAILED, refusal

CONNECT_SECONDS = 10

_NOT_FORWARDED = {
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
"""Hop-by-hop headers, and those that only concern this gateway."""

_NOT_RETURNED = _NOT_FORWARDED | {"content-type", "date", "server"}


class Upstream:
    """An OpenAI-compatible server at a base URL."""

    def __init__(self, url: str, api_key: str | None, local_api_key: str) -> None:
        """Configure an upstream.

        Args:
            url: Everything before `/chat/completions`.
            api_key: The upstream's key, sent instead of the caller's.
            local_api_key: The gateway's fake key, which is never forwarded.
        """
        self._url = url.rstrip("/")
        self._api_key = api_key
        self._local_authorization = f"Bearer {local_api_key}"
        self._client: httpx.AsyncClient | None = None

    def fresh(self) -> Upstream:
        """Return this upstream, which remembers nothing."""
        return self

    async def aclose(self) -> None:
        """Close the connections to the upstream."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def respond(self, call: Call) -> GatewayResponse:
        """Forward a request and return the response, a stream piece by piece."""
        client = self._get_client()
        request = client.build_request(
            call.request.method,
            f"{self._url}/{call.endpoint}",
            params=call.request.query,
            content=call.provider_body(),
            headers=self._headers(call),
        )
        try:
            response = await client.send(request, stream=True)
        except httpx.HTTPError as error:
            raise refusal(call, UPSTREAM_FAILED) from error
        content_type = response.headers.get("content-type")
        headers = {
            name: value for name, value in response.headers.items() if name not in _NOT_RETURNED
        }
        if content_type is not None and content_type.startswith(EVENT_STREAM):
            body: bytes | Stream = _forward_stream(response, call)
        else:
            try:
                body = await response.aread()
            except httpx.HTTPError as error:
                raise refusal(call, UPSTREAM_FAILED) from error
            finally:
                await response.aclose()
        return GatewayResponse(response.status_code, body, content_type, headers)

    def _get_client(self) -> httpx.AsyncClient:
        if self._client is None:
            # Connections are not reused: some servers close theirs although they announce
            # keep-alive.
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
            timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
            # The proxy settings of the environment do not apply to this machine.
            direct = dict.fromkeys(LOOPBACK_MOUNTS)
            self._client = httpx.AsyncClient(limits=limits, timeout=timeout, mounts=direct)
        return self._client

    def _headers(self, call: Call) -> dict[str, str]:
        received = call.request.headers
        headers = {
            name: value
            for name, value in received.items()
            if name not in _NOT_FORWARDED and not name.startswith("cf-")
        }
        headers["accept-encoding"] = "identity"
        authorization = None if call.on_rest_host else received.get("authorization")
        if self._api_key is not None:
            authorization = f"Bearer {self._api_key}"
        if authorization is not None and authorization != self._local_authorization:
            headers["authorization"] = authorization
        return headers


async def _forward_stream(response: httpx.Response, call: Call) -> Stream:
    try:
        async for piece in response.aiter_raw():
            yield piece
    except httpx.HTTPError:
        # The client must notice that the upstream's response is truncated.
        await call.reset()
    finally:
        await response.aclose()
