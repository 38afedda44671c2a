"""The profile of each model, by each of its names and on each routing."""

import json
import warnings
from importlib import import_module
from importlib.metadata import version
from typing import Any, get_type_hints

import pytest
from langchain_core.language_models import ModelProfile
from pydantic import SecretStr

from langchain_cf_deepseek import ChatCloudflareDeepSeek
from langchain_cf_deepseek._models import profile_of, sees_images
from langchain_cf_deepseek.data._profiles import PROFILES, SOURCE_VERSION, UNIFIED_PROFILES
from langchain_cf_deepseek.data.refresh import AUGMENTATIONS, TARGET, generate
from langchain_cf_deepseek.data.routings import Routing
from tests.conftest import ACCOUNT
from tests.subprocesses import run_python

FLASH: dict[str, Any] = {
    "name": "DeepSeek V4.1 Flash",
    "release_date": "2026-09-10",
    "last_updated": "2026-09-10",
    "open_weights": True,
    "max_input_tokens": 1_048_576,
    "max_output_tokens": 393_216,
    "text_inputs": True,
    "image_inputs": True,
    "image_url_inputs": True,
    "image_tool_message": True,
    "audio_inputs": False,
    "video_inputs": False,
    "text_outputs": True,
    "image_outputs": False,
    "audio_outputs": False,
    "video_outputs": False,
    "reasoning_output": True,
    "reasoning_effort_levels": ["low", "high", "max"],
    "reasoning_effort_default": "high",
    "tool_calling": True,
    "tool_choice": True,
    "tool_call_streaming": True,
    "structured_output": False,
    "attachment": True,
    "temperature": True,
}
_WITHOUT_VISION = {
    **{key: value for key, value in FLASH.items() if not key.startswith("image_")},
    "image_inputs": False,
    "image_outputs": False,
    "attachment": False,
}
PRO = {
    **_WITHOUT_VISION,
    "name": "DeepSeek V4 Pro",
    "release_date": "2026-08-12",
    "last_updated": "2026-08-22",
}
RETIRED = {**FLASH, "status": "deprecated"}
FLASH_OF_WORKERS_AI = {
    **_WITHOUT_VISION,
    "name": "DeepSeek V4 Flash 0731",
    "release_date": "2026-07-31",
    "last_updated": "2026-07-31",
}

BY_NAME = {
    "deepseek-flash": FLASH,
    "deepseek-v4-pro": PRO,
    "deepseek-v4-flash": {**RETIRED, "name": "DeepSeek V4 Flash"},
    "deepseek-v4-flash-vision-exp": {**RETIRED, "name": "DeepSeek V4 Flash Vision Exp"},
    "deepseek-reasoner": RETIRED,
    "deepseek-chat": {**RETIRED, "reasoning_output": False, "reasoning_effort_levels": []},
    "@cf/deepseek-ai/deepseek-v4-flash-0731": FLASH_OF_WORKERS_AI,
    "@cf/deepseek-ai/deepseek-v4-pro-0813": {**PRO, "name": "DeepSeek V4 Pro 0813"},
}
ROUTINGS: tuple[Routing, ...] = ("provider-native", "unified", "compat")


def model(name: str, **settings: Any) -> ChatCloudflareDeepSeek:
    return ChatCloudflareDeepSeek(
        model=name,
        account_id=ACCOUNT,
        gateway_id="main",
        api_key=SecretStr("key"),
        cloudflare_api_token=SecretStr("token"),
        **settings,
    )


def test_profiles_exist_for_exactly_these_models() -> None:
    assert PROFILES.keys() == BY_NAME.keys()


@pytest.mark.parametrize("prefix", ["", "deepseek/"])
@pytest.mark.parametrize("name", [name for name in BY_NAME if not name.startswith("@cf/")])
def test_profile_is_found_with_and_without_deepseeks_prefix(name: str, prefix: str) -> None:
    assert profile_of(prefix + name) == BY_NAME[name]
    assert profile_of(prefix + name, routing="compat") == BY_NAME[name]
    assert model(prefix + name).profile == BY_NAME[name]


@pytest.mark.parametrize("name", [name for name in BY_NAME if name.startswith("@cf/")])
def test_profile_of_a_workers_ai_model_is_its_own(name: str) -> None:
    assert profile_of(name, routing="unified") == BY_NAME[name]
    assert model(name, routing="unified").profile == BY_NAME[name]


@pytest.mark.parametrize("name", ["deepseek-v4-pro", "deepseek/deepseek-v4-pro"])
def test_profile_on_unified_has_the_limits_of_the_catalogue(name: str) -> None:
    limits = {"max_input_tokens": 131_072, "max_output_tokens": 131_072}
    assert profile_of(name, routing="unified") == {**PRO, **limits}
    assert model(name, routing="unified").profile == {**PRO, **limits}


@pytest.mark.parametrize("name", ["dynamic/best", "cloudflare/auto", "custom-mine/model"])
def test_unknown_model_has_no_profile_and_accepts_images(name: str) -> None:
    assert profile_of(name, routing="unified") is None
    assert model(name, routing="unified").profile is None
    assert sees_images(None)


def test_vision_is_a_capability_of_flash_and_not_of_v4() -> None:
    seeing = {name for name in BY_NAME if sees_images(profile_of(name))}
    assert seeing == {
        "deepseek-flash",
        "deepseek-v4-flash",
        "deepseek-v4-flash-vision-exp",
        "deepseek-reasoner",
        "deepseek-chat",
    }


@pytest.mark.parametrize("routing", ROUTINGS)
def test_profiles_do_not_claim_structured_output(routing: Routing) -> None:
    profiles = [profile_of(name, routing=routing) for name in PROFILES]
    assert [profile and profile["structured_output"] for profile in profiles] == [False] * 8


def test_profile_keys_are_all_known_to_langchain() -> None:
    declared = get_type_hints(ModelProfile).keys()
    profiles = [*PROFILES.values(), *UNIFIED_PROFILES.values()]
    assert {key for profile in profiles for key in profile} <= declared


def test_model_construction_raises_no_warning() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name in BY_NAME:
            model(name, routing="unified")
    assert caught == []


def test_profile_can_be_changed_without_affecting_other_models() -> None:
    profile = profile_of("deepseek-flash")
    assert profile is not None
    profile["reasoning_effort_levels"].append("ultra")
    profile["max_input_tokens"] = 1
    assert profile_of("deepseek-flash") == FLASH


def test_profile_can_be_set_by_the_caller() -> None:
    assert model("deepseek-flash", profile={"max_input_tokens": 1}).profile == {
        "max_input_tokens": 1
    }


def test_profile_of_the_model_named_in_a_call_is_used() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    body = model("deepseek-v4-pro")._get_request_payload(
        [("user", [image])], model="deepseek-flash"
    )
    assert body == {
        "model": "deepseek-flash",
        "messages": [{"role": "user", "content": [image]}],
    }


@pytest.mark.skipif(
    version("langchain-deepseek") != SOURCE_VERSION,
    reason=f"_profiles.py was generated from langchain-deepseek {SOURCE_VERSION}; to take over the "
    "data of another: python -m langchain_cf_deepseek.data.refresh",
)
def test_generated_table_matches_its_sources() -> None:
    public = import_module("langchain_deepseek.data._profiles")._PROFILES
    augmentations = AUGMENTATIONS.read_text(encoding="utf-8")
    assert TARGET.read_text(encoding="utf-8") == generate(public, SOURCE_VERSION, augmentations)


def test_model_added_to_the_table_works_everywhere() -> None:
    finished = run_python("-m", "tests.added_model")
    assert json.loads(finished.stdout) == {
        "profile": ["DeepSeek Next", 500],
        "is known": True,
        "errors for an image and for a long prompt": [
            "CFDeepSeekInvalidRequestError",
            "CFDeepSeekContextOverflowError",
        ],
        "served": "deepseek-next",
        "prompt tokens like": ["deepseek-v4-pro"],
        "is cost as priced": True,
        "is listed": True,
    }


def test_refresh_command_writes_the_table() -> None:
    code = (
        "import sys, pathlib, runpy\n"
        "written = []\n"
        "pathlib.Path.write_text = lambda path, text, **_: written.append((path.name, text))\n"
        "runpy.run_module('langchain_cf_deepseek.data.refresh', run_name='__main__')\n"
        "((name, text),) = written\n"
        "exec(text)\n"
        "print(name, *PROFILES, *UNIFIED_PROFILES)"
    )
    finished = run_python("-c", code)
    assert finished.stderr == ""
    assert set(BY_NAME) <= set(finished.stdout.split())
    assert finished.stdout.startswith("_profiles.py ")
