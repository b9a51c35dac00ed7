"""The image is built from locked parts, runs as nobody in particular, and ends when it is told to."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

from tests.unit.deployment.files import ROOT, Instruction, load_dockerfile

STAGES = load_dockerfile()
BUILD, FINAL = STAGES


def of(stage: list[Instruction], word: str) -> list[str]:
    return [each.rest for each in stage if each.word == word]


def test_both_stages_start_from_the_same_pinned_python() -> None:
    first, last = of(BUILD, "FROM")[0], of(FINAL, "FROM")[0]

    assert first == f"{last} AS build"
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", last)


def test_everything_is_installed_by_hash_or_from_this_tree() -> None:
    installs = [
        command
        for run in of(BUILD, "RUN")
        for command in run.split("&&")
        if re.search(r"\bpip\b.* install ", command)
    ]

    assert any("-r requirements.lock" in command for command in installs)
    for command in installs:
        assert "--require-hashes" in command or "--no-index" in command


def test_the_final_stage_installs_nothing_and_keeps_no_installer() -> None:
    runs = " ".join(of(FINAL, "RUN"))

    assert not re.search(r"apt-get|pip install|apk |curl|wget", runs)
    assert "pip uninstall" in runs
    assert of(FINAL, "COPY") == ["--from=build /opt/minirag /opt/minirag"]


def test_the_user_is_not_root_and_has_a_passwd_entry() -> None:
    assert of(FINAL, "USER") == ["10001:10001"]
    assert "useradd --uid 10001" in " ".join(of(FINAL, "RUN"))


def test_signals_reach_the_process() -> None:
    assert of(FINAL, "STOPSIGNAL") == ["SIGTERM"]
    assert json.loads(of(FINAL, "ENTRYPOINT")[0]) == ["minirag"]
    assert json.loads(of(FINAL, "CMD")[0]) == ["serve"]


def test_the_health_check_is_ours() -> None:
    check = of(FINAL, "HEALTHCHECK")[0]

    assert json.loads(check.partition("CMD ")[2]) == ["python", "-m", "minirag.healthcheck"]


def test_the_image_holds_no_setting_and_no_secret() -> None:
    words = {each.word for stage in STAGES for each in stage}

    assert "MINIRAG_" not in (ROOT / "Dockerfile").read_text()
    assert not words & {"ARG", "ADD"}


def test_what_is_copied_exists_and_is_let_through() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    copied = {source for rest in of(BUILD, "COPY") for source in rest.split()[:-1]}
    let_through = {line[1:] for line in ignore if line.startswith("!")}

    assert ignore[1] == "*"
    assert {source.removeprefix("./") for source in copied} == let_through
    assert all((ROOT / source).exists() for source in copied)


def test_the_lock_gives_all_that_the_build_backend_needs(tmp_path: Path) -> None:
    script = next(run for run in of(BUILD, "RUN") if run.startswith("awk "))
    command = script.partition("&&")[0].replace(
        "requirements-dev.lock", str(ROOT / "requirements-dev.lock")
    )
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)

    locked = (tmp_path / "build.lock").read_text()
    names = set(re.findall(r"^([\w-]+)==", locked, re.MULTILINE))
    needed = {"hatchling"}
    for each in needed | names:
        needed |= _unconditional_needs(each)
    assert names == needed
    assert locked.count("--hash=sha256:") >= len(names)


def test_the_wheel_holds_every_process(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("minirag", "worker"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path],
        cwd=source,
        check=True,
        capture_output=True,
    )

    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    assert {
        "minirag/healthcheck.py",
        "worker/healthcheck.py",
        "minirag/migrations/versions/0001_foundations.py",
    } <= names


def _unconditional_needs(name: str) -> set[str]:
    from importlib.metadata import distribution

    described = Parser().parsestr(distribution(name).read_text("METADATA") or "")
    wanted = described.get_all("Requires-Dist") or []
    return {
        re.split(r"[^\w-]", each)[0]
        for each in wanted
        if "extra ==" not in each and "python_version <" not in each
    }
