"""Makes the files beside it by the programs that people use, and asks other programs what is in them.

    python tests/real_files/make.py

It needs pandoc, LibreOffice (Writer, Calc, Impress), Chromium, pdfLaTeX, poppler's pdftotext and jq, and what
`make_mail.py` needs. The tests need none of these: they read `files/` and `manifest.json`, which this script
writes anew.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from csv import DictReader
from pathlib import Path
from typing import Any

from xlsxwriter import Workbook

HERE = Path(__file__).parent
SOURCES = HERE / "sources"
FILES = HERE / "files"

DOCX_BY_PANDOC = ("beehives", "ferry", "archive", "observatory", "pottery", "runbook")
DOCX_BY_WRITER = ("boulangerie", "lighthouse", "bazaar", "museum", "ferry", "beehives")
ODT_BY_PANDOC = ("boulangerie", "ferry", "lighthouse", "archive", "runbook")
ODT_BY_WRITER = ("beehives", "museum", "observatory", "pottery", "bazaar")
RTF_BY_PANDOC = ("beehives", "ferry", "boulangerie", "observatory")
RTF_BY_WRITER = ("archive", "museum", "lighthouse", "pottery", "runbook")
EPUB3 = ("beehives", "ferry", "observatory", "pottery")
EPUB2 = ("museum", "archive")
HTML_BY_PANDOC = ("ferry", "lighthouse", "pottery", "bazaar", "runbook")
HTML_BY_WRITER = ("boulangerie", "archive", "museum")
MARKDOWN = ("beehives", "observatory", "runbook", "museum")
DOCBOOK = ("ferry", "observatory", "boulangerie")
SLIDES = ("ferry", "boulangerie", "observatory", "pottery", "runbook")
SLIDES_AGAIN = ("ferry", "boulangerie", "pottery")
SHEETS = ("stock", "rainfall", "choir", "trains")
JSON = ("stock", "trains")
PDF_BY_CHROMIUM = (
    *("beehives", "ferry", "archive", "observatory", "pottery", "lighthouse", "bazaar", "runbook"),
)
PDF_BY_LATEX = ("beehives", "boulangerie", "ferry", "museum", "runbook", "archive", "bazaar")
PDF_BY_WRITER = (
    ("beehives", "boulangerie", "runbook"),
    ("ferry", "museum", "archive"),
    ("lighthouse", "observatory", "bazaar", "archive"),
    ("museum", "beehives", "bazaar"),
    ("runbook", "ferry", "lighthouse"),
)
"""Several texts in one document, so that it has several pages."""
PDF_BY_IMPRESS = ("ferry", "pottery", "runbook")
PDF_BY_CALC = ("stock", "rainfall")

LATEX_LANGUAGES = {
    "beehives": "de",
    "boulangerie": "fr",
    "museum": "es",
    "archive": "pl",
    "bazaar": "tr",
}
PAGE_STYLE = """<style>
@page { size: A5; margin: 15mm }
body { font-family: "DejaVu Sans", "Noto Sans CJK SC", sans-serif; font-size: 11pt }
h2 { break-before: page }
</style>"""
READ_AS_UTF8 = "--infilter=CSV:44,34,76,1"
CSV_OF_EACH_SHEET = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,-1"


class Programs:
    """The programs, each run in a directory that goes away."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._count = 0

    def run(self, *command: str | Path) -> str:
        done = subprocess.run(
            [str(each) for each in command],
            cwd=self.directory,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    def pandoc(self, source: Path, suffix: str, *options: str) -> Path:
        target = self.directory / f"{source.stem}.{suffix}"
        self.run("pandoc", source, "-o", target, *options)
        return target

    def office(self, source: Path, form: str, *options: str) -> Path:
        """Convert by LibreOffice into a directory of its own."""
        return next(iter(self.office_files(source, form, *options)))

    def office_files(self, source: Path, form: str, *options: str) -> list[Path]:
        self._count += 1
        target = self.directory / f"office{self._count}"
        profile = f"-env:UserInstallation=file://{self.directory}/profile"
        command = ("soffice", profile, "--headless", *options, "--convert-to", form)
        self.run(*command, "--outdir", target, source)
        return sorted(target.iterdir())

    def chromium(self, page: Path) -> Path:
        target = page.with_suffix(".chromium.pdf")
        options = ("--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer")
        self.run("chromium", *options, f"--print-to-pdf={target}", page.as_uri())
        return target

    def pages(self, pdf: Path) -> list[str]:
        text = self.run("pdftotext", "-enc", "UTF-8", pdf, "-")
        return text.removesuffix("\f").split("\f")


class Collection:
    """What has been made so far, and the manifest of it."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self.entries: list[dict[str, Any]] = []

    def add(
        self,
        made: Path,
        name: str,
        program: str,
        reference: dict[str, Any],
        headings: list[Any] | None,
    ) -> None:
        shutil.copyfile(made, FILES / name)
        entry = {"file": name, "made_by": program, **reference, "headings": headings}
        self.entries.append(entry)
        print(name, file=sys.stderr)

    def plain(self, made: Path, *options: str) -> dict[str, Any]:
        text = self._programs.run("pandoc", made, "-t", "plain", "--wrap=none", *options)
        return {"reference": "pandoc", "text": text}

    def writer_text(self, made: Path) -> dict[str, Any]:
        text = self._programs.office(made, "txt:Text (encoded):UTF8").read_text("utf-8-sig")
        return {"reference": "LibreOffice", "text": text}

    def sheets(self, made: Path, names: Iterable[str]) -> dict[str, Any]:
        files = self._programs.office_files(made, CSV_OF_EACH_SHEET)
        by_name = {file.stem.removeprefix(f"{made.stem}-"): file.read_text() for file in files}
        in_order = {name: by_name[name] for name in names}
        return {"reference": "LibreOffice", "sheets": in_order}

    def slides(self, made: Path) -> dict[str, Any]:
        pages = self._programs.pages(self._programs.office(made, "pdf"))
        return {"reference": "LibreOffice and pdftotext", "pages": pages}

    def pdf_pages(self, made: Path) -> dict[str, Any]:
        return {"reference": "pdftotext", "pages": self._programs.pages(made)}


def read_headings(programs: Programs, source: Path, deepest: int = 9) -> list[Any]:
    """Return level and title of the source's headings, as pandoc sees them."""
    tree = json.loads(programs.run("pandoc", source, "-t", "json"))

    def words(inlines: Iterable[Any]) -> str:
        parts = []
        for each in inlines:
            kind, value = each["t"], each.get("c")
            parts.append(
                value if kind == "Str" else " " if kind in ("Space", "SoftBreak") else words(value)
            )
        return "".join(parts)

    headings = (block["c"] for block in tree["blocks"] if block["t"] == "Header")
    return [[level, words(inlines)] for level, _, inlines in headings if level <= deepest]


def make_text(programs: Programs, collection: Collection, source: Path) -> None:
    """Make what people write in of one text."""
    name = source.stem
    headings = read_headings(programs, source)
    title = f"--metadata=title:{headings[0][1]}"
    docx, odt = programs.pandoc(source, "docx"), programs.pandoc(source, "odt")

    def add(made: Path, program: str, reference: Callable[[Path], dict[str, Any]]) -> None:
        file = f"{name}.{program.lower()}{made.suffix}"
        collection.add(made, file, program, reference(made), headings)

    if name in DOCX_BY_PANDOC:
        add(docx, "pandoc", collection.plain)
    if name in DOCX_BY_WRITER:
        add(programs.office(odt, "docx"), "LibreOffice", collection.plain)
    if name in ODT_BY_PANDOC:
        add(odt, "pandoc", collection.plain)
    if name in ODT_BY_WRITER:
        add(programs.office(docx, "odt"), "LibreOffice", collection.plain)
    if name in RTF_BY_PANDOC:
        add(programs.pandoc(source, "rtf", "-s"), "pandoc", collection.writer_text)
    if name in RTF_BY_WRITER:
        add(programs.office(odt, "rtf"), "LibreOffice", collection.writer_text)
    if name in (*EPUB3, *EPUB2):
        form = "epub3" if name in EPUB3 else "epub2"
        book = programs.pandoc(source, "epub", "-t", form, title)
        on_title_page = headings[:1]
        file = f"{name}.pandoc.epub"
        collection.add(book, file, "pandoc", collection.plain(book), on_title_page + headings)
    if name in HTML_BY_PANDOC:
        add(
            programs.pandoc(source, "html", "-s", title, "-V", "title="), "pandoc", collection.plain
        )
    if name in HTML_BY_WRITER:
        page = programs.office(docx, "html:HTML (StarWriter)")
        add(page, "LibreOffice", collection.plain)
    if name in DOCBOOK:
        book = programs.pandoc(source, "xml", "-s", "-t", "docbook5")
        collection.add(
            book, f"{name}.pandoc.xml", "pandoc", collection.plain(book, "-f", "docbook"), headings
        )
    if name in MARKDOWN:
        add(programs.pandoc(source, "md", "-t", "gfm"), "pandoc", collection.plain)


def make_slides(programs: Programs, collection: Collection) -> dict[str, Path]:
    """Make presentations. Returns the ODP of each."""
    documents: dict[str, Path] = {}
    for name in SLIDES:
        source = SOURCES / f"{name}.md"
        titles = [[1, title] for _, title in read_headings(programs, source, deepest=2)]
        if "[^" in source.read_text():  # pandoc puts footnotes on a slide of their own
            titles.append([1, "Notes"])
        pptx = programs.pandoc(source, "pptx", "--slide-level=2")
        odp = documents[name] = programs.office(pptx, "odp")
        collection.add(pptx, f"{name}.pandoc.pptx", "pandoc", collection.slides(pptx), titles)
        collection.add(
            odp, f"{name}.libreoffice.odp", "LibreOffice", collection.slides(odp), titles
        )
        if name in SLIDES_AGAIN:
            again = programs.office(odp, "pptx")
            reference = collection.slides(again)
            collection.add(again, f"{name}.libreoffice.pptx", "LibreOffice", reference, titles)
    return documents


def make_sheets(programs: Programs, collection: Collection) -> dict[str, Path]:
    """Make workbooks of one sheet and of two. Returns the ODS of each."""
    documents: dict[str, Path] = {}
    for name in SHEETS:
        ods = documents[name] = programs.office(SOURCES / f"{name}.csv", "ods", READ_AS_UTF8)
        xlsx = programs.office(ods, "xlsx")
        csv = programs.office(ods, "csv:Text - txt - csv (StarCalc):44,34,76,1")
        for made in (ods, xlsx):
            file = f"{name}.libreoffice{made.suffix}"
            collection.add(made, file, "LibreOffice", collection.sheets(made, [name]), [[1, name]])
        file = f"{name}.libreoffice.csv"
        collection.add(csv, file, "LibreOffice", collection.plain(csv, "-f", "csv"), [])
    for first, second in (SHEETS[:2], SHEETS[2:]):
        xlsx = programs.directory / f"{first}-and-{second}.xlsx"
        write_workbook(xlsx, (first, second))
        ods = programs.office(xlsx, "ods")
        for made, program in ((xlsx, "XlsxWriter"), (ods, "LibreOffice")):
            file = f"{made.stem}.{program.lower()}{made.suffix}"
            names = [[1, first], [1, second]]
            collection.add(made, file, program, collection.sheets(made, (first, second)), names)
    return documents


def write_workbook(target: Path, names: Iterable[str]) -> None:
    """Write a workbook by XlsxWriter, with numbers, text and a formula."""
    with Workbook(target) as workbook:
        for name in names:
            sheet = workbook.add_worksheet(name)
            rows = list(DictReader((SOURCES / f"{name}.csv").read_text().splitlines()))
            for column, title in enumerate(rows[0]):
                sheet.write(0, column, title)
                values = [row[title] for row in rows]
                for number, value in enumerate(values, start=1):
                    is_number = value.replace(".", "", 1).isdecimal()
                    sheet.write(number, column, float(value) if is_number else value)
                if all(value.isdecimal() for value in values):
                    letter, last = chr(ord("A") + column), len(rows) + 1
                    total = sum(int(value) for value in values)
                    sheet.write_formula(
                        last, column, f"=SUM({letter}2:{letter}{last})", None, total
                    )


def make_data(programs: Programs, collection: Collection) -> None:
    for name in JSON:
        rows = list(DictReader((SOURCES / f"{name}.csv").read_text().splitlines()))
        database = sqlite3.connect(":memory:")
        columns = ", ".join(f'"{column}"' for column in rows[0])
        database.execute(f"CREATE TABLE t ({columns})")
        marks = ", ".join("?" for _ in rows[0])
        database.executemany(
            f"INSERT INTO t VALUES ({marks})", [list(row.values()) for row in rows]
        )
        pairs = ", ".join(f"'{column}', \"{column}\"" for column in rows[0])
        query = f"SELECT json_group_array(json_object({pairs})) FROM t"
        made = programs.directory / f"{name}.json"
        made.write_text(database.execute(query).fetchone()[0])
        text = programs.run("jq", "-r", "paths(scalars) as $p | $p[-1], getpath($p)", made)
        reference = {"reference": "jq", "text": text}
        collection.add(made, f"{name}.sqlite.json", "SQLite", reference, [])


def make_pdfs(
    programs: Programs,
    collection: Collection,
    slides: dict[str, Path],
    sheets: dict[str, Path],
) -> None:
    style = programs.directory / "style.html"
    style.write_text(PAGE_STYLE)

    def add(made: Path, name: str, program: str, headings: list[Any] | None) -> None:
        file = f"{name}.{program.lower().replace(' ', '-')}.pdf"
        collection.add(made, file, program, collection.pdf_pages(made), headings)

    for name in PDF_BY_CHROMIUM:
        page = programs.pandoc(SOURCES / f"{name}.md", "html", "-s", f"--include-in-header={style}")
        add(programs.chromium(page), name, "Chromium", [])
    for name in PDF_BY_LATEX:
        source = SOURCES / f"{name}.md"
        language = f"--variable=lang:{LATEX_LANGUAGES.get(name, 'en')}"
        layout = ("-V", "papersize=a6", "-V", "geometry=margin=8mm", "-V", "documentclass=article")
        made = programs.pandoc(source, "pdf", "--pdf-engine=pdflatex", language, *layout)
        add(made, name, "LaTeX", read_headings(programs, source))
    for number, names in enumerate(PDF_BY_WRITER, start=1):
        sources = [SOURCES / f"{name}.md" for name in names]
        together = programs.directory / f"together-{number}.odt"
        programs.run("pandoc", *sources, "-o", together)
        headings = [heading for source in sources for heading in read_headings(programs, source)]
        made = programs.office(together, "pdf:writer_pdf_Export")
        add(made, together.stem, "LibreOffice Writer", headings)
    for name in PDF_BY_IMPRESS:
        add(programs.office(slides[name], "pdf"), name, "LibreOffice Impress", None)
    for name in PDF_BY_CALC:
        add(programs.office(sheets[name], "pdf"), name, "LibreOffice Calc", None)


def read_versions(programs: Programs) -> dict[str, str]:
    commands = {
        "pandoc": ("pandoc", "--version"),
        "LibreOffice": ("soffice", "--version"),
        "Chromium": ("chromium", "--version"),
        "pdfLaTeX": ("pdflatex", "--version"),
        "jq": ("jq", "--version"),
    }
    return {
        name: programs.run(*command).split("\n")[0].strip() for name, command in commands.items()
    }


def main() -> None:
    shutil.rmtree(FILES, ignore_errors=True)
    FILES.mkdir()
    with tempfile.TemporaryDirectory() as directory:
        programs = Programs(Path(directory))
        collection = Collection(programs)
        sources = sorted(SOURCES.glob("*.md"))
        for source in sources:
            make_text(programs, collection, source)
        slides = make_slides(programs, collection)
        sheets = make_sheets(programs, collection)
        make_data(programs, collection)
        make_pdfs(programs, collection, slides, sheets)
        manifest = {"programs": read_versions(programs), "files": collection.entries}
    text = json.dumps(manifest, ensure_ascii=False, indent=1)
    (HERE / "manifest.json").write_text(f"{text}\n")
    subprocess.run([sys.executable, HERE / "make_mail.py"], check=True)


if __name__ == "__main__":
    main()
