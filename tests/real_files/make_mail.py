"""Makes the mails among the files beside it by mail programs, and asks another one what is in each.

    python tests/real_files/make_mail.py

It needs mutt, s-nail, mpack and ripmime, besides what `make.py` needs, and rewrites the manifest's entries of
mails alone. The mails never leave: what the programs take for sendmail writes them to a file.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SOURCES = HERE / "sources"
FILES = HERE / "files"

SENDER = "Grażyna Świątek <grazyna@example.org>"
RECEIVER = "keeper@example.com"
PART_LINE = re.compile(r"^\[-- .* --\]:?$", re.MULTILINE)


class MailPrograms:
    """Each call makes one mail, in a directory that goes away."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._sent = directory / "sent.eml"
        self._sendmail = directory / "sendmail"
        self._sendmail.write_text(f"#!/bin/sh\ncat > {self._sent}\n")
        self._sendmail.chmod(0o755)

    def _run(self, *command: str | Path, given: str = "") -> str:
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "HOME": str(self.directory), "TZ": "UTC"}
        done = subprocess.run(
            [str(each) for each in command],
            cwd=self.directory,
            env=environment,
            input=given,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    def mutt(self, subject: str, body: str, *attached: Path, charset: str = "utf-8") -> Path:
        wanted = {
            "sendmail": self._sendmail,
            "from": SENDER,
            "charset": "utf-8",
            "send_charset": charset,
            "copy": "no",
        }
        options = [each for name in wanted for each in ("-e", f'set {name}="{wanted[name]}"')]
        files = ["-a", *attached] if attached else []
        self._run(
            *("mutt", "-n", "-F", "/dev/null", *options, "-s", subject, *files, "--", RECEIVER),
            given=body,
        )
        return self._sent

    def s_nail(
        self, subject: str, body: str, *attached: Path, charset: str = "utf-8", encoding: str
    ) -> Path:
        wanted = {
            "mta": self._sendmail,
            "from": SENDER,
            "sendcharsets": charset,
            "mime-encoding": encoding,
            "sendwait": "",
        }
        options = [each for name in wanted for each in ("-S", f"{name}={wanted[name]}")]
        files = [each for file in attached for each in ("-a", file)]
        self._run("s-nail", "-:/", *options, "-s", subject, *files, RECEIVER, given=body)
        return self._sent

    def mpack(self, subject: str, body: str, attached: Path) -> Path:
        description = self.directory / "description.txt"
        description.write_text(body)
        self._sent.unlink(missing_ok=True)
        self._run("mpack", "-s", subject, "-d", description, "-o", self._sent, attached)
        return self._sent

    def read_by_s_nail(self, mail: Path) -> str:
        """Head and text as a reader sees them, without the lines in between that name the parts."""
        box = self.directory / "box"
        body = mail.read_bytes().replace(b"\nFrom ", b"\n>From ")
        box.write_bytes(b"From someone Mon Jan  5 10:00:00 2026\n" + body + b"\n\n")
        commands = "headerpick type retain from to cc date subject\ntype 1\nexit\n"
        shown = self._run(
            *("s-nail", "-:/", "-S", "ttycharset=utf-8", "-S", "pager=", "-S", "crt=0"),
            *("-N", "-R", "-f", box),
            given=commands,
        )
        return PART_LINE.sub("", shown[shown.index("[-- Message ") :])

    def read_by_ripmime(self, mail: Path) -> str:
        """The parts' texts, which it decodes; it leaves out the head."""
        target = self.directory / "parts"
        shutil.rmtree(target, ignore_errors=True)
        self._run("ripmime", "-i", mail, "-d", target)
        texts = []
        before_parts = mail.read_bytes().partition(b"\n--")[0]
        for part in sorted(target.iterdir()):
            data = part.read_bytes()
            if b"multipart/" in before_parts and data.strip() in before_parts:
                continue  # for readers that know no parts
            try:
                texts.append(data.decode())
            except UnicodeDecodeError:
                texts.append(data.decode("iso-8859-1"))
        return "\n\n".join(texts)


def make_mails(programs: MailPrograms) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []

    def source(name: str) -> Path:
        return SOURCES / f"{name}.md"

    def text(name: str) -> str:
        return source(name).read_text()

    def in_latin(name: str) -> str:
        """The lines that ISO 8859-1 has the letters for: of others, the programs choose UTF-8."""
        lines = text(name).split("\n")
        return "\n".join(
            line for line in lines if line.encode("latin-1", "ignore").decode("latin-1") == line
        )

    def add(made: Path, name: str, program: str, *, by_ripmime: bool = False) -> Path:
        kept = FILES / name
        shutil.copyfile(made, kept)
        read = programs.read_by_s_nail(kept)
        if by_ripmime:
            # Its own mails' text is not its own to judge; of others it leaves out what it takes for data.
            head = read.strip().partition("\n\n")[0] if program == "s-nail" else read
            read = "\n\n".join((head, programs.read_by_ripmime(kept)))
        reference = "s-nail and ripmime" if by_ripmime else "s-nail"
        entry = {"file": name, "made_by": program, "reference": reference, "text": read}
        entries.append({**entry, "headings": None})
        return kept

    add(programs.mutt("Der Bienenstock", text("beehives")), "beehives.mutt.eml", "mutt")
    latin = programs.mutt("Le pain de la semaine", in_latin("boulangerie"), charset="iso-8859-1")
    add(latin, "boulangerie.mutt.eml", "mutt")
    with_file = programs.mutt("Timetable, as promised", "See below.\n", source("ferry"))
    inner = add(with_file, "ferry.mutt.eml", "mutt")
    forwarded = programs.directory / "timetable.eml"
    shutil.copyfile(inner, forwarded)
    forward = programs.mutt("Fwd: Timetable", "For you.\n", forwarded)
    add(forward, "ferry.forwarded.eml", "mutt")
    add(
        programs.s_nail("木曜日の市場", text("bazaar"), encoding="base64"),
        *("bazaar.s-nail.eml", "s-nail"),
        by_ripmime=True,
    )
    add(
        programs.s_nail(
            *("Une visite", in_latin("boulangerie"), source("lighthouse")),
            charset="iso-8859-1",
            encoding="quoted-printable",
        ),
        *("lighthouse.s-nail.eml", "s-nail"),
        by_ripmime=True,
    )
    packed = programs.mpack("The stars", "A text is here.\n", source("observatory"))
    add(packed, "observatory.mpack.eml", "mpack", by_ripmime=True)
    return entries


def read_versions() -> dict[str, str]:
    commands = {"mutt": ("mutt", "-v"), "s-nail": ("s-nail", "-V"), "ripmime": ("ripmime", "-V")}
    return {
        name: subprocess.run(command, check=False, capture_output=True, text=True).stdout.split(
            "\n"
        )[0]
        for name, command in commands.items()
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        entries = make_mails(MailPrograms(Path(directory)))
    path = HERE / "manifest.json"
    manifest = json.loads(path.read_text())
    others = [entry for entry in manifest["files"] if not entry["file"].endswith(".eml")]
    manifest["programs"] |= read_versions()
    manifest["files"] = [*others, *entries]
    path.write_text(json.dumps(manifest, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
