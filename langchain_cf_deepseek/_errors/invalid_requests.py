"""The errors of requests that this package refuses before anything is sent.

Whatever makes a request raises plain `ValueError`s that name the field and the way out; the place
where a call enters this package makes them one `CFDeepSeekInvalidRequestError`.
"""

from collections.abc import Generator
from contextlib import contextmanager

from pydantic import PydanticUserError, ValidationError

from langchain_cf_deepseek._settings import first_validation_message
from langchain_cf_deepseek.errors import CFDeepSeekError, CFDeepSeekInvalidRequestError

# What reading a user's values, tools and their hints ends in.
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
    """Return the error of a request that is refused before sending.

    Args:
        message: What is wrong, naming the field.
        hint: What to do, where `message` does not say it.
    """
    return CFDeepSeekInvalidRequestError(message, origin="client", hint=hint)


@contextmanager
def refused_before_sending(named: str = "") -> Generator[None]:
    """Hold while a request is made; whatever cannot be sent is an invalid request.

    Args:
        named: What is being read, for errors that do not say it themselves.

    Raises:
        CFDeepSeekInvalidRequestError: It cannot be made.
    """
    try:
        yield
    except CFDeepSeekError:
        raise
    except ValidationError as error:
        # Not chained: pydantic's error keeps the values that it refuses.
        raise invalid_request(first_validation_message(error, named)) from None
    except _INVALID as error:
        # Behind their first line, LangChain's and pydantic's texts lead to pages of their own.
        says_it = isinstance(error, ValueError | PydanticUserError)
        message = str(error).partition("\n")[0] if says_it else f"{error!r:.300}"
        raise invalid_request(f"{named}: {message}" if named else message) from error
