"""Structured output while the model thinks: JSON mode with the schema in the system text."""

from operator import itemgetter
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import Generation
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.pydantic import is_basemodel_subclass


class _ObjectParser(JsonOutputParser):
    """Reads a JSON object, and says what it lacks."""

    required: list[str]

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        parsed = super().parse_result(result, partial=partial)
        if partial:
            return parsed
        missing = [name for name in self.required if name not in parsed]
        if not isinstance(parsed, dict) or missing:
            msg = f"the answer is no JSON object with {', '.join(self.required)}: {parsed!r}"
            raise OutputParserException(msg, llm_output=result[0].text)
        return parsed


def structured_by_json_mode(
    llm: BaseChatModel,
    schema: dict[str, Any] | type,
    *,
    include_raw: bool,
    **kwargs: Any,
) -> Runnable[LanguageModelInput, Any]:
    """Return `llm` with answers of the shape of `schema`, and its reasoning kept."""
    json_schema = convert_to_json_schema(schema)
    asked = llm.bind(
        response_format={"type": "json_schema", "json_schema": {"schema": json_schema}},
        ls_structured_output_format={"kwargs": {"method": "json_mode"}, "schema": schema},
        **kwargs,
    )
    parser: Runnable[Any, Any]
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        parser = PydanticOutputParser(pydantic_object=schema)
    else:
        parser = _ObjectParser(required=json_schema.get("required", []))
    if not include_raw:
        return asked | parser
    parsed = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
    )
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=asked) | parsed.with_fallbacks([failed], exception_key="parsing_error")
