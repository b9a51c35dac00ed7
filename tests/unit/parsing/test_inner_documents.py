"""Archives and mails: the documents inside of them, each under its name."""

from __future__ import annotations

import io
from email.message import EmailMessage

import pytest

from minirag.adapters.parsing import content as content_module
from tests.support.files import PNG, make_docx, make_pdf, make_zip, make_zip_bomb_docx
from tests.support.outlook import make_msg
from tests.support.parsed import lines_at_headings, outline, parse, parse_failure

GUIDE = b"# Guide\n\nRead **this** and [that](https://example.org).\n\n- one\n- two\n"


def make_mail(*, html: bool = False) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Ann Ärger <ann@example.org>"
    message["To"] = "bob@example.org"
    message["Date"] = "Mon, 06 Oct 2025 09:00:00 +0000"
    message["Message-ID"] = "<1@example.org>"
    message["Subject"] = "Grüße aus Köln"
    if html:
        message.set_content("<h2>Plan</h2><p>The <b>bridge</b> is closed.</p>", subtype="html")
    else:
        message.set_content("The bridge is closed.\n\nUse the tunnel – bitte.\n")
    return message


def test_a_zip_archive_gives_each_member_under_its_path() -> None:
    archive = make_zip(
        {
            "docs/guide.md": GUIDE,
            "docs/": b"",
            "__MACOSX/docs/._guide.md": b"\0\1\2",
            "report.pdf": make_pdf(["Summary\nfirst", "second"], outline=[(0, "Summary")]),
            "letter.docx": make_docx([(1, "Dear"), "all"]),
        }
    )

    parsed = parse(archive, "all.zip")

    assert parsed.media_type == "application/zip"
    assert outline(parsed) == [
        (1, "docs/guide.md"),
        (2, "Guide"),
        (1, "report.pdf"),
        (2, "Summary"),
        (9, "page 1"),
        (9, "page 2"),
        (1, "letter.docx"),
        (2, "Dear"),
    ]
    assert lines_at_headings(parsed)[:4] == ["docs/guide.md", "# Guide", "report.pdf", "Summary"]
    assert lines_at_headings(parsed)[4:] == ["Summary", "second", "letter.docx", "Dear"]
    assert not parsed.pages


def test_a_zip_archive_says_which_members_it_could_not_read() -> None:
    archive = make_zip({"a.md": GUIDE, "logo.png": PNG, "empty.txt": b""})

    parsed = parse(archive)

    assert outline(parsed)[-1] == (1, "Not read")
    assert "logo.png: the file is a PNG image" in parsed.text
    assert "empty.txt: the file is empty" in parsed.text


def test_a_member_whose_parser_breaks_takes_nothing_from_the_others() -> None:
    broken = make_zip({"word/document.xml": b"<not a word", "[Content_Types].xml": b"<nor this"})

    parsed = parse(make_zip({"broken.docx": broken, "a.md": GUIDE}))

    assert "Read **this**" in parsed.text
    assert "broken.docx: " in parsed.text.partition("Not read")[2]


def test_archives_in_archives_are_read_to_a_depth() -> None:
    archive = make_zip({"note.txt": b"the innermost note"})
    for depth in range(2):
        archive = make_zip({f"{depth}.zip": archive, f"{depth}.txt": b"a note around it"})

    nested = parse(archive)
    deeper = parse(make_zip({"x.txt": b"here", "y.zip": make_zip({"z.zip": archive})}))

    assert "the innermost note" in nested.text
    assert outline(nested) == [
        (1, "1.zip"),
        (2, "0.zip"),
        (3, "note.txt"),
        (2, "0.txt"),
        (1, "1.txt"),
    ]
    assert "the innermost note" not in deeper.text
    assert "nested too deep" in deeper.text


def test_paths_that_lead_out_of_an_archive_are_words_only() -> None:
    parsed = parse(make_zip({"../../etc/passwd": b"harmless words", "/tmp/x.txt": b"others"}))

    assert outline(parsed) == [(1, "../../etc/passwd"), (1, "/tmp/x.txt")]


def test_an_archive_that_swells_is_refused() -> None:
    bomb = make_zip({"zeros.txt": bytes(40 * 1024 * 1024)})
    inner = parse_failure(make_zip({"a.txt": b"x", "b.docx": make_zip_bomb_docx(40 * 1024 * 1024)}))

    assert parse_failure(bomb).code == "TOO_LARGE"
    assert inner.code == "TOO_LARGE"
    assert "b.docx" in inner.message


def test_the_allowance_is_shared_by_all_depths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_module, "MOST_MEMBERS", 5)
    inner = make_zip({f"{number}.txt": b"words" for number in range(3)})

    assert parse(make_zip({"a.zip": inner})).text.count("words") == 3
    assert parse_failure(make_zip({"a.zip": inner, "b.zip": inner})).code == "TOO_LARGE"


def test_an_archive_without_a_readable_member_fails_with_the_reason_of_the_first() -> None:
    failure = parse_failure(make_zip({"a.png": PNG, "b.png": PNG}))

    assert failure.code == "UNSUPPORTED_FORMAT"
    assert "none of the 2 files" in failure.message
    assert "PNG" in failure.message
    assert parse_failure(make_zip({})).code == "NO_TEXT"


def test_a_damaged_member_is_left_out_and_a_damaged_archive_refused() -> None:
    archive = bytearray(make_zip({"a.txt": b"some words " * 90, "b.txt": b"other words"}))
    archive[archive.index(b"a.txt") + 8] ^= 0xFF

    parsed = parse(bytes(archive))

    assert "other words" in parsed.text
    assert "a.txt: it is damaged" in parsed.text
    assert parse_failure(bytes(archive)[: len(archive) // 2]).code == "CORRUPT"


def test_encrypted_members_are_left_out() -> None:
    file = io.BytesIO(make_zip({"a.txt": b"words", "b.txt": b"secret"}))
    data = bytearray(file.getvalue())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 8] |= 1

    parsed = parse(bytes(data))

    assert "b.txt: it needs a password" in parsed.text


def test_a_mail_gives_head_and_text() -> None:
    parsed = parse(make_mail().as_bytes(), "a.eml")

    assert parsed.media_type == "message/rfc822"
    assert parsed.title == "Grüße aus Köln"
    assert outline(parsed) == [(1, "Grüße aus Köln")]
    assert (
        "From: Ann Ärger <ann@example.org>\nTo: bob@example.org\nDate: Mon, 06 Oct" in parsed.text
    )
    assert "The bridge is closed.\n\nUse the tunnel – bitte." in parsed.text


def test_a_mail_is_told_by_its_head_and_a_memo_by_its_name() -> None:
    memo = b"From: Ann\nTo: Bob\nSubject: Lunch\n\nAt noon?\n"

    assert parse(make_mail().as_bytes()).media_type == "message/rfc822"
    assert parse(memo).media_type == "text/plain"
    assert parse(memo, "memo.eml").media_type == "message/rfc822"


def test_the_html_of_a_mail_is_read_where_there_is_nothing_plainer() -> None:
    both = make_mail()
    both.add_alternative("<p>HTML</p>", subtype="html")

    parsed = parse(make_mail(html=True).as_bytes())

    assert outline(parsed) == [(1, "Grüße aus Köln"), (3, "Plan")]
    assert "The bridge is closed." in parsed.text
    assert "HTML" not in parse(both.as_bytes()).text


def test_attachments_of_a_mail_are_read_as_documents() -> None:
    message = make_mail()
    message.add_attachment(
        make_pdf(["in the PDF"]), maintype="application", subtype="pdf", filename="a.pdf"
    )
    message.add_attachment(PNG, maintype="image", subtype="png", filename="lögo.png")
    forwarded = make_mail()
    forwarded.replace_header("Subject", "Before")
    message.add_attachment(forwarded)

    parsed = parse(message.as_bytes())

    assert outline(parsed) == [
        (1, "Grüße aus Köln"),
        (2, "a.pdf"),
        (9, "page 1"),
        (2, "attached message.eml"),
        (3, "Before"),
        (2, "Not read"),
    ]
    assert "in the PDF" in parsed.text
    assert "lögo.png: the file is a PNG image" in parsed.text


def test_a_mail_in_a_mail_is_read_to_a_depth() -> None:
    message = make_mail()
    for _ in range(10):
        outer = make_mail()
        outer.add_attachment(message)
        message = outer

    assert "nested too deep" in parse(message.as_bytes()).text


def test_an_attached_mail_that_is_none_takes_nothing_from_the_others() -> None:
    mail = (
        b"Subject: Outside\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=OUT\n\n"
        b"--OUT\nContent-Type: text/plain\n\nFound in the outer mail.\n"
        b"--OUT\nContent-Type: message/rfc822\n\n"
        b"Subject: Inside\nContent-Type: multipart/alternative; boundary=IN\n\ncut off \xe9\xff\n"
        b"--OUT--\n"
    )

    parsed = parse(mail, "a.eml")

    assert "Found in the outer mail." in parsed.text
    assert "attached message.eml: it is no whole message" in parsed.text


def test_an_outlook_message_gives_head_text_and_attachments() -> None:
    data = make_msg(
        subject="Grüße",
        sender="Ann",
        address="ann@example.org",
        to="Bob; Cy",
        body="The bridge is closed.",
        attachments={"a.md": GUIDE, "logo.png": PNG},
    )

    parsed = parse(data, "a.msg")

    assert parsed.media_type == "application/vnd.ms-outlook"
    assert parsed.title == "Grüße"
    assert outline(parsed) == [(1, "Grüße"), (2, "a.md"), (3, "Guide"), (2, "Not read")]
    assert "From: Ann <ann@example.org>\nTo: Bob; Cy\nDate: 2025-10-06 09:00 UTC" in parsed.text
    assert "The bridge is closed." in parsed.text


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_cut_outlook_message_is_refused(share: float) -> None:
    data = make_msg(subject="Cut", body="words " * 3000, attachments={"a.txt": b"attached " * 900})

    cut = data[: int(len(data) * share)]

    assert parse_failure(cut).code in ("CORRUPT", "UNSUPPORTED_FORMAT")
