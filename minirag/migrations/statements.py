"""Running the statements of a revision."""

from __future__ import annotations

from alembic import op


def execute_each(script: str) -> None:
    """Execute statements that end in `;` and a new line, one at a time: asyncpg prepares what it executes,
    and a prepared statement is a single one."""
    for statement in script.split(";\n"):
        if statement.strip():
            op.execute(statement)
