"""Plain HTTP to the local gateway, without any chat client."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from langchain_cf_deepseek.local import LocalGateway, Routing, Rules

AT_LOCAL = {"cf-aig-gateway-id": "local"}
"""The gateway of a request to the REST host."""

QUESTION = {"role": "user", "content": "Why is the sky blue?"}


class Caller:
    """Sends requests to one gateway with one HTTP client."""

    def __init__(self, gateway: LocalGateway, http: httpx.Client) -> None:
        self.gateway = gateway
        self.http = http

    def headers(self, routing: Routing) -> dict[str, str]:
        if routing == "unified":
            return {"authorization": f"Bearer {self.gateway.cloudflare_api_token}"}
        return {
            "authorization": f"Bearer {self.gateway.api_key}",
            "cf-aig-authorization": f"Bearer {self.gateway.gateway_token}",
        }

    def post(
        self,
        body: dict[str, Any] | None = None,
        *,
        routing: Routing = "provider-native",
        path: str = "chat/completions",
        without: tuple[str, ...] = (),
        headers: dict[str, str] | None = None,
        **fields: Any,
    ) -> httpx.Response:
        """Send the standard question, with changed fields of the body and headers."""
        model = "deepseek-flash" if routing == "provider-native" else "deepseek/deepseek-flash"
        sent = {**self.headers(routing), **(headers or {})}
        return self.http.post(
            f"{self.gateway.base_url(routing)}/{path}",
            json={"model": model, "messages": [QUESTION], **fields} if body is None else body,
            headers={name: value for name, value in sent.items() if name not in without},
        )

    def stream(self, **kwargs: Any) -> list[dict[str, Any]]:
        """Request a stream, which must be complete, and return its chunks."""
        return chunks(self.post(stream=True, **kwargs).text)


def chunks(text: str) -> list[dict[str, Any]]:
    events = [event for event in text.split("\n\n") if event and not event.startswith(":")]
    assert events[-1] == "data: [DONE]"
    return [json.loads(event.removeprefix("data: ")) for event in events[:-1]]


def content_of(streamed: list[dict[str, Any]]) -> str:
    return "".join(
        choice["delta"].get("content") or "" for chunk in streamed for choice in chunk["choices"]
    )


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=30) as client:
        yield client


@pytest.fixture
def ask(gw: LocalGateway, http: httpx.Client) -> Caller:
    return Caller(gw, http)


StartGateway = Callable[..., Caller]


@pytest.fixture
def start_gateway(http: httpx.Client) -> Iterator[StartGateway]:
    """Start a gateway with its own rules."""
    with ExitStack() as running:

        def start(*, stored_key: Any = False, **rules: Any) -> Caller:
            gateway = LocalGateway(stored_key=stored_key, rules=Rules(**rules))
            return Caller(running.enter_context(gateway), http)

        yield start


def code_of(response: httpx.Response) -> tuple[int, int]:
    """Return the status and the code of a refusal of either host."""
    body = response.json()
    faults = body["error"] if "error" in body else body["errors"]
    return response.status_code, faults[0]["code"]


def text_of(response: httpx.Response) -> str:
    assert response.status_code == 200
    text: str = response.json()["choices"][0]["message"]["content"]
    return text
