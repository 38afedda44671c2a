"""DeepSeek's Search and Fetch, answered from the gateway's small web.

https://api-docs.deepseek.com/zh-cn/guides/search
"""

from __future__ import annotations

import ipaddress
from typing import Any, NoReturn
from urllib.parse import urlsplit

from langchain_cf_deepseek.local.exchange import Call, GatewayResponse, json_response
from langchain_cf_deepseek.local.faults.error_bodies import deepseek_refusal
from langchain_cf_deepseek.local.simulated_model.web import MAX_QUERY_CHARACTERS, Hit, Web

JSON = dict[str, Any]

MAX_COUNT = 50
MAX_URL_CHARACTERS = 8192
_SNIPPET_CHARACTERS, _SUMMARY_CHARACTERS = 200, 800


class WebApi:
    """The two endpoints."""

    def __init__(self, web: Web) -> None:
        self._web = web

    def respond(self, call: Call) -> GatewayResponse:
        """Respond to a search or a fetch; fields that DeepSeek does not know are ignored."""
        body = call.request.body
        if not isinstance(body, dict):
            raise deepseek_refusal(400, "The request body must be a JSON object")
        respond = self._search if call.endpoint.endswith("search") else self._fetch
        return json_response(200, respond(body))

    def _search(self, body: JSON) -> JSON:
        query = _text(body, "query")
        if query is None or not query.strip():
            _refuse("query", "must not be blank")
        count = 10 if body.get("count") is None else body["count"]
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MAX_COUNT:
            _refuse("count", f"expected an integer from 1 to {MAX_COUNT}")
        question = _text(body, "ori_question")
        if question is not None and not question.strip():
            _refuse("ori_question", "must not be blank")
        need_content = body.get("need_content") or False
        if not isinstance(need_content, bool):
            _refuse("need_content", "expected a boolean")
        localization = body.get("localization")
        if localization and not _is_ip_address(localization):
            _refuse("localization", "expected an IP address")
        hits = self._web.search(query, count)
        return {"results": [_result(hit, need_content=need_content) for hit in hits]}

    def _fetch(self, body: JSON) -> JSON:
        url = body.get("url")
        if not isinstance(url, str) or not _is_url(url):
            _refuse("url", f"expected an http(s) URL of at most {MAX_URL_CHARACTERS} characters")
        page = self._web.page(url)
        if page is None:
            raise deepseek_refusal(404, "Failed to fetch the URL", "not_found_error")
        return {"title": page.title, "content": page.markdown}


def _result(hit: Hit, *, need_content: bool) -> JSON:
    page = hit.page
    return {
        "rerank_score": hit.score,
        "title": page.title,
        "url": hit.url,
        "snippet": page.markdown[:_SNIPPET_CHARACTERS],
        "summary": page.markdown[:_SUMMARY_CHARACTERS],
        "content": page.markdown if need_content else "",
        "site_name": urlsplit(hit.url).hostname,
        "site_icon": None,
        "date": page.date,
        "authority": page.authority,
    }


def _text(body: JSON, name: str) -> str | None:
    """Return a text of 1 to 128 characters; None where it is absent or null."""
    text = body.get(name)
    if text is None:
        return None
    if not isinstance(text, str) or not 1 <= len(text) <= MAX_QUERY_CHARACTERS:
        _refuse(name, f"expected a string of 1 to {MAX_QUERY_CHARACTERS} characters")
    return text


def _is_ip_address(text: Any) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return isinstance(text, str)


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    is_plain = (
        parts.hostname is not None and parts.username is None and not set(url) & set(" \t\r\n")
    )
    return len(url) <= MAX_URL_CHARACTERS and parts.scheme in {"http", "https"} and is_plain


def _refuse(name: str, rule: str) -> NoReturn:
    raise deepseek_refusal(400, f"Invalid '{name}': {rule}")
