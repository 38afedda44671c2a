"""Why a host could not be reached: DNS, TCP, TLS or a proxy."""

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from langchain_cf_deepseek._errors.certificates import SET_CERTIFICATES, UNTRUSTED, iter_causes
from langchain_cf_deepseek.data.routings import LOOPBACK_HOSTS
from langchain_cf_deepseek.errors import CFDeepSeekError

_NETWORK = (
    "Allow this machine to reach it: a firewall might block it, or a proxy might be needed "
    "(HTTPS_PROXY)."
)

# By the name of an exception in the chain of causes, or of a base class; the first match applies.
# The SDK uses one of two HTTP libraries, whose exceptions have the same names.
_REASONS = (
    ("ProxyError", "the proxy rejected the connection: {cause}", "{check}"),
    ("gaierror", "DNS cannot resolve {peer}", "{check}"),
    (
        "SSLCertVerificationError",
        UNTRUSTED,
        SET_CERTIFICATES,
    ),
    ("SSLError", "{peer} does not speak TLS: {cause}", "{check}"),
    ("ImportError", "the proxy cannot be used: {cause}", "{check}"),
    ("ValueError", "the proxy cannot be used: {cause}", "{check}"),
    (
        "ReadTimeout",
        "{peer} accepted the connection, but did not respond in time",
        "Try again in a moment; if it persists, ask the administrator of the network or proxy.",
    ),
    ("TimeoutException", "{peer} did not accept the connection in time", _NETWORK),
    ("ConnectionRefusedError", "nothing listens at {peer}", "{check}"),
    ("ConnectError", "cannot connect to {peer}: {cause}", _NETWORK),
    ("Exception", "the connection to {peer} was lost: {cause}", "Try again in a moment."),
)

_CHECK_HOST = "Check host and port of `base_url` (CLOUDFLARE_AI_GATEWAY_BASE_URL), and the network."
_CHECK_PROXY = "Check the proxy settings of this machine (HTTPS_PROXY, ALL_PROXY, NO_PROXY)."


def diagnose_connection(error: CFDeepSeekError, url: str) -> tuple[str, str]:
    """Return why `url` could not be reached, and the one thing to change."""
    names = [
        kind.__name__ for cause in iter_causes(error.__cause__) for kind in type(cause).__mro__
    ]
    found, change = next(row[1:] for row in _REASONS if row[0] in names)
    proxy = proxy_to(url)
    values = {
        "host": address(url),
        "peer": f"the proxy {proxy}" if proxy else address(url),
        "cause": str(error.__cause__),
        "check": _CHECK_PROXY if proxy else _CHECK_HOST,
    }
    return found.format(**values), change.format(**values)


def address(url: str) -> str:
    """Return only host and port of `url`: the rest can contain a credential."""
    parts = urlsplit(url if "://" in url else f"//{url}")
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def proxy_to(url: str) -> str | None:
    """Return host and port of the proxy for requests to `url`; `None` without a proxy."""
    parts = urlsplit(url)
    host = str(parts.hostname)
    if host in LOOPBACK_HOSTS or proxy_bypass(host):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return address(proxy) if proxy else None
