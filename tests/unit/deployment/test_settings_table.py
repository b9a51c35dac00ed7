"""The README's table of settings is what the settings are."""

from __future__ import annotations

import subprocess
import sys

from tests.unit.deployment.files import ROOT, SETTINGS

SCRIPT = ROOT / "scripts" / "settings_table.py"


def test_the_table_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_every_setting_is_in_the_table() -> None:
    text = (ROOT / "README.md").read_text()

    assert all(f"| `{name}` |" in text for name in SETTINGS)
