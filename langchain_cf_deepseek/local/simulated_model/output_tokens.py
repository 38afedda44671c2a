"""The output of the simulated model in pieces, with the requested log probabilities."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from hashlib import blake2b

from deepseek_recipe import InferenceChunk, SpecialToken, Tokenizer

_SPECIAL = tuple(
    token.default_str()
    for token in (SpecialToken.ThinkingStart, SpecialToken.ThinkingEnd, SpecialToken.Dsml)
)
_PIECE = r"</?think>|｜DSML｜| ?\w{1,12}|\s|[^\w\s]"  # noqa: RUF001  # the model's own markup
"""Roughly one token: it is sent in one piece and counts as one."""

_UNKNOWN = "?"
_OTHERS = tuple("abcdefghijklmnopqrst")
"""The alternatives to every token."""

MIN_LOGPROB = -9999.0
"""DeepSeek's log probability of an impossible token."""


def _tokenizer(ids: Mapping[str, int]) -> Tokenizer:
    special = [
        {
            "id": ids[text],
            "content": text,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": False,
        }
        for text in _SPECIAL
        if text in ids
    ]
    return Tokenizer.from_str(
        json.dumps(
            {
                "version": "1.0",
                "added_tokens": special,
                "pre_tokenizer": {
                    "type": "Split",
                    "pattern": {"Regex": _PIECE},
                    "behavior": "Isolated",
                    "invert": False,
                },
                "decoder": {"type": "Fuse"},
                "model": {"type": "WordLevel", "vocab": ids, "unk_token": _UNKNOWN},
            }
        )
    )


_COUNTING = _tokenizer({_UNKNOWN: 0})
"""Only splits text into pieces: the library needs a tokenizer to count reasoning tokens."""


class Pieces:
    """One output, split into pieces."""

    def __init__(self, output: str, top_logprobs: int | None) -> None:
        """Split an output.

        Args:
            output: The output, markup included.
            top_logprobs: The number of alternatives with each log probability; None where no log
                probabilities are requested.
        """
        self._texts = re.findall(_PIECE, output)
        self._top = top_logprobs
        if top_logprobs is None:
            self.tokenizer = _COUNTING
        else:
            # Log probabilities belong to tokens, so every piece needs an id.
            known = dict.fromkeys((_UNKNOWN, *_SPECIAL, *_OTHERS, *self._texts))
            self._ids = {text: number for number, text in enumerate(known)}
            self.tokenizer = _tokenizer(self._ids)

    def __len__(self) -> int:
        return len(self._texts)

    def chunks(self, count: int) -> Iterator[InferenceChunk]:
        """Yield the first `count` pieces."""
        for text in self._texts[:count]:
            if self._top is None:
                yield InferenceChunk.text(text, 1)
            else:
                yield self._token(text, self._top)

    def _token(self, text: str, top: int) -> InferenceChunk:
        """Create one token; its log probability only depends on its text."""
        number = self._ids[text]
        likely = -blake2b(text.encode("utf-8", "surrogatepass"), digest_size=1).digest()[0] / 1000
        unlikely = [(self._ids[other], MIN_LOGPROB) for other in _OTHERS if other != text]
        return InferenceChunk.tokens([number], [(likely, [(number, likely), *unlikely][:top])])
