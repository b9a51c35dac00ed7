"""What the command line says of a document on its way."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from minirag_sdk.v1 import document_service_pb2 as pb
from rich.console import Console

from minirag.cli.documents import describe_state
from minirag.cli.upload_files import UploadFile
from minirag.cli.upload_progress import UploadProgress

CUT_HALF = pb.Document(
    state=pb.DOCUMENT_STATE_PARSING, chunks_found=1234, text_bytes=2_000, text_bytes_cut=1_000
)


def test_state_of_a_long_text_tells_how_much_of_it_is_cut() -> None:
    assert describe_state(CUT_HALF) == "parsing, 1234 chunks of 50 % of the text"
    assert describe_state(pb.Document(state=pb.DOCUMENT_STATE_PARSING)) == "parsing"


def test_upload_shows_the_chunks_found_while_a_long_text_is_cut() -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=120)
    output = cast("Any", SimpleNamespace(notes=console, as_json=False))
    file = UploadFile(Path("long.txt"), "long.txt")
    progress = UploadProgress(output, 1)

    with progress.shown():
        progress.progressed(file, CUT_HALF)

    assert "parsing, 1,234 chunks" in shown.getvalue()
