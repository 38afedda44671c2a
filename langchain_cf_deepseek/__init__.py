"""DeepSeek's models through Cloudflare AI Gateway, for LangChain.

Names are loaded on first use, so that importing the package for its version is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langchain_cf_deepseek._version import __version__

if TYPE_CHECKING:
    from langchain_cf_deepseek._reminder import latest_reminder
    from langchain_cf_deepseek.chat_models import ChatCloudflareDeepSeek
    from langchain_cf_deepseek.errors import (
        CFDeepSeekAPIError,
        CFDeepSeekAuthenticationError,
        CFDeepSeekConnectionError,
        CFDeepSeekContentBlockedError,
        CFDeepSeekContextOverflowError,
        CFDeepSeekEmptyResponseError,
        CFDeepSeekError,
        CFDeepSeekFetchError,
        CFDeepSeekFileNotFoundError,
        CFDeepSeekIncompleteStreamError,
        CFDeepSeekInsufficientFundsError,
        CFDeepSeekInvalidRequestError,
        CFDeepSeekLogNotFoundError,
        CFDeepSeekMaxTokensError,
        CFDeepSeekModelNotFoundError,
        CFDeepSeekPermissionDeniedError,
        CFDeepSeekRateLimitError,
        CFDeepSeekSpendLimitError,
        CFDeepSeekTimeoutError,
    )
    from langchain_cf_deepseek.gateway import CustomCost, GatewayOptions

__all__ = [
    "CFDeepSeekAPIError",
    "CFDeepSeekAuthenticationError",
    "CFDeepSeekConnectionError",
    "CFDeepSeekContentBlockedError",
    "CFDeepSeekContextOverflowError",
    "CFDeepSeekEmptyResponseError",
    "CFDeepSeekError",
    "CFDeepSeekFetchError",
    "CFDeepSeekFileNotFoundError",
    "CFDeepSeekIncompleteStreamError",
    "CFDeepSeekInsufficientFundsError",
    "CFDeepSeekInvalidRequestError",
    "CFDeepSeekLogNotFoundError",
    "CFDeepSeekMaxTokensError",
    "CFDeepSeekModelNotFoundError",
    "CFDeepSeekPermissionDeniedError",
    "CFDeepSeekRateLimitError",
    "CFDeepSeekSpendLimitError",
    "CFDeepSeekTimeoutError",
    "ChatCloudflareDeepSeek",
    "CustomCost",
    "GatewayOptions",
    "__version__",
    "latest_reminder",
]

_MODULE_OF = {
    "ChatCloudflareDeepSeek": "chat_models",
    "CustomCost": "gateway",
    "GatewayOptions": "gateway",
    "latest_reminder": "_reminder",
}


if not TYPE_CHECKING:  # a type checker must find misspelled names

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        return getattr(import_module(f"{__name__}.{_MODULE_OF.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return __all__
