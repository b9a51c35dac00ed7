"""The built-in model: which sentences it answers with, and that it quotes them truly."""

from __future__ import annotations

import asyncio
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirag.adapters.chunking import estimate_tokens
from minirag.adapters.models.extractive import NO_ANSWER, ExtractiveChatModels
from minirag.domain.chats import FinishReason
from minirag.errors import DeadlineExceeded
from minirag.services.ports.models import TextDelta
from tests.unit.models.asking import a_request, ask

SHOP = """\
# Handbook

## Refunds

Goods can be returned within 30 days. The buyer pays for the parcel.

## Shipping

We ship on the day of the order. Parcels to islands take a week longer.
"""
FAQ = """\
**What is the refund period?**

You have 30 days from delivery.

| Plan | Price |
|-----|-------|
| Pro | 20 EUR |
| Free | 0 EUR |

```sh
pip install minirag
```
"""
ROWS = """\
name: Free
price: 0 EUR
support: none

name: Pro
price: 20 EUR
support: by mail

name: Team
price: 90 EUR
support: by phone
"""
TRANSCRIPT = """\
Alice: When do you open?
Bob: The museum opens at nine.
Alice: And the café?
Bob: It opens at ten, as the kitchen needs time.
"""


@pytest.mark.parametrize(
    ("question", "passage", "sentence"),
    [
        ("When is an order shipped?", SHOP, "We ship on the day of the order."),
        ("returning goods", SHOP, "Goods can be returned within 30 days."),
        ("What is the refund period?", FAQ, "You have 30 days from delivery."),
        ("What is the price of the Pro plan?", FAQ, "| Pro | 20 EUR |"),
        ("how do I install minirag", FAQ, "pip install minirag"),
        ("What is the price of the Pro plan?", ROWS, "price: 20 EUR"),
        ("Which support does Team get?", ROWS, "support: by phone"),
        ("How much time does the kitchen need?", TRANSCRIPT, TRANSCRIPT.splitlines()[-1]),
        (
            "Wie kündige ich den Vertrag?",
            "Der Hund ist braun. Verträge können mit einer Frist von drei Monaten gekündigt werden.",
            "Verträge können mit einer Frist von drei Monaten gekündigt werden.",
        ),
        (
            "返品期間は何日ですか",
            "送料はお客様の負担です。返品は購入から30日以内です。",
            "返品は購入から30日以内です。",
        ),
        (
            "退款政策是什么？",
            "我们的公司在上海。退款需要在三十天内申请。",
            "退款需要在三十天内申请。",
        ),
        (
            "한국의 수도는 어디입니까?",
            "김치는 음식입니다. 서울은 한국의 수도입니다.",
            "서울은 한국의 수도입니다.",
        ),
        (
            "À quelle heure ouvre le musée ?",
            "Le jardin est à l'ombre. Les musées ouvrent à neuf heures.",
            "Les musées ouvrent à neuf heures.",
        ),
    ],
)
async def test_answers_with_the_sentence_that_holds_the_answer_and_its_mark(
    question: str, passage: str, sentence: str
) -> None:
    answer = await ask(question, passage)

    assert answer.text == f"{sentence} [1]"
    assert answer.quotes == {1: sentence}
    assert answer.finished.finish_reason is FinishReason.STOP


@pytest.mark.parametrize(
    ("question", "passages"),
    [
        ("Who won the world cup?", [SHOP, FAQ]),
        ("What is it?", ["It is what it is."]),
        ("Wie hoch ist der Rabatt?", ["Der Hund ist braun. Wie schön ist der Tag."]),
        ("猫はどこですか", ["東京は日本の首都です。駅はどこですか。"]),
        ("???", [SHOP]),
        ("When do parcels ship?", []),
        ("anything", ["|---|---|\n\n***\n"]),
    ],
)
async def test_says_so_when_no_meaningful_word_is_shared(
    question: str, passages: list[str]
) -> None:
    answer = await ask(question, *passages)

    assert answer.text == NO_ANSWER
    assert answer.quotes == {}
    assert answer.finished.finish_reason is FinishReason.STOP


async def test_several_passages_give_one_quotation_each_the_best_first() -> None:
    passages = [
        "The museum has a café. It is closed today.",
        "The museum was founded in 1901. The director is new.",
        "Founded by a merchant, the museum was a gift to the town.",
        "Bicycles are cheap.",
    ]

    answer = await ask("Who founded the museum?", *passages)

    assert answer.text.splitlines() == [
        "The museum was founded in 1901. [2]",
        "Founded by a merchant, the museum was a gift to the town. [3]",
    ]
    assert answer.quotes == {
        2: "The museum was founded in 1901.",
        3: "Founded by a merchant, the museum was a gift to the town.",
    }


async def test_the_same_statement_in_two_passages_is_said_once() -> None:
    passages = ["The museum was founded in 1901.", "So the museum was founded in 1901. Really."]

    answer = await ask("When was the museum founded?", *passages)

    assert answer.text == "The museum was founded in 1901. [1]"


async def test_at_most_four_sentences_are_given() -> None:
    passages = [
        f"The museum has a {thing}." for thing in ["café", "lift", "shop", "roof", "door", "hall"]
    ]

    answer = await ask("museum", *passages)

    assert len(answer.quotes) == 4


async def test_a_heading_is_quoted_only_when_nothing_under_it_can_be() -> None:
    bare = await ask("refunds", "# Refunds\n")
    with_text = await ask("refunds", "# Refunds\n\nAsk the shop for your money.\n")

    assert (bare.text, bare.quotes) == ("Refunds [1]", {1: "# Refunds"})
    assert with_text.quotes == {1: "Ask the shop for your money."}


async def test_references_in_a_text_do_not_pose_as_citations() -> None:
    passages = ["Sleep helps memory [2] and mood [1, 2].", "Memory is long. Cats are short."]

    answer = await ask("Does sleep help mood?", *passages)

    assert answer.text == "Sleep helps memory (2) and mood (1, 2). [1]"
    assert answer.quotes == {1: passages[0]}


async def test_sentences_without_end_marks_are_each_resolved_to_themselves() -> None:
    passages = ["- red apples from the garden\n- pears", "- green apples of last year\n- plums"]

    answer = await ask("apples", *passages)

    assert answer.quotes == {1: "- red apples from the garden", 2: "- green apples of last year"}


async def test_a_wrapped_sentence_is_said_on_one_line_and_quoted_as_it_stands() -> None:
    wrapped = "The warranty covers all parts of the machine that break\nwithin two years."

    answer = await ask("What does the warranty cover?", wrapped)

    assert answer.text == f"{wrapped.replace(chr(10), ' ')} [1]"
    assert answer.quotes == {1: wrapped}


async def test_only_the_marks_at_the_start_of_a_line_are_left_out() -> None:
    answer = await ask(
        "How is a password traded?", "> - a password -> a token, a key - a session\n"
    )

    assert answer.text.startswith("a password -> a token, a key - a session [1]")


async def test_the_answer_streams_in_small_pieces_and_a_mark_in_one() -> None:
    answer = await ask("returning goods", SHOP)

    assert len(answer.deltas) >= 8
    assert answer.deltas[-1] == " [1]"
    assert max(len(delta.strip()) for delta in answer.deltas) <= 12


async def test_the_same_request_always_gives_the_same_answer() -> None:
    passages = [SHOP, FAQ, SHOP.upper(), FAQ.lower()]

    answers = [await ask("How do I return goods within 30 days?", *passages) for _ in range(3)]

    assert answers[0] == answers[1] == answers[2]


async def test_usage_counts_question_passages_and_answer_and_costs_nothing() -> None:
    answer = await ask("returning goods", SHOP, FAQ)
    usage = answer.finished.usage

    expected = sum(map(estimate_tokens, ("returning goods", SHOP, FAQ)))
    assert (usage.input_tokens, usage.output_tokens) == (expected, estimate_tokens(answer.text))
    assert (usage.cost_usd, usage.is_estimated) == (0.0, False)


async def test_usage_of_an_answer_cut_short_is_counted_alike_and_flagged() -> None:
    whole = await ask("returning goods", SHOP)

    usage = ExtractiveChatModels().estimate_usage(
        a_request("returning goods", [SHOP]), "Goods can be"
    )

    assert usage.input_tokens == whole.finished.usage.input_tokens
    assert usage.output_tokens == estimate_tokens("Goods can be")
    assert (usage.cost_usd, usage.is_estimated) == (0.0, True)


async def test_the_limit_leaves_out_whole_sentences() -> None:
    passages = ["The museum was founded in 1901.", "Founded by a merchant, the museum was a gift."]
    whole = await ask("museum founded", *passages)
    limit = estimate_tokens(whole.text) - 1

    limited = await ask("museum founded", *passages, max_output_tokens=limit)

    assert len(whole.quotes) == 2
    assert limited.text == whole.text.splitlines()[0]
    assert limited.finished.finish_reason is FinishReason.LENGTH


@pytest.mark.parametrize("limit", range(1, 12))
async def test_a_first_sentence_beyond_the_limit_is_cut_without_a_mark(limit: int) -> None:
    answer = await ask("returning goods", SHOP, max_output_tokens=limit)

    assert "Goods can be returned within 30 days. [1]".startswith(answer.text)
    assert estimate_tokens(answer.text) <= limit
    assert answer.finished.usage.output_tokens <= limit
    assert answer.finished.finish_reason is (
        FinishReason.STOP if answer.quotes else FinishReason.LENGTH
    )


async def test_an_expired_deadline_ends_the_answer() -> None:
    request = a_request("returning goods", [SHOP], timeout=0.0)

    with pytest.raises(DeadlineExceeded):
        _ = [event async for event in ExtractiveChatModels().answer(request)]


async def test_other_tasks_run_while_an_answer_is_made() -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    await ask("returning goods", *[SHOP] * 20)
    counting.cancel()

    assert turns >= 20


WORDS = st.sampled_from(
    [
        "museum",
        "Founded",
        "1901",
        "the",
        "[1]",
        "[2, 1]",
        "U.S.",
        "(a",
        "b)",
        "e.g.",
        "猫。",
        "犬",
        '"x."',
    ]
)
MARKS = st.sampled_from(
    [" ", ". ", "? ", "\n", "\n\n", "。", ": ", "\n- ", "\n# ", "\n| ", '." ', ".[1] "]
)


@given(
    st.lists(
        st.lists(st.tuples(WORDS, MARKS), min_size=1, max_size=25).map(
            lambda parts: "".join(word + mark for word, mark in parts)
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=150, deadline=None)
async def test_every_quotation_is_the_sentence_that_was_said(passages: list[str]) -> None:
    answer = await ask("Was the museum founded in 1901 by 猫 or 犬?", *passages)

    said = dict(re.findall(r"^(?P<said>.*) \[(?P<number>\d+)\]$", answer.text, re.MULTILINE))
    by_number = {int(number): text for text, number in said.items()}
    if answer.text == NO_ANSWER:
        assert answer.quotes == {}
        return
    assert by_number.keys() == answer.quotes.keys()
    for number, quote in answer.quotes.items():
        assert quote in passages[number - 1]
        assert _plain(by_number[number]) in _plain(quote)


def _plain(text: str) -> str:
    """Without what differs on purpose: brackets of references, and spaces."""
    return re.sub(r"[\s\[\]()]", "", text)


async def test_an_answer_left_early_leaves_nothing_behind() -> None:
    stream = ExtractiveChatModels().answer(a_request("returning goods", [SHOP]))

    first = await anext(stream)
    await stream.aclose()

    assert first == TextDelta("Goods")
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
