"""The formats that can be read: one module each, named on one line here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module

from minirag.adapters.parsing.format import Format

# Order matters where two are equally sure: the more particular first.
MODULES = (
    "pdf",
    "word",
    "excel",
    "powerpoint",
    "odt",
    "ods",
    "odp",
    "epub",
    "archives",
    "rtf",
    "outlook",
    "mail",
    "json_data",
    "html_pages",
    "xml_data",
    "source_code",
    "csv_tables",
    "markdown",
    "plain_text",
)


def load_formats(modules: Iterable[str] = MODULES) -> Iterator[Format]:
    """Yield the `FORMAT`, or the `FORMATS`, of modules in this package."""
    for name in modules:
        module = import_module(f"minirag.adapters.parsing.{name}")
        yield from getattr(module, "FORMATS", ()) or (module.FORMAT,)


FORMATS: tuple[Format, ...] = tuple(load_formats())
