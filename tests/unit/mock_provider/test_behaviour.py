"""The grammar of the mock provider's model names: a typing error must not pass as a test's success."""

from __future__ import annotations

import pytest

from tests.mock_provider.behaviour import Behaviour, UnknownBehaviourError, parse_behaviour
from tests.mock_provider.texts import answer_for


@pytest.mark.parametrize(
    ("model", "behaviour"),
    [
        ("mock-chat", Behaviour()),
        ("gpt-4o-mini", Behaviour()),
        ("gpt.hang", Behaviour()),
        ("mock-chat.first-20.gap-5", Behaviour(first=0.02, gap=0.005)),
        ("mock-chat.hang", Behaviour(hang=True)),
        ("mock-chat.hang-3", Behaviour(hang_at=3)),
        ("mock-chat.status-429.retry-7", Behaviour(status=429, retry="7")),
        ("mock-chat.cite-1-2", Behaviour(cite=(1, 2))),
        ("mock-chat.say-a_fixed_text", Behaviour(say="a fixed text")),
        ("mock-chat.finish-content_filter", Behaviour(finish="content_filter")),
        ("mock-embed.dim-8.nan.nobase64", Behaviour(dim=8, nan=True, nobase64=True)),
    ],
)
def test_a_name_says_what_the_provider_does(model: str, behaviour: Behaviour) -> None:
    assert parse_behaviour(model) == behaviour


@pytest.mark.parametrize("segment", ["hnag", "tokens", "tokens-x", "nan-1", "finish", "gate", ""])
def test_a_segment_that_the_grammar_lacks_is_an_error(segment: str) -> None:
    with pytest.raises(UnknownBehaviourError):
        parse_behaviour(f"mock-chat.{segment}")


PROMPT = [
    {
        "role": "system",
        "content": "[1] Cats sleep. Dogs bark loudly.\n\n[2] Pears are green.\n=== end",
    },
    {"role": "user", "content": "Which animals bark?"},
]


@pytest.mark.parametrize(
    ("model", "answer"),
    [
        ("mock-chat", "Dogs bark loudly. [1]"),
        ("mock-chat.cite-2-1-9", "Pears are green. [2] Dogs bark loudly. [1] [9]"),
        ("mock-chat.echo", "Which animals bark?"),
        ("mock-chat.tokens-5", "Dogs bark loudly. word4 [1]"),
        ("mock-chat.tokens-2", "Dogs [1]"),
    ],
)
def test_an_answer_is_made_of_the_prompts_passages(model: str, answer: str) -> None:
    assert "".join(answer_for(parse_behaviour(model), PROMPT)) == answer
