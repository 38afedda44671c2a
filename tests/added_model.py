"""Print as JSON what each part of the package does with a model that is only in the table.

A process of its own: the table is read when the package is imported.
"""

import json
import sys
import types
from importlib import import_module
from typing import Any

import httpx
from langchain_core.messages import HumanMessage

from langchain_cf_deepseek.data.refresh import AUGMENTATIONS, generate

NAME = "deepseek-next"
ENTRY = """
[overrides."deepseek-next"]
like = "deepseek-flash"
name = "DeepSeek Next"
max_input_tokens = 500
image_inputs = false
serving.version = "DeepseekV4Pro"
serving.prices.deepseek = { cached = 1000, prompt = 1000, completion = 3000 }
"""
TOKEN_HEADER = "cf-aig-authorization"
CONVERSATION = [HumanMessage("Why is the sky blue?")]
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}


def _add_to_table() -> None:
    public = import_module("langchain_deepseek.data._profiles")._PROFILES
    table = types.ModuleType("langchain_cf_deepseek.data._profiles")
    text = AUGMENTATIONS.read_text(encoding="utf-8") + ENTRY
    exec(generate(public, "", text), table.__dict__)  # noqa: S102  # as an import would
    sys.modules[table.__name__] = table


def _report() -> dict[str, Any]:
    from langchain_cf_deepseek import CFDeepSeekError  # noqa: PLC0415  # after `_add_to_table`
    from langchain_cf_deepseek._models import known_models  # noqa: PLC0415
    from langchain_cf_deepseek.local import LocalGateway  # noqa: PLC0415

    with LocalGateway() as gw, gw.chat_model(model=NAME) as llm:
        errors = []
        for message in (HumanMessage([IMAGE]), HumanMessage("Hello " * 1000)):
            try:
                llm.invoke([message])
            except CFDeepSeekError as error:
                errors.append(type(error).__name__)
        answer = llm.invoke(CONVERSATION)
        usage: Any = answer.usage_metadata
        tokens_in, tokens_out = usage["input_tokens"], usage["output_tokens"]
        headers = {name: gw.requests[-1].headers[name] for name in ("authorization", TOKEN_HEADER)}
        listed = httpx.get(f"{gw.base_url()}/models", headers=headers).json()["data"]
        profile = llm.profile or {}
        return {
            "profile": (profile["name"], profile["max_input_tokens"]),
            "is known": NAME in known_models("provider-native"),
            "errors for an image and for a long prompt": errors,
            "served": answer.response_metadata["model_name"],
            "prompt tokens like": [
                other
                for other in ("deepseek-flash", "deepseek-v4-pro")
                if _prompt_tokens(gw, other) == _prompt_tokens(gw, NAME)
            ],
            "is cost as priced": gw.logs().get(answer).cost == (tokens_in + 3 * tokens_out) / 1000,
            "is listed": NAME in [model["id"] for model in listed],
        }


def _prompt_tokens(gw: Any, model: str) -> int:
    tokens: int = gw.chat_model(model=model).get_num_tokens_from_messages(CONVERSATION)
    return tokens


if __name__ == "__main__":
    _add_to_table()
    sys.stdout.write(json.dumps(_report()))
