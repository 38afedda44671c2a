"""The message with date and place of the user, which DeepSeek reads before a user message."""

from datetime import date as Date  # noqa: N812 - `date` is the argument
from datetime import datetime
from typing import Literal

from langchain_core.messages import ChatMessage

from langchain_cf_deepseek._api.messages import REMINDER
from langchain_cf_deepseek._errors.invalid_requests import refused_before_sending

_WEEKDAYS: dict[str, str] = {
    "English": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "中文": "星期一 星期二 星期三 星期四 星期五 星期六 星期日",
}


@refused_before_sending()
def latest_reminder(
    date: Date | str,
    location: str = "",
    platform: Literal["App", "Web"] = "Web",
    language: str = "English",
    *,
    weekday: str | None = None,
) -> ChatMessage:
    """Return the message that tells the model when and where its user is.

    It belongs right before the user message; every turn can have one. Workers AI (`@cf/...`) has
    no such role: there its text is sent as a system message.

    Args:
        date: The user's date: a `date`, or text in the form `2026-11-25`.
        location: Where the user is, such as `Paris, France`; can be empty.
        platform: `App` or `Web`.
        language: The user's language in its own name, such as `English` or `中文`.
        weekday: The weekday in that language, needed for languages other than English and Chinese.

    Raises:
        CFDeepSeekInvalidRequestError: An argument is malformed.

    https://api-docs.deepseek.com/guides/latest_reminder
    """
    day = _parse_date(date)
    _check_line("location", location)
    _check_line("language", language)
    if platform not in ("App", "Web"):
        msg = f"`platform` must be 'App' or 'Web', not {platform!r:.100}."
        raise ValueError(msg)
    if weekday is None:
        if language not in _WEEKDAYS:
            msg = f"`weekday` is needed for the language {language!r:.100}: pass its name there."
            raise ValueError(msg)
        weekday = _WEEKDAYS[language].split()[day.weekday()]
    _check_line("weekday", weekday)
    for name, value in {"language": language, "weekday": weekday}.items():
        if not value.strip() or "," in value:
            msg = f"`{name}` must be a name without a comma, not {value!r:.100}."
            raise ValueError(msg)
    content = f"{day.isoformat()},{weekday},{location},{platform},{language}"
    return ChatMessage(role=REMINDER, content=content)


def _check_line(name: str, value: object) -> None:
    if not isinstance(value, str) or value.splitlines() not in ([], [value]):
        msg = f"`{name}` must be text in one line, not {value!r:.100}."
        raise ValueError(msg)


def _parse_date(value: Date | str) -> Date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, Date):
        return value
    try:
        parsed = Date.fromisoformat(value)
    except (TypeError, ValueError):
        parsed = None
    if parsed is None or parsed.isoformat() != value:
        msg = f"`date` must be a `date` or text in the form '2026-11-25', not {value!r:.100}."
        raise ValueError(msg)
    return parsed
