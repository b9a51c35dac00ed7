"""Finding the credential in metadata."""

from __future__ import annotations

import pytest

from minirag.api.interceptors.credentials import read_authorization
from minirag.errors import Unauthenticated


def test_the_one_entry_is_found_among_others() -> None:
    metadata = (("user-agent", "x"), ("authorization", "Bearer a"), ("authorization-bin", b"b"))

    assert read_authorization(metadata) == "Bearer a"


def test_no_entry_is_none_and_a_binary_one_is_another_header() -> None:
    assert read_authorization(()) is None
    assert read_authorization((("authorization-bin", b"Bearer a"),)) is None


@pytest.mark.parametrize(
    "metadata",
    [
        (("authorization", "Bearer a"), ("authorization", "Bearer b")),
        (("authorization", "Bearer a"), ("authorization", "Bearer a")),
        (("authorization", b"Bearer a"),),
    ],
)
def test_more_than_one_entry_and_bytes_are_refused(metadata: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(Unauthenticated):
        read_authorization(metadata)
