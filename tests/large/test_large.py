"""The short form of `make large`."""

from __future__ import annotations

import pytest

from tests.large.passage import MEBIBYTE, pass_through
from tests.support.servers import open_directory

SIZE = 64 * MEBIBYTE
MOST_GROWTH = 128 * MEBIBYTE
"""gRPC's buffers and a few parts; a text held whole would be several times its size."""
MOST_OF_PARSER = 128 * MEBIBYTE
"""What it holds with all parsers loaded, and some; the whole text alone would be more than that."""


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_large_text_takes_no_more_memory_than_a_few_parts_and_can_be_cancelled() -> None:
    with open_directory() as directory:
        passage = await pass_through(directory, SIZE)

    assert passage.text_bytes >= SIZE
    assert passage.chunks > 50_000
    assert passage.server_peak - passage.server_idle < MOST_GROWTH, passage.last_line
    assert passage.worker_peak - passage.worker_idle < MOST_GROWTH, passage.last_line
    assert passage.parser_peak < MOST_OF_PARSER, passage.last_line
    assert passage.cancel_seconds < 2, passage.last_line
