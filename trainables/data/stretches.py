"""Text between blanks, for tokenizers that make the same of it alone as in its text.

Most of what stands between blanks in a corpus occurs often, so that a tokenizer need see it only once.
"""

from __future__ import annotations

import json
from typing import Any

BLANK = " "


def stand_alone(backend: Any) -> bool:
    """Whether a tokenizer treats every stretch between blanks by itself, as BERT's rules do.

    They normalise character by character, cut at white space and punctuation, and make pieces of single words. Pieces
    that were added must have no blank, and take none from beside them.

    Args:
        backend: The tokenizer, of the tokenizers library.
    """
    form = json.loads(backend.to_str())
    normalizer = form["normalizer"] or {"type": "BertNormalizer"}  # without one nothing is changed
    if normalizer["type"] != "BertNormalizer" or (form["pre_tokenizer"] or {}).get("type") != "BertPreTokenizer":
        return False
    return not any(
        BLANK in added["content"] or added["lstrip"] or added["rstrip"] or added["single_word"]
        for added in form["added_tokens"]
    )
