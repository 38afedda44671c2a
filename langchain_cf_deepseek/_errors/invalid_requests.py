"""Builds the errors of requests that this package rejects before sending.

The code that builds a request raises plain `ValueError`s that name the field and the fix; the entry
points of this package convert them to `CFDeepSeekInvalidRequestError`.
"""

from collections.abc import Generator
from contextlib import contextmanager

from pydantic import PydanticUserError, ValidationError

from langchain_cf_deepseek._settings import first_validation_message
from langchain_cf_deepseek.errors import CFDeepSeekError, CFDeepSeekInvalidRequestError

# What reading a caller's values, tools and type hints can raise.
_INVALID = (
    AttributeError,
    LookupError,
    NameError,
    NotImplementedError,
    PydanticUserError,
    RecursionError,
    TypeError,
    ValueError,
)


def invalid_request(message: str, hint: str = "") -> CFDeepSeekInvalidRequestError:
    """Build the error for a request that is rejected before sending.

    Args:
        message: What is wrong, naming the field.
        hint: What to do, if `message` does not say so.
    """
    return CFDeepSeekInvalidRequestError(message, origin="client", hint=hint)


@contextmanager
def refused_before_sending(named: str = "") -> Generator[None]:
    """Raise what building a request can fail with as an invalid request.

    Args:
        named: The argument being read, for errors that do not name it themselves.

    Raises:
        CFDeepSeekInvalidRequestError: The request cannot be built.
    """
    try:
        yield
    except CFDeepSeekError:
        raise
    except ValidationError as error:
        # Not chained: pydantic's error holds the values that it rejects.
        raise invalid_request(first_validation_message(error, named)) from None
    except _INVALID as error:
        # After the first line, LangChain's and pydantic's texts link to their own pages.
        has_message = isinstance(error, ValueError | PydanticUserError)
        message = str(error).partition("\n")[0] if has_message else f"{error!r:.300}"
        raise invalid_request(f"{named}: {message}" if named else message) from error
