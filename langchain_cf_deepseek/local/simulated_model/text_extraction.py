"""What the simulated model extracts from a text: numbers, quotations, names, words."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?!\w)")
_QUOTATION = re.compile(
    r"\"([^\"\n]+)\"|“([^”\n]+)”|「([^」\n]+)」|`([^`\n]+)`|(?<!\w)'([^'\n]+)'(?!\w)"
)
_CAPITALIZED = r"[^\W\d_a-z][\w\u2019'-]*"
_NAME = re.compile(rf"(?<![\w'\u2019]){_CAPITALIZED}(?: {_CAPITALIZED})*(?:, [A-Z]{{2}}\b)?")
_PLACE = re.compile(r"\b(?:in|at|for|of|from|to|near)\s+(?:the\s+)?(\w+(?: \w+)?)\s*(?:[?.!,]|$)")
_TOPIC = re.compile(r"\b(?:about|on|for|regarding)\s+(?:the\s+|an?\s+)?([^?.!,\n]+)")
_LOWER_CASE_NEXT = re.compile(r"\s+(?!and\b|or\b)[a-z]")
_SENTENCE_START = re.compile(r"(?:^|[.?!:]\s+|\n\s*)$")
_SEQUENCE = re.compile(r"\b(?:then|after that|afterwards|finally|next)\b", re.IGNORECASE)
_OPERATION = re.compile(r"(-?\d+(?:\.\d+)?)\s*([-+*/\u00d7\u00f7])\s*(-?\d+(?:\.\d+)?)")

_STOP_WORDS = """
a about all also an and any answer apply are as ask at be by call can current do does finally
find following for from function get give given have her here his how i if in information input
into is it its just let like make me my no not now of on or other our output please provide
result return show some take tell that the their then there these this to tool use used user
using value want was we what when where which who why will with without would you your
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())

_SAME_WORD = {
    "plus": "add",
    "sum": "add",
    "minus": "subtract",
    "difference": "subtract",
    "times": "multiply",
    "product": "multiply",
    "over": "divide",
}
_OPERATORS = {"+": "add", "-": "subtract", "*": "multiply", "\u00d7": "multiply", "/": "divide"}


def words(text: str) -> set[str]:
    """The stems of the words that carry meaning."""
    found = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower())
    stems = {_stem(word) for word in found if len(word) > 1 and word not in STOP_WORDS}
    operators = {_OPERATORS.get(match[2], "divide") for match in _OPERATION.finditer(text)}
    return stems | operators


def _stem(word: str) -> str:
    if word in _SAME_WORD:
        return _SAME_WORD[word]
    match = re.fullmatch(r"(\w{3,}?)(?:ing|ed|er|es|s)", word)
    return match[1] if match else word


class ParsedText:
    """One parsed text. Numbers, quotations and names are removed from it as they are used."""

    def __init__(
        self, text: str, numbers: Sequence[float] | None = None, results: str = ""
    ) -> None:
        """Parse a text.

        Args:
            text: The text.
            numbers: Replace the numbers in the text.
            results: Tool results, which precede the text.
        """
        self.results = results
        text = f"{results}\n{text}" if results else text
        self.text = text
        self.words = words(text)
        self.numbers = list(numbers_in(text) if numbers is None else numbers)
        self.quotations = quotations_in(text)
        self.names = names_in(text)

    def assigned_value(self, name: str) -> str | None:
        """The value that the text assigns: `name=value` or `name: value`."""
        spelled = re.escape(name).replace("_", "[ _]")
        match = re.search(
            rf"\b{spelled}\s*[=:]\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s,;)]+))",
            self.text,
            re.IGNORECASE,
        )
        return (
            next((group for group in match.groups() if group is not None), None) if match else None
        )

    def declines(self, name: str) -> bool:
        """Whether the text excludes something: `no punchline`, `without a punchline`."""
        spelled = re.escape(name).replace("_", "[ _]")
        pattern = rf"\b(?:no|without|not|don't)\s+(?:an?\s+|the\s+|include\s+)*{spelled}\b"
        return re.search(pattern, self.text, re.IGNORECASE) is not None

    def mentions(self, name: str) -> bool:
        """Whether the text has a name, or other forms of its words."""
        if name and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", self.text, re.IGNORECASE):
            return True
        stems = words(name)
        return bool(stems) and stems <= self.words

    @property
    def topic(self) -> str:
        """The topic of the text, in a few words."""
        match = _TOPIC.search(self.text)
        return (match[1] if match else self.text).strip()[:80]

    @property
    def is_sequence(self) -> bool:
        """Whether the text asks for several steps in order."""
        return _SEQUENCE.search(self.text) is not None

    @property
    def calculation(self) -> str | None:
        """The first calculation in the text, with its result."""
        match = _OPERATION.search(self.text)
        if match is None:
            return None
        left, right = float(match[1]), float(match[3])
        operator = match[2]
        if operator == "+":
            result = left + right
        elif operator == "-":
            result = left - right
        elif operator in "*\u00d7":
            result = left * right
        elif right:
            result = left / right
        else:
            return None
        return f"{match[1]} {operator} {match[3]} = {result:g}"


def _starts_sentence(text: str, word: re.Match[str]) -> bool:
    """Whether a word is only capitalized because it starts a sentence."""
    before = text[max(0, word.start() - 3) : word.start()]
    return bool(_SENTENCE_START.search(before) and _LOWER_CASE_NEXT.match(text, word.end()))


def numbers_in(text: str) -> list[float]:
    """The numbers in a text, whole ones as `int`."""
    found = _NUMBER.findall(text)
    return [float(number) if "." in number else int(number) for number in found]


def quotations_in(text: str) -> list[str]:
    """The texts in quotation marks."""
    return [next(filter(None, groups)) for groups in _QUOTATION.findall(text)]


def names_in(text: str) -> list[str]:
    """Sequences of capitalized words, without the ordinary word that starts a sentence.

    In a text without any, the word after a preposition: `weather in paris`.
    """
    names = []
    for match in _NAME.finditer(text):
        name = match[0]
        first, _, rest = name.partition(" ")
        if first.lower() in STOP_WORDS or (not rest and _starts_sentence(text, match)):
            name = rest
        if name:
            names.append(name.removesuffix("'s").removesuffix("\u2019s"))
    return names or [match for match in _PLACE.findall(text) if match.lower() not in STOP_WORDS]
