"""Our client and its peers, each as its own documentation says to point it at a gateway."""

from collections.abc import Callable
from typing import Any

from langchain_deepseek import ChatDeepSeek
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from langchain_cf_deepseek.local import LocalGateway

TOKEN = "cf-aig-authorization"


def _here(gw: LocalGateway, base_url: str, **settings: Any) -> Any:
    return gw.chat_model(base_url=base_url, **settings)


def _chat_openai(gw: LocalGateway, base_url: str, **settings: Any) -> Any:
    return ChatOpenAI(
        model="deepseek-flash",
        base_url=base_url,
        api_key=SecretStr(gw.api_key),
        default_headers={TOKEN: f"Bearer {gw.gateway_token}"},
        **settings,
    )


def _chat_deepseek(gw: LocalGateway, base_url: str, **settings: Any) -> Any:
    return ChatDeepSeek(
        model="deepseek-flash",
        api_base=base_url,  # type: ignore[call-arg]  # mypy does not see the alias of a subclass
        api_key=SecretStr(gw.api_key),
        default_headers={TOKEN: f"Bearer {gw.gateway_token}"},
        **settings,
    )


CLIENTS: dict[str, Callable[..., Any]] = {
    "here": _here,
    "`ChatOpenAI`": _chat_openai,
    "`ChatDeepSeek`": _chat_deepseek,
}
