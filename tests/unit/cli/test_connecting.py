"""Where encryption is the default, and how keys are checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from minirag.cli.connecting import _own_platform_key
from minirag.cli.encryption import is_local
from minirag.cli.failures import CliFailure
from minirag.cli.output import Output
from minirag.cli.session import Session
from minirag.embedded import layout


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("127.0.0.1:50051", True),
        ("localhost:50051", True),
        ("[::1]:50051", True),
        ("127.8.9.1:1", True),
        ("unix:/run/minirag.sock", True),
        ("rag.example.com:443", False),
        ("10.0.0.5:50051", False),
        ("[2001:db8::1]:443", False),
        ("localhost.example.com:1", False),
    ],
)
def test_only_this_machine_counts_as_local(server: str, expected: bool) -> None:
    assert is_local(server) is expected


@pytest.mark.parametrize("key", ["mrk_a b", "mrk_\nb", "mrk_ü"])
def test_key_that_no_header_can_carry_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(CliFailure) as refusal:
        Session(Output(as_json=False), server="127.0.0.1:1", key=key)

    assert key not in refusal.value.line


@pytest.mark.parametrize(
    ("server", "key"),
    [("127.0.0.1:50051", "mrp_own"), ("rag.example.com:443", None), ("203.0.113.7:50051", None)],
)
def test_key_of_this_machines_node_is_for_this_machine_only(
    server: str, key: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "platform.key").write_text("mrp_own\n")
    monkeypatch.setattr(layout, "default_data_directory", lambda: tmp_path)

    assert _own_platform_key(server) == key
