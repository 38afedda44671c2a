"""The small web of the local gateway: the pages that its searches find and its fetches read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from langchain_cf_deepseek.local.simulated_model.scripted_replies import Reply, ScriptedPage
from langchain_cf_deepseek.local.simulated_model.text_extraction import words

BEST_SCORE = 3.0
"""The upper end of `rerank_score`."""

MAX_QUERY_CHARACTERS = 128
_RESULTS = 5
_URL = re.compile(r"https?://[^\s<>\"')\]]+")
_OPERATOR = re.compile(r"(-?site|lang|after|before):(\S+)")
_EXCLUDED = re.compile(r"(?:^|\s)-(\w+)")
_PHRASE = re.compile(r"\"([^\"]+)\"")
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")


@dataclass(frozen=True)
class WebPage:
    """One page of the gateway's web."""

    title: str
    markdown: str
    date: str | None = None
    """When it was published, `2026-10-20T08:00:00Z` for instance."""
    authority: int = -1
    """-1 (unknown) to 4; from 3 it is high."""


@dataclass(frozen=True)
class Hit:
    """A page that a search has found."""

    url: str
    page: WebPage
    score: float

    @property
    def result(self) -> dict[str, Any]:
        """The page as a search result for the simulated model."""
        return {"url": self.url, "title": self.page.title, "page_age": self.page.date}


class Web:
    """Pages by URL."""

    def __init__(self, pages: Mapping[str, WebPage | tuple[str, str]]) -> None:
        self._pages = {
            url: page if isinstance(page, WebPage) else WebPage(*page)
            for url, page in pages.items()
        }

    def page(self, url: str) -> WebPage | None:
        """Return the page at a URL; its fragment does not matter."""
        return self._pages.get(url) or self._pages.get(url.partition("#")[0])

    def search(self, query: str, count: int = _RESULTS) -> list[Hit]:
        """Return the pages that have a word of the query, the best first.

        Of DeepSeek's operators `site:`, `-site:`, `-term` and `"phrase"` apply.
        """
        operators = _OPERATOR.findall(query)
        plain = _OPERATOR.sub(" ", query)
        excluded = {word.lower() for word in _EXCLUDED.findall(plain)}
        asked = words(_EXCLUDED.sub(" ", plain))
        sites = [value for name, value in operators if name == "site"]
        other_sites = [value for name, value in operators if name == "-site"]
        hits = []
        for url, page in self._pages.items():
            text = f"{page.title}\n{page.markdown}"
            host = urlsplit(url).hostname or ""
            shared = len(asked & words(text))
            is_hit = (
                (shared or not asked)
                and (not sites or _is_at(host, sites))
                and not _is_at(host, other_sites)
                and not excluded & set(re.findall(r"\w+", text.lower()))
                and all(phrase.lower() in text.lower() for phrase in _PHRASE.findall(plain))
            )
            if is_hit:
                score = BEST_SCORE * shared / len(asked) if asked else BEST_SCORE
                hits.append(Hit(url, page, round(score, 2)))
        return sorted(hits, key=lambda hit: -hit.score)[:count]

    def answer(self, reply: Reply, question: str, *, can_search: bool, can_read: bool) -> Reply:
        """Return a reply from the web, if the question has a link or words of a page.

        Otherwise it returns `reply`.
        """
        links = [link.rstrip(".,;:!?") for link in _URL.findall(question)] if can_read else []
        if known := {link: page for link in links if (page := self.page(link))}:
            pages = [ScriptedPage(link) for link in links]
            return self._cited(replace(reply, pages=pages), question, known)
        hits = self.search(question[:MAX_QUERY_CHARACTERS]) if can_search else []
        if not hits:
            return reply
        searched = replace(reply, searches=[" ".join(question.split())[:MAX_QUERY_CHARACTERS]])
        return self._cited(searched, question, {hits[0].url: hits[0].page})

    def _cited(self, reply: Reply, question: str, pages: Mapping[str, WebPage]) -> Reply:
        quotes = {url: best_sentence(page.markdown, question) for url, page in pages.items()}
        citations = [
            {"url": url, "title": pages[url].title, "cited_text": quote}
            for url, quote in quotes.items()
        ]
        thought = f'The user says: "{question}" The web can tell.'
        answer = "\n".join(quotes.values())
        return replace(reply, content=answer, reasoning=thought, citations=citations)


def best_sentence(text: str, question: str) -> str:
    """Return the sentence of a text that has most words of a question, the first of equal ones."""
    asked = words(question)
    sentences = [sentence.strip(" #*-\t") for sentence in _SENTENCE.findall(text)]
    return max(filter(None, sentences), key=lambda each: len(words(each) & asked), default="")


def _is_at(host: str, sites: list[str]) -> bool:
    return any(host == site or host.endswith(f".{site}") for site in sites)
