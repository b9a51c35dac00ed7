"""A node for tests: `minirag up` as a process on a data directory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from minirag.embedded.layout import DataDirectory
from minirag.embedded.postgres_cluster import APPLICATION, DATABASE, load_credentials
from tests.support.programs import MINIRAG, Program


def model_settings(
    provider_url: str, *, chat: str = "openai/mock-chat", embedding: str = "openai/mock-embed"
) -> dict[str, str]:
    """Settings that lead to the mock provider."""
    return {
        "MINIRAG_CHAT_MODEL": chat,
        "MINIRAG_EMBEDDING_MODEL": embedding,
        "MINIRAG_MODEL_API_BASE": provider_url,
        "MINIRAG_MODEL_API_KEY": "sk-test-provider",
    }


class NodeProcess:
    """`minirag up` with its data in `directory / "data"`; start, kill and start it again at will."""

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        self.data = directory / "data"
        self.provider_key = (settings or {}).get("MINIRAG_MODEL_API_KEY", "no provider's key")
        self._ready_file = directory / "ready.json"
        command = [*MINIRAG, "up", "--data-dir", str(self.data), "--port", "0"]
        command += ["--ready-file", str(self._ready_file)]
        self.program = Program("node", command, directory, settings or {})
        self.address = ""

    @property
    def platform_key(self) -> str:
        return (self.data / "platform.key").read_text().strip()

    @property
    def redis_url(self) -> str:
        return f"unix://{self._sockets / 'redis.sock'}"

    @property
    def database_url(self) -> str:
        """Of the application's role."""
        credentials = load_credentials(self.data / "postgres" / "credentials.json")
        assert credentials is not None
        secret = credentials.application_password
        host = quote(str(self._sockets), safe="/")
        return f"postgresql://{APPLICATION}:{secret}@/{DATABASE}?host={host}"

    @property
    def _sockets(self) -> Path:
        return DataDirectory(self.data).socket_directory()

    def start(self) -> None:
        """Return when it serves."""
        self._ready_file.unlink(missing_ok=True)
        self.program.start()
        self.address = self.program.await_sign(self._read_address)

    def _read_address(self) -> str | None:
        try:
            return str(json.loads(self._ready_file.read_text())["address"])
        except FileNotFoundError:
            return None

    def close(self) -> None:
        self.program.close()
