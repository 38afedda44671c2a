"""Headers in both directions, and the bodies of errors."""

from hypothesis import strategies as st

from tests.fuzz.strategies.answers import changed, to_bytes
from tests.fuzz.strategies.values import leaves, optional, texts

header_values = st.one_of(
    texts,
    st.text(st.characters(codec="ascii"), max_size=20),
    st.sampled_from(["x" * 10_000, "a\r\nX-Other: b", "tab\there", " around ", "a,b", "\x7f"]),
)
response_headers = st.dictionaries(
    st.sampled_from(
        [
            "cf-aig-log-id",
            "cf-aig-step",
            "cf-aig-dlp",
            "cf-aig-cache-status",
            "cf-aig-model",
            "cf-aig-made-up",
            "cf-ray",
            "content-type",
            "retry-after",
        ]
    ),
    st.one_of(
        # A server can send any byte in a header except control characters.
        st.binary(max_size=12).map(lambda value: bytes(b for b in value if b > 31 and b != 127)),
        st.sampled_from(
            [
                b"7",
                b"1e400",
                b"nan",
                b"-1",
                b"9" * 400,
                b"Feb 0000 99999 1:1 +99999",
                b"Wed, 21 Oct 2026 07:28:00 GMT",
                b'{"findings": [1]}',
                b"[" * 5_000,
                "größer".encode(),
                b"caf\xe9",
            ]
        ),
    ),
    max_size=4,
)


def error_bodies(secret: str) -> st.SearchStrategy[bytes]:
    """Generate error bodies of every shape, which can hold a credential."""
    said = texts | st.sampled_from([secret, f"bad key {secret}!", f"Bearer {secret}"])
    values = st.recursive(
        leaves | said,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(said, inner, max_size=3),
        max_leaves=6,
    )
    codes = st.sampled_from([2001, 2003, 2005, 2009, 2016, 2021, 7003, 10000]) | values
    faults = optional(message=values, code=codes, type=values, param=values)
    bodies = st.one_of(
        values,
        optional(error=faults | values),
        optional(success=st.just(False) | values, errors=st.lists(faults, max_size=2) | values),
        optional(internalCode=codes, httpCode=values, name=values, description=values),
        optional(error=st.lists(faults, max_size=2), success=values, message=values),
    )
    pages = said.map("<!doctype html><title>{}</title>".format)
    plain = (said | pages).map(lambda text: text.encode(errors="replace"))
    return st.one_of(
        bodies.map(to_bytes), bodies.flatmap(changed).map(to_bytes), plain, st.binary()
    )
