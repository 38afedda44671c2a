"""Recognises a TLS certificate that this machine does not trust, and says what to do."""

from collections.abc import Iterator
from ssl import SSLCertVerificationError

UNTRUSTED = "the TLS certificate of {host} is not trusted: {cause}"

SET_CERTIFICATES = "Set SSL_CERT_FILE to a file with the certificates that your network trusts."


def is_untrusted(error: BaseException | None) -> bool:
    """Return whether an untrusted certificate caused an error."""
    return any(isinstance(cause, SSLCertVerificationError) for cause in iter_causes(error))


def iter_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, its cause, the cause of that, and so on."""
    seen: set[int] = set()  # a cause can lead back to an error that it caused
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
