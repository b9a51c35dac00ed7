"""Optimistic concurrency: an edit may name the revision that it was made from."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ColumnElement, bindparam, or_

from minirag.errors import Conflict


def matches_revision(revision: Column[int]) -> ColumnElement[bool]:
    """True for a row at revision `if_revision`, or any when that parameter is None."""
    wanted = bindparam("if_revision", type_=BigInteger())
    return or_(wanted.is_(None), revision == wanted)


def edited_meanwhile(resource_type: str) -> Conflict:
    """For a row that is there at another revision."""
    return Conflict(
        f"the {resource_type} was changed meanwhile: read it again, apply your change to that, and retry"
    )
