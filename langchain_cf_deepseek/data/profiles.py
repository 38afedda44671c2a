"""Facts about the models.

Limits, modalities and aliases: https://api-docs.deepseek.com/quick_start/pricing and, for the
catalogue of the unified endpoint, https://developers.cloudflare.com/ai/models/.
"""

from typing import Any

_CHAT: dict[str, Any] = {
    "open_weights": True,
    "max_input_tokens": 1_048_576,
    "max_output_tokens": 393_216,
    "text_inputs": True,
    "image_inputs": False,
    "audio_inputs": False,
    "video_inputs": False,
    "text_outputs": True,
    "image_outputs": False,
    "audio_outputs": False,
    "video_outputs": False,
    "reasoning_output": True,
    "tool_calling": True,
    "tool_choice": True,
    # Chat completions refuse `json_schema`; agents then choose their tool strategy.
    "structured_output": False,
    "attachment": False,
    "temperature": True,
    "tool_call_streaming": True,
}

_FLASH = {
    **_CHAT,
    "name": "DeepSeek V4.1 Flash",
    "release_date": "2026-09-10",
    "image_inputs": True,
    "image_url_inputs": True,
    "image_tool_message": True,
    "attachment": True,
}

_PRO = {**_CHAT, "name": "DeepSeek V4 Pro", "release_date": "2026-08-12"}

PROFILES: dict[str, dict[str, Any]] = {
    "deepseek-flash": _FLASH,
    "deepseek-v4-flash": _FLASH,
    "deepseek-v4-flash-vision-exp": _FLASH,
    "deepseek-chat": {**_FLASH, "reasoning_output": False},
    "deepseek-reasoner": _FLASH,
    "deepseek-v4-pro": _PRO,
    # Served by Workers AI, on a context of its own.
    "@cf/deepseek-ai/deepseek-v4-flash-0731": {**_CHAT, "name": "DeepSeek V4 Flash"},
    "@cf/deepseek-ai/deepseek-v4-pro-0813": _PRO,
}
