"""docs/access.md is what the method table says."""

from __future__ import annotations

import re
import subprocess
import sys

from minirag.api.method_table import METHOD_TABLE
from tests.support.documents import ROOT

SCRIPT = ROOT / "scripts" / "access_table.py"
TEXT = (ROOT / "docs" / "access.md").read_text()


def test_the_page_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_every_rpc_has_its_row() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)

    assert rows == [path.rpartition("/")[2] for path in METHOD_TABLE]


def test_rows_tell_what_the_table_says() -> None:
    """Some, as a reader takes them: the script could be wrong in the same way as the page."""
    rows = {row.split("|")[1].strip(" `"): row for row in TEXT.splitlines() if "| `" in row}

    def cells(method: str) -> list[str]:
        return [cell.strip() for cell in rows[method].split("|")[2:-1]]

    #                                no   platform  key    owner  admin  editor viewer audited
    assert cells("SignIn") == ["yes", "", "", "", "", "", "", "yes"]
    assert cells("WhoAmI") == ["", "yes", "any scope", "yes", "yes", "yes", "yes", ""]
    assert cells("CreateTenant") == ["", "yes", "", "", "", "", "", "yes"]
    assert cells("CreateUser") == ["", "yes", "`MANAGE`", "yes", "yes", "", "", "yes"]
    assert cells("ExportTenant") == ["", "", "every scope", "yes", "", "", "", "yes"]
    assert cells("CreateDocument") == ["", "", "`INGEST`", "yes", "yes", "yes", "", "yes"]
    assert cells("SendMessage") == ["", "", "`CHAT`", "yes", "yes", "yes", "yes", ""]
    assert cells("SignOut") == ["", "", "", "yes", "yes", "yes", "yes", "yes"]
