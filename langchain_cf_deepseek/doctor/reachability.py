"""Why a host could not be reached: DNS, TCP, TLS, or the proxy in between."""

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from langchain_cf_deepseek._errors.certificates import SET_CERTIFICATES, UNTRUSTED, iter_causes
from langchain_cf_deepseek._routing import THIS_MACHINE
from langchain_cf_deepseek.errors import CFDeepSeekError

_NETWORK = (
    "Let this machine reach it: a firewall may be in between, or a proxy be missing (HTTPS_PROXY)."
)

# By the name of an exception, or of a base of it, in the chain of causes; the first that fits. The
# SDK stands on one of two HTTP libraries, and the names are the same in both.
_REASONS = (
    ("ProxyError", "the proxy refused: {cause}", "{way}"),
    ("gaierror", "DNS knows no {peer}", "{way}"),
    (
        "SSLCertVerificationError",
        UNTRUSTED,
        SET_CERTIFICATES,
    ),
    ("SSLError", "{peer} does not speak TLS: {cause}", "{way}"),
    ("ImportError", "the proxy cannot be used: {cause}", "{way}"),
    ("ValueError", "the proxy cannot be used: {cause}", "{way}"),
    (
        "ReadTimeout",
        "{peer} took the connection, but did not answer in time",
        "Try again in a moment; if it stays so, ask whoever runs the network or the proxy.",
    ),
    ("TimeoutException", "{peer} did not take the connection in time", _NETWORK),
    ("ConnectionRefusedError", "nothing listens at {peer}", "{way}"),
    ("ConnectError", "{peer} cannot be connected to: {cause}", _NETWORK),
    ("Exception", "the connection to {peer} broke: {cause}", "Try again in a moment."),
)

_TO_THE_HOST = (
    "Check host and port of `base_url` (CLOUDFLARE_AI_GATEWAY_BASE_URL), and the network."
)
_TO_THE_PROXY = "Check the proxy settings of this machine (HTTPS_PROXY, ALL_PROXY, NO_PROXY)."


def diagnose_connection(error: CFDeepSeekError, url: str) -> tuple[str, str]:
    """Return what failed on the way to `url`, and the one thing to change."""
    names = [
        kind.__name__ for cause in iter_causes(error.__cause__) for kind in type(cause).__mro__
    ]
    found, change = next(row[1:] for row in _REASONS if row[0] in names)
    proxy = proxy_to(url)
    known = {
        "host": address(url),
        "peer": f"the proxy {proxy}" if proxy else address(url),
        "cause": str(error.__cause__),
        "way": _TO_THE_PROXY if proxy else _TO_THE_HOST,
    }
    return found.format(**known), change.format(**known)


def address(url: str) -> str:
    """Return host and port of `url`; nothing else of it, which may be a credential."""
    parts = urlsplit(url if "://" in url else f"//{url}")
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def proxy_to(url: str) -> str | None:
    """Return host and port of the proxy that requests to `url` take, if they take one."""
    parts = urlsplit(url)
    host = str(parts.hostname)
    if host in THIS_MACHINE or proxy_bypass(host):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return address(proxy) if proxy else None
