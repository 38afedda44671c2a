"""TLS certificates that this machine does not trust: how such a failure looks, and the way out."""

from collections.abc import Iterator
from ssl import SSLCertVerificationError

UNTRUSTED = "the TLS certificate of {host} is not trusted: {cause}"

SET_CERTIFICATES = "Set SSL_CERT_FILE to a file of the certificates that your network trusts."


def is_untrusted(error: BaseException | None) -> bool:
    """Return whether a certificate that is not trusted is behind an error."""
    return any(isinstance(cause, SSLCertVerificationError) for cause in chain(error))


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what is behind it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
