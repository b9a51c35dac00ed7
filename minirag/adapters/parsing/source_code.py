"""Source code: the text as it is; declarations of classes, functions and the like are its headings.

Which language it is in is told by the file's name: code of one language is plain text, Markdown or a table to
everybody else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from minirag.adapters.parsing.cleaning import on_one_line
from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.format import Evidence, Format
from minirag.domain.chunks import HeadingMark, ParsedText

MEDIA_TYPE = "text/x-source"
MOST_HEADINGS = 5000
DEEPEST = 6
LONGEST_LINE = 400
"""Longer ones are data, or were written by a program."""

LANGUAGES: dict[str, tuple[str, ...]] = {
    "python": (".py", ".pyi", ".pyx"),
    "javascript": (".js", ".mjs", ".cjs", ".jsx"),
    "typescript": (".ts", ".tsx", ".mts"),
    "java": (".java",),
    "kotlin": (".kt", ".kts"),
    "scala": (".scala",),
    "groovy": (".groovy", ".gradle"),
    "c": (".c", ".h"),
    "c++": (".cc", ".cpp", ".cxx", ".hpp", ".hh", ".hxx"),
    "objective-c": (".m", ".mm"),
    "csharp": (".cs",),
    "fsharp": (".fs",),
    "go": (".go",),
    "rust": (".rs",),
    "swift": (".swift",),
    "dart": (".dart",),
    "ruby": (".rb",),
    "php": (".php",),
    "perl": (".pl", ".pm"),
    "lua": (".lua",),
    "r": (".r",),
    "julia": (".jl",),
    "elixir": (".ex", ".exs"),
    "erlang": (".erl",),
    "haskell": (".hs",),
    "ocaml": (".ml", ".mli"),
    "clojure": (".clj",),
    "zig": (".zig",),
    "shell": (".sh", ".bash", ".zsh", ".fish"),
    "powershell": (".ps1",),
    "sql": (".sql",),
    "protobuf": (".proto",),
    "graphql": (".graphql",),
    "css": (".css", ".scss", ".less"),
    "yaml": (".yaml", ".yml"),
    "toml": (".toml",),
    "ini": (".ini", ".cfg", ".conf", ".properties"),
    "terraform": (".tf", ".hcl"),
    "vue": (".vue",),
    "svelte": (".svelte",),
}
_LANGUAGE_OF = {each: language for language, group in LANGUAGES.items() for each in group}

_MODIFIERS = (
    r"(?:(?:export|default|declare|public|private|protected|internal|static|final|abstract|sealed|open|"
    r"override|async|unsafe|partial|data|inline|virtual|const|pub(?:\([\w: ]+\))?)\s+)*"
)
_DECLARATION = re.compile(
    rf"^([ \t]*){_MODIFIERS}"
    r"(?:(?:class|interface|trait|struct|enum|record|object|protocol|extension|namespace|module|defmodule|"
    r"message|service|impl|def|defp|fn|fun|func|function|sub|type|macro_rules!)\b[ \t*]*"
    r"(?:\([^()\n]*\)[ \t]*)?"  # the receiver of a method in Go
    r"[A-Za-z_$][\w$.:]*"
    r"|create[ \t]+(?:or[ \t]+replace[ \t]+)?(?:table|view|function|procedure|trigger|index|type)\b[ \t]+"
    r"[\w.\"`]+)",
    re.MULTILINE | re.IGNORECASE,
)
# C and its relatives name no keyword: a line that begins with types and a name, and ends with a brace.
_C_FUNCTION = re.compile(
    r"^(?![ \t]*(?:if|for|while|switch|return|else|do|case|catch|using|typedef)\b)"
    r"([ \t]*)(?:[A-Za-z_][\w:<>,*&]*[ \t]+){1,6}[*&]*[A-Za-z_~][\w:~]*\([^;{}\n]{0,300}\)[^;{}\n]{0,80}\{?$",
    re.MULTILINE,
)
_C_LIKE = frozenset(("c", "c++", "objective-c", "java", "csharp", "dart"))
_INDENT_ONLY = frozenset(("css", "yaml", "toml", "ini", "terraform"))
_SECTION = re.compile(r"^\[+([^\[\]\n]{1,200})\]+[ \t]*$", re.MULTILINE)


def recognise(content: Content) -> Evidence:
    """Any text that is named as code: no sign in it is as sure as its name."""
    is_code = content.extension in _LANGUAGE_OF and content.text is not None
    return Evidence.CERTAIN if is_code else Evidence.NONE


def parse(content: Content) -> ParsedText:
    text = content.text or ""
    language = _LANGUAGE_OF[content.extension]
    return ParsedText(
        text, f"text/x-{language}", headings=tuple(_headings(text, _found(text, language)))
    )


def _found(text: str, language: str) -> list[tuple[int, int, str]]:
    """Return place, indentation and line of each declaration."""
    if language in ("toml", "ini"):
        return [(each.start(), 0, each[1]) for each in _SECTION.finditer(text)]
    if language in _INDENT_ONLY:
        return []
    patterns = [_DECLARATION, _C_FUNCTION] if language in _C_LIKE else [_DECLARATION]
    found: dict[int, tuple[int, int, str]] = {}
    for pattern in patterns:
        for each in pattern.finditer(text):
            end = text.find("\n", each.start())
            line = text[each.start() : end if end >= 0 else len(text)]
            if len(line) <= LONGEST_LINE:
                indentation = len(each[1].expandtabs(4))
                found[each.start()] = (each.start(), indentation, line)
    return sorted(found.values())[:MOST_HEADINGS]


def _headings(text: str, found: list[tuple[int, int, str]]) -> Iterator[HeadingMark]:
    """What is indented further is inside of what came before it."""
    around: list[int] = []
    position = start_byte = 0
    for start, indentation, line in found:
        while around and around[-1] >= indentation:
            around.pop()
        around.append(indentation)
        start_byte += len(text[position:start].encode())
        position = start
        title = on_one_line(line.strip().rstrip("{:").strip(), 120)
        if title and len(around) <= DEEPEST:
            yield HeadingMark(len(around), title, start_byte)


FORMAT = Format(MEDIA_TYPE, "source code", tuple(_LANGUAGE_OF), recognise, parse)
