"""What a prompt may be."""

from __future__ import annotations

import unicodedata

from show1.errors import PromptError

MAX_PROMPT_CHARACTERS = 10_000
"""Longer prompts are refused: no text encoder here reads more than a few hundred characters."""


def check_prompt(prompt: str) -> str:
    """The prompt without control characters.

    Raises:
        PromptError: not text, or longer than MAX_PROMPT_CHARACTERS.
    """
    if not isinstance(prompt, str):
        raise PromptError(f"a prompt must be text, not {type(prompt).__name__}")
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise PromptError(f"the prompt has {len(prompt)} characters; at most {MAX_PROMPT_CHARACTERS} are taken")
    return "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Co", "Cn") else c for c in prompt)
