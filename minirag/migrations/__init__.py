"""The schema's history (Alembic) and `run.migrate`, which brings a database to its newest revision."""

HEAD = "0003"
"""The newest revision in `versions/`. Stated here so that a server needn't load Alembic (about a second)."""
