"""The short forms of `make large`."""

from __future__ import annotations

import pytest

from tests.large.interrupted import interrupt
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


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_large_file_whose_sender_was_killed_is_sent_on_in_a_few_parts_of_memory() -> None:
    with open_directory() as directory:
        upload = await interrupt(directory, SIZE)

    assert SIZE // 2 <= upload.committed < upload.file_bytes
    assert upload.sha256_of_stored == upload.sha256
    assert upload.server_peak - upload.server_idle < MOST_GROWTH, upload.last_line
    # The program with its libraries has as much already.
    assert max(upload.first_peak, upload.second_peak) < MOST_GROWTH, upload.last_line
