"""DeepSeek's Search and Fetch, through the gateway, as LangChain's tools and retriever.

Unlike the server tools (`{"type": "deepseek_web_search"}`), which run inside a completion, these
work with every model and their results have a documented shape.
https://api-docs.deepseek.com/zh-cn/guides/search

Cloudflare does not document that the gateway passes DeepSeek's path `/v1/tools/` on. Where it does
not, add DeepSeek to the gateway as a custom provider with the base URL `https://api.deepseek.com`,
and set `base_url` to
`https://gateway.ai.cloudflare.com/v1/<account_id>/<gateway_id>/custom-<slug>`.

Price: CNY 5 or USD 0.75 per 1,000 calls; DeepSeek bills only responses of status 200 that are not
empty. Rates per account, apart from those of the models: 100 searches and 25 fetches per second,
and fewer fetches from one site; above them DeepSeek responds with 429.

Pages are written by strangers: treat their text as data, never as instructions.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import ArgsSchema
from pydantic import ConfigDict, SkipValidation
from typing_extensions import override

from langchain_cf_deepseek._api.web import (
    FetchArguments,
    SearchArguments,
    document_of,
    fetch_body,
    page_text,
    results_text,
)
from langchain_cf_deepseek._errors.invalid_requests import refused_before_sending
from langchain_cf_deepseek._errors.rules import Api
from langchain_cf_deepseek._redaction import construct
from langchain_cf_deepseek._web_tools import DeepSeekTool, SearchSettings, read_page, read_search

__all__ = ["DeepSeekFetch", "DeepSeekSearch", "DeepSeekSearchRetriever"]


class DeepSeekSearch(SearchSettings, DeepSeekTool):
    """A tool that searches the web with DeepSeek's Search.

    Its content is a text for a model: the results numbered `[1]`, `[2]`, ... for citations, each
    with title, URL, date and summary (the snippet where there is no summary). Its artifact is the
    list of the results as received: dicts of `title`, `url`, `snippet`, `summary`, `content`,
    `site_name`, `site_icon`, `date`, `rerank_score` (0 to 3, good from 1.5) and `authority` (-1
    unknown, 0 to 4, high from 3); any value can be `None`. No results are an empty list.

    A call by a model, that is with a `ToolCall`, returns invalid arguments as a `ToolMessage` of
    status "error" that names the argument and its limit, so that the model can correct itself; a
    query is never shortened, because that could change its meaning. All other failures raise.

    Example:
        ```python
        from langchain_cf_deepseek import ChatCloudflareDeepSeek
        from langchain_cf_deepseek.web import DeepSeekFetch, DeepSeekSearch

        llm = ChatCloudflareDeepSeek(model="deepseek-flash", gateway={"cache_ttl": 3600})
        tools = [DeepSeekSearch.of(llm, count=5), DeepSeekFetch.of(llm)]
        ```

    `DeepSeekSearch()` reads the environment variables of `ChatCloudflareDeepSeek`, and takes its
    `account_id`, `gateway_id`, `api_key`, `gateway_token`, `base_url`, `gateway`, `timeout`,
    `max_retries`, `default_headers`, `default_query`, `http_client` and `http_async_client`.

    Arguments of a call: `query` (1 to 128 characters, not blank; operators `site:`, `-site:`,
    `-word`, `"phrase"`, `lang:en`, `after:2025-01-31`, `before:2026`), `count`, `ori_question` (the
    user's question, shortened to 128 characters), and, not shown to models, `localization` and
    `need_content`.

    Price: USD 0.75 per 1,000 searches with results. At most 100 searches per second and account.
    The gateway's path is not documented by Cloudflare; see the module for another one.

    Raises:
        pydantic.ValidationError: A setting is missing or malformed.
        CFDeepSeekInvalidRequestError: When called: an argument is invalid (nothing was sent), or
            DeepSeek rejects it.
        CFDeepSeekError: When called: anything else that a request can fail with.

    https://api-docs.deepseek.com/zh-cn/guides/search
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: str = "deepseek_search"
    description: str = (
        "Search the web. Returns numbered results, each with title, URL, date and summary; cite "
        "them as [1], [2]."
    )
    args_schema: Annotated[ArgsSchema | None, SkipValidation()] = SearchArguments

    def __init__(self, **settings: Any) -> None:
        construct(super().__init__, **settings)

    @override
    def _run(self, query: str, **arguments: Any) -> tuple[str, list[dict[str, Any]]]:
        body = self._search_body({"query": query, **arguments})
        return _content_and_results(self._send(body, read_search))

    @override
    async def _arun(self, query: str, **arguments: Any) -> tuple[str, list[dict[str, Any]]]:
        body = self._search_body({"query": query, **arguments})
        return _content_and_results(await self._asend(body, read_search))


def _content_and_results(response: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    results = response["results"] or []
    return results_text(results), results


class DeepSeekFetch(DeepSeekTool):
    """A tool that reads a web page with DeepSeek's Fetch.

    Its content is a text for a model: title, URL and the page as Markdown. Its artifact is the
    response as received: a dict of `title` and `content`; either can be `None`. Neither the final
    URL nor the status of the page is known.

    A call by a model, that is with a `ToolCall`, returns an invalid URL and a page that cannot be
    fetched as a `ToolMessage` of status "error", so that the model can try another URL. All other
    failures raise.

    Made like `DeepSeekSearch`. Argument of a call: `url`, http or https, at most 8192 characters,
    without user name, password and white space.

    Price: USD 0.75 per 1,000 pages with content. At most 25 fetches per second and account, and
    fewer from one site. The gateway's path is not documented by Cloudflare; see the module for
    another one.

    Raises:
        pydantic.ValidationError: A setting is missing or malformed.
        CFDeepSeekInvalidRequestError: When called: the URL is invalid (nothing was sent), or
            DeepSeek rejects it.
        CFDeepSeekFetchError: When called: DeepSeek could not fetch the page.
        CFDeepSeekError: When called: anything else that a request can fail with.

    https://api-docs.deepseek.com/zh-cn/guides/search
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    _api: ClassVar[Api] = "fetch"

    name: str = "deepseek_fetch"
    description: str = "Read a web page. Returns its title and its text as Markdown."
    args_schema: Annotated[ArgsSchema | None, SkipValidation()] = FetchArguments

    def __init__(self, **settings: Any) -> None:
        construct(super().__init__, **settings)

    @override
    def _run(self, url: str) -> tuple[str, dict[str, Any]]:
        page = self._send(fetch_body(url), read_page)
        return page_text(url, page), page

    @override
    async def _arun(self, url: str) -> tuple[str, dict[str, Any]]:
        page = await self._asend(fetch_body(url), read_page)
        return page_text(url, page), page


class DeepSeekSearchRetriever(SearchSettings, BaseRetriever):
    """A retriever on DeepSeek's Search.

    Each result is a document: `page_content` is the summary, or with `need_content` the text of the
    page where there is one; the metadata are `url`, `title`, `date`, `score` (0 to 3, good from
    1.5), `authority` (-1 unknown, 0 to 4, high from 3) and `site_name`; any of them can be `None`.

    Made like `DeepSeekSearch`. A call takes the arguments of `DeepSeekSearch` too:
    `retriever.invoke("DeepSeek prices", count=3)`. A query above 128 characters raises: let a model
    write the query, and pass the user's question as `ori_question`.

    Price: USD 0.75 per 1,000 searches with results. At most 100 searches per second and account.
    The gateway's path is not documented by Cloudflare; see the module for another one.

    Raises:
        pydantic.ValidationError: A setting is missing or malformed.
        CFDeepSeekInvalidRequestError: When called: an argument is invalid (nothing was sent), or
            DeepSeek rejects it.
        CFDeepSeekError: When called: anything else that a request can fail with.

    https://api-docs.deepseek.com/zh-cn/guides/search
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    def __init__(self, **settings: Any) -> None:
        construct(super().__init__, **settings)

    @override
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **arguments: Any
    ) -> list[Document]:
        body = self._checked_body(query, arguments)
        return self._documents(body, self._send(body, read_search))

    @override
    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **arguments: Any
    ) -> list[Document]:
        body = self._checked_body(query, arguments)
        return self._documents(body, await self._asend(body, read_search))

    @refused_before_sending()
    def _checked_body(self, query: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return self._search_body({"query": query, **arguments})

    def _documents(self, body: dict[str, Any], response: dict[str, Any]) -> list[Document]:
        with_content = "need_content" in body
        results = response["results"] or []
        return [document_of(result, with_content=with_content) for result in results]
