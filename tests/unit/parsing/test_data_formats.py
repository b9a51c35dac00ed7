"""XML, TSV, JSON Lines and source code."""

from __future__ import annotations

import pytest

from tests.support.parsed import lines_at_headings, outline, parse, parse_failure

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'


def test_xml_data_is_one_line_for_each_value_with_its_path() -> None:
    parsed = parse(
        DECLARATION + "<stock><title>Fruit</title>"
        '<item id="7"><name>apple</name><price cur="EUR">1.20</price></item>'
        "<item><name>pear</name><tag>a</tag><tag>b</tag></item></stock>"
    )

    assert parsed.media_type == "application/xml"
    assert parsed.title == "Fruit"
    assert parsed.text.split("\n\n") == [
        "title: Fruit",
        "item[0]@id: 7\nitem[0].name: apple\nitem[0].price@cur: EUR\nitem[0].price: 1.20",
        "item[1].name: pear\nitem[1].tag[0]: a\nitem[1].tag[1]: b",
    ]


def test_xml_prose_keeps_its_paragraphs_and_sections() -> None:
    parsed = parse(
        DECLARATION + "<book xmlns='http://docbook.org/ns/docbook'><title>Käse</title>"
        "<chapter><title>Milk</title><para>Cows <emphasis>give</emphasis>\n it.</para>"
        "<section><title>Rennet</title><para>It curdles.</para></section></chapter>"
        "<chapter><title>Salt</title><para>Brine.</para></chapter></book>"
    )

    assert parsed.title == "Käse"
    assert outline(parsed) == [(1, "Käse"), (2, "Milk"), (3, "Rennet"), (2, "Salt")]
    assert lines_at_headings(parsed) == ["Käse", "Milk", "Rennet", "Salt"]
    assert "Cows give it." in parsed.text.split("\n\n")


def test_xml_is_told_by_its_declaration_or_by_its_name() -> None:
    assert parse("<note><to>Ann</to></note>", "a.xml").media_type == "application/xml"
    assert parse("<note><to>Ann</to></note>", "a.txt").media_type == "text/plain"
    assert parse(DECLARATION + "<html><body>words</body></html>").media_type == "text/html"


def test_entities_that_xml_declares_itself_are_expanded() -> None:
    parsed = parse('<!DOCTYPE a [<!ENTITY who "Ann">]><a><p>by &who; &amp; Bob</p></a>', "a.xml")

    assert parsed.text == "by Ann & Bob"


@pytest.mark.parametrize(
    "declaration",
    [
        '<!ENTITY x SYSTEM "file:///etc/passwd">',
        '<!ENTITY x PUBLIC "-//x" "http://127.0.0.1/x">',
        '<!ENTITY % x SYSTEM "http://127.0.0.1/x"> %x;',
    ],
)
def test_xml_that_refers_to_other_files_is_refused(declaration: str) -> None:
    failure = parse_failure(f"{DECLARATION}<!DOCTYPE a [{declaration}]><a><p>&x;</p></a>".encode())

    assert failure.code == "CORRUPT"
    assert "another file" in failure.message


def test_xml_that_swells_by_its_entities_is_refused() -> None:
    entities = "".join(
        f'<!ENTITY e{number} "{f"&e{number - 1};" * 10}">' for number in range(1, 10)
    )
    bomb = f'<!DOCTYPE a [<!ENTITY e0 "laugh">{entities}]><a>&e9;</a>'

    assert parse_failure((DECLARATION + bomb).encode()).code == "CORRUPT"


def test_xml_nested_beyond_reason_or_cut_is_corrupt() -> None:
    deep = DECLARATION + "<a>" * 5000 + "words" + "</a>" * 5000

    assert parse_failure(deep.encode()).code == "CORRUPT"
    assert parse_failure((DECLARATION + "<a><b>words</b>").encode()).code == "CORRUPT"


def test_tsv_rows_name_their_columns() -> None:
    parsed = parse("name\tprice\napple, red\t1\npear\t2\nplum\t3\n")

    assert parsed.media_type == "text/tab-separated-values"
    assert parsed.text.startswith("name: apple, red\nprice: 1\n\nname: pear")


def test_json_lines_are_told_from_json() -> None:
    assert parse('{"a": 1}\n{"a": 2}\n').media_type == "application/jsonl"
    assert parse('[{"a": 1}, {"a": 2}]').media_type == "application/json"


PYTHON = (
    "# Köln\n\nimport os\n\n\nclass Bridge(Base):\n    def open(self) -> None:\n        pass\n\n"
    "    async def close(self):\n        pass\n\n\ndef main():\n    return\n"
)


def test_source_code_is_kept_and_its_declarations_are_headings() -> None:
    parsed = parse(PYTHON, "bridge.py")

    assert parsed.text == PYTHON
    assert parsed.media_type == "text/x-python"
    assert outline(parsed) == [
        (1, "class Bridge(Base)"),
        (2, "def open(self) -> None"),
        (2, "async def close(self)"),
        (1, "def main()"),
    ]
    assert [line.strip() for line in lines_at_headings(parsed)] == [
        "class Bridge(Base):",
        "def open(self) -> None:",
        "async def close(self):",
        "def main():",
    ]


@pytest.mark.parametrize(
    ("file_name", "line"),
    [
        ("a.go", "func (s *Server) Open(name string) error {"),
        ("a.rs", "pub(crate) fn open<T>(name: T) -> Result<()> {"),
        ("a.ts", "export default class Door extends Frame {"),
        ("A.java", "public static List<String> open(String name) {"),
        ("a.c", "static int open_door(const char *name, int mode) {"),
        ("a.sql", "CREATE OR REPLACE VIEW public.doors AS"),
        ("a.kt", "data class Door(val name: String) {"),
        ("a.rb", "def open"),
        ("a.proto", "message Door {"),
        ("a.toml", "[tool.door]"),
    ],
)
def test_declarations_are_found_in_many_languages(file_name: str, line: str) -> None:
    parsed = parse(f"\n{line}\n  x = 1\n  return x;\n", file_name)

    assert parsed.media_type.startswith("text/x-")
    assert [heading.title for heading in parsed.headings] == [line.strip("[]").rstrip("{").strip()]


def test_code_with_marks_of_markdown_and_tables_stays_code() -> None:
    source = '"""\n# Title\n\n- **a**\n- [b](c.md)\n"""\nX = [\n  1, 2,\n  3, 4,\n]\n'

    assert parse(source, "a.py").media_type == "text/x-python"
    assert parse("a,b\n1,2\n3,4\n5,6\n", "a.sql").media_type == "text/x-sql"


def test_a_source_file_that_is_no_text_is_named_for_what_it_is() -> None:
    assert "a PNG image" in parse_failure(b"\x89PNG\r\n\x1a\n" + bytes(range(200))).message


def test_patterns_take_no_time_for_lines_that_almost_match() -> None:
    almost = "a" * 200 + " " + "int " * 20_000 + "\n" + "x " * 50_000 + "(" * 1000
    parsed = parse(almost, "a.c")

    assert parsed.media_type == "text/x-c"
