"""DeepSeek's models through Cloudflare AI Gateway, for LangChain."""

from langchain_cf_deepseek._version import __version__

__all__ = ["__version__"]
