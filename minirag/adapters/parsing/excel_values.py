"""A cell's stored value as a person sees it: dates, times and percentages by the cell's number format."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

Show = Callable[[float], str]

_BUILT_IN_DATES = {*range(14, 18), *range(27, 32), 36, *range(50, 55), 57, 58}
_BUILT_IN_TIMES = {*range(18, 22), *range(32, 36), *range(45, 48), 55, 56}
_BUILT_IN_CODES = {9: "0%", 10: "0.00%", 22: "yyyy-mm-dd hh:mm"}
_NOT_SIGNS = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!(?:h+|m+|s+)\])[^\]]*\]', re.IGNORECASE)
"""Literal text, padding, colours and currencies in a format code; `[h]` is a sign, of hours past 24."""
_PERCENT_DECIMALS = re.compile(r"\.([0#?]+)[^;]*%")
LAST_DAY = 2_958_465
"""Of the year 9999, as days since 1900."""


class NumberFormats:
    """How to show the numbers of each cell style of one workbook."""

    def __init__(self, styles: Any, *, from_1904: bool) -> None:
        self._epoch = datetime(1904, 1, 1) if from_1904 else datetime(1899, 12, 30)  # noqa: DTZ001  # spreadsheets know no zones
        codes: dict[str, str] = {}
        self._by_style: list[Show] = []
        if styles is None:
            return
        for each in styles.iterfind("{*}numFmts/{*}numFmt"):
            codes[each.get("numFmtId", "")] = each.get("formatCode", "")
        for each in styles.iterfind("{*}cellXfs/{*}xf"):
            number = each.get("numFmtId", "0")
            self._by_style.append(self._choose(number, codes.get(number)))

    def show(self, stored: str, style: str | None) -> str:
        """Return the text of a number as it is stored, in a cell of this style."""
        try:
            value = float(stored)
            show = self._by_style[int(style)] if style else _plain
            return show(value)
        except (ValueError, IndexError, OverflowError):
            return stored

    def _choose(self, number: str, code: str | None) -> Show:
        built_in = int(number) if number.isascii() and number.isdecimal() else 0
        if code is None:
            if built_in in _BUILT_IN_DATES:
                return self._date
            if built_in in _BUILT_IN_TIMES:
                return self._date_or_time
            code = _BUILT_IN_CODES.get(built_in, "")
        signs = _NOT_SIGNS.sub("", code).lower().partition(";")[0]
        if "%" in signs:
            decimals = _PERCENT_DECIMALS.search(signs)
            return _percent(len(decimals[1]) if decimals else 0)
        if "general" in signs:
            return _plain
        if any(sign in signs for sign in "ydhs") or "m" in signs:
            return self._date if not set(signs) & set("hs") else self._date_or_time
        return _plain

    def _moment(self, value: float) -> datetime:
        if not 0 <= value <= LAST_DAY:
            raise ValueError("no date")
        if value < 60 and self._epoch.year == 1899:
            value += 1  # these spreadsheets believe in a 29 February 1900
        return self._epoch + timedelta(seconds=round(value * 86_400))

    def _date(self, value: float) -> str:
        return self._moment(value).date().isoformat()

    def _date_or_time(self, value: float) -> str:
        if 0 <= value < 1:
            hours, seconds = divmod(round(value * 86_400), 3600)
            return f"{hours:02}:{seconds // 60:02}" + (f":{seconds % 60:02}" * bool(seconds % 60))
        moment = self._moment(value)
        return moment.isoformat(" ", "seconds" if moment.second else "minutes")


def _plain(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.15g}"


def _percent(decimals: int) -> Show:
    return lambda value: f"{value * 100:.{min(decimals, 10)}f}%"
