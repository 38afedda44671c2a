"""Forwarding to another OpenAI-compatible server, which then answers in place of DeepSeek."""

from __future__ import annotations

import httpx

from langchain_cf_deepseek.data.routings import LOOPBACK_MOUNTS
from langchain_cf_deepseek.local.exchange import EVENT_STREAM, Answer, Call, Stream
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
"""Headers of one hop, of this gateway, or of nobody else's business."""

_NOT_RETURNED = _NOT_FORWARDED | {"content-type", "date", "server"}


class Upstream:
    """A server that answers `/chat/completions` below a base URL."""

    def __init__(self, url: str, api_key: str | None, local_api_key: str) -> None:
        """Prepare an upstream.

        Args:
            url: Everything before `/chat/completions`.
            api_key: The upstream's key, sent instead of the caller's.
            local_api_key: The gateway's own pretend key, which stays here.
        """
        self._url = url.rstrip("/")
        self._api_key = api_key
        self._local_authorization = f"Bearer {local_api_key}"
        self._client: httpx.AsyncClient | None = None

    def reset(self) -> None:
        """Nothing is remembered."""

    async def aclose(self) -> None:
        """Close the connections to the upstream."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def answer(self, call: Call) -> Answer:
        """Forward a call and hand on the answer, a stream as it comes."""
        client = self._opened()
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
            body: bytes | Stream = _forwarded(response, call)
        else:
            try:
                body = await response.aread()
            except httpx.HTTPError as error:
                raise refusal(call, UPSTREAM_FAILED) from error
            finally:
                await response.aclose()
        return Answer(response.status_code, body, content_type, headers)

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            # No connection is used twice: some servers close theirs although they announce
            # keep-alive.
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
            timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
            # A proxy of the environment is for other machines.
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


async def _forwarded(response: httpx.Response, call: Call) -> Stream:
    try:
        async for piece in response.aiter_raw():
            yield piece
    except httpx.HTTPError:
        # The caller must see that the upstream broke off.
        await call.reset()
    finally:
        await response.aclose()
