"""Texts of a wanted length."""

from __future__ import annotations


def make_text(chunks: int) -> str:
    """A text of so many paragraphs that each fill a chunk of 32 tokens."""
    return "\n\n".join(
        f"Paragraph {n} tells that the number {n} is followed by {n + 1}, as in every book of sums."
        for n in range(chunks)
    )
