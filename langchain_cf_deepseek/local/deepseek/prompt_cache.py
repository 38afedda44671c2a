"""Prompt tokens, and DeepSeek's context cache: how much of a prompt it has seen before."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b

TOKENS_PER_CHARACTER = 0.3
"""DeepSeek's rule of thumb for English text."""

BLOCK_TOKENS = 128
"""Cache hits are counted in blocks of this size."""

BLOCK_CHARACTERS = round(BLOCK_TOKENS / TOKENS_PER_CHARACTER)
MAX_BLOCKS = 20_000


def prompt_tokens(prompt: str) -> int:
    """Estimate the number of tokens in a rendered prompt."""
    return max(1, round(len(prompt) * TOKENS_PER_CHARACTER))


class PromptCache:
    """The prefixes of earlier prompts, separate for each user id."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[bytes, None] = OrderedDict()

    def cached_tokens(self, prompt: str, user_id: str) -> int:
        """Count the prompt's tokens that an earlier prompt started with, and store this prompt."""
        digest = blake2b(user_id.encode(), digest_size=16)
        seen = 0
        unbroken = True
        for end in range(BLOCK_CHARACTERS, len(prompt) + 1, BLOCK_CHARACTERS):
            digest.update(prompt[end - BLOCK_CHARACTERS : end].encode("utf-8", "surrogatepass"))
            block = digest.digest()
            unbroken = unbroken and block in self._blocks
            seen += unbroken
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        while len(self._blocks) > MAX_BLOCKS:
            self._blocks.popitem(last=False)
        return seen * BLOCK_TOKENS
