"""What a receipt tells of a re-embedding."""

from __future__ import annotations

import pytest
from minirag_sdk.v1 import operation_service_pb2 as pb

from minirag.cli.output import Output
from minirag.cli.receipts import MOST_QUERIES, show_comparison


def compare(*overlaps: float) -> pb.EmbeddingComparison:
    """Query number n, from 0, has the n-th overlap; only one of 1.0 has the same results."""
    return pb.EmbeddingComparison(
        former_model="openai/former",
        depth=10,
        mean_overlap=sum(overlaps) / max(len(overlaps), 1),
        same_first=0.5,
        queries=[
            pb.QueryComparison(
                query=f"query {number}",
                overlap=overlap,
                former_chunk_ids=["chk_same"],
                new_chunk_ids=["chk_same" if overlap == 1 else "chk_other"],
            )
            for number, overlap in enumerate(overlaps)
        ],
    )


def test_queries_that_differ_most_come_first_and_equal_ones_not_at_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_comparison(Output(as_json=False), compare(0.9, 1.0, 0.2, 0.5))

    lines = capsys.readouterr().out.splitlines()
    told = [line.split()[1] for line in lines if line.startswith("query ")]
    assert told == ["2", "3", "0"]
    assert lines[0].startswith(
        "From openai/former to words alone (BM25), by 4 sample queries: 65% "
    )
    assert "50% of the queries" in lines[0]


def test_only_some_of_many_queries_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    show_comparison(Output(as_json=False), compare(*(number / 50 for number in range(40))))

    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("query ")]
    assert [line.split()[1] for line in told] == [str(number) for number in range(MOST_QUERIES)]


def test_collection_without_queries_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    show_comparison(Output(as_json=False), compare())

    assert "no query to compare" in capsys.readouterr().out
