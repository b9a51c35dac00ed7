"""The key ring of a one-machine node: made on first start, kept in a file that only its owner reads."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from minirag.embedded.errors import EmbeddedError
from minirag.embedded.private_files import write_private_file


def load_or_create_secret_keys(path: Path) -> str:
    """Return the file's text, which reads like MINIRAG_SECRET_KEYS, an entry on each line.

    Raises `EmbeddedError`, which tells no key, if the file holds something else.
    """
    # Late: a second `minirag up` on the same data is told so before cryptography is loaded.
    from minirag.adapters.keyring import generate_entry, parse_keys  # noqa: PLC0415

    try:
        text = path.read_text()
    except FileNotFoundError:
        text = generate_entry(f"{datetime.now(UTC):%Y-%m-%d}") + "\n"
        write_private_file(path, text)
        return text
    path.chmod(0o600)  # a restored backup may have opened it
    try:
        is_empty = not parse_keys(text)
    except ValueError as error:
        raise EmbeddedError(f"{path} doesn't hold secret keys: {error}") from None
    if is_empty:
        raise EmbeddedError(
            f"{path} holds no secret key: restore it from a backup, as what its keys sealed can't be read"
            " without them; or remove it to get a new key"
        )
    return text
