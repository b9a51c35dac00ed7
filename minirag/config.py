"""Settings, read from `MINIRAG_*` environment variables and an optional `.env` file.

A wrong setting ends the process with one line that names it (`load_settings`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MEBIBYTE = 1024 * 1024
PLATFORM_KEY_CHARACTERS = 32
"""The fewest that a platform key may have: it opens every tenant's door."""
URL_SCHEMES = {
    "database_url": ("postgresql", "postgres"),
    "database_owner_url": ("postgresql", "postgres"),
    "redis_url": ("redis", "rediss", "unix"),
    "qdrant_url": ("http", "https"),
    "blob_url": ("s3",),
}


class SettingsError(ValueError):
    """A setting is missing or wrong; the message is one line and names it."""


class Settings(BaseSettings):
    """Everything that can be set. Sizes in bytes, times in seconds, unless a name says otherwise."""

    model_config = SettingsConfigDict(
        env_prefix="MINIRAG_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    # -- where it listens
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(50051, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    allow_plaintext: bool = Field(
        False, description="Allow a non-loopback address without TLS (behind a TLS proxy)."
    )
    tls_certificate_file: Path | None = Field(
        None, description="PEM certificate chain; turns TLS on."
    )
    tls_key_file: Path | None = Field(None, description="PEM private key of the certificate.")
    tls_client_ca_file: Path | None = Field(
        None,
        description="PEM certificates of an authority; turns mutual TLS on: who shows no certificate"
        " that it signed is refused.",
    )
    client_certificate_file: Path | None = Field(
        None,
        description="PEM certificate that the command and the health check show to a server with"
        " mutual TLS.",
    )
    client_key_file: Path | None = Field(None, description="PEM private key of that certificate.")
    drain_delay: float = Field(
        1.0, ge=0, le=60, description="Wait between NOT_SERVING and refusing calls at shutdown."
    )
    shutdown_grace: float = Field(
        20.0, ge=0, le=600, description="How long running calls may go on at shutdown."
    )
    max_connections: int = Field(
        1000, ge=1, description="Connections at once; more are closed without an answer."
    )
    max_connection_age: float = Field(
        3600.0,
        ge=0,
        description="How long a connection may take new calls; running ones go on. 0 is for ever.",
    )
    max_concurrent_streams: int = Field(
        256,
        ge=1,
        le=100_000,
        description="Calls at once on one connection; more wait in the client. Bounds what resetting"
        " them rapidly costs the others.",
    )
    max_concurrent_calls: int = Field(
        2000,
        ge=1,
        description="Calls that a server works on at once, health checks apart; more are refused.",
    )
    max_message_bytes: int = Field(
        4 * MEBIBYTE, ge=64 * 1024, le=64 * MEBIBYTE, description="Largest gRPC message received."
    )
    reflection: Literal["open", "authenticated", "off"] = Field(
        "open",
        description="gRPC reflection: `open` to all, `authenticated` with any credential that holds,"
        " or `off`.",
    )

    # -- credentials
    platform_key: SecretStr | None = Field(
        None,
        description="The key for CreateTenant and other platform calls; at least 32 characters.",
    )
    credential_cache_seconds: float = Field(
        3.0, ge=0, le=5, description="How long a checked API key is trusted; bounds revocation."
    )
    secret_keys: SecretStr | None = Field(
        None,
        description="`name:base64 of 32 bytes`, comma-separated, newest first: they seal stored secrets"
        " and sign users' tokens.",
    )

    access_token_minutes: float = Field(
        10.0, gt=0, le=60, description="How long a signed-in user's access token works."
    )
    session_days: float = Field(
        30.0, gt=0, le=365, description="Days after which a user has to sign in again."
    )
    sign_in_peer_failures: int = Field(
        100,
        ge=0,
        description="Failed sign-ins from one address that don't slow it yet; 0 counts no addresses,"
        " for servers that see only their proxy's.",
    )

    # -- stores
    database_url: SecretStr | None = Field(
        None, description="postgresql:// URL of the application role (owns nothing, NOBYPASSRLS)."
    )
    database_owner_url: SecretStr | None = Field(
        None,
        description="postgresql:// URL of the schema's owner; only `minirag migrate` needs it.",
    )
    database_pool_size: int = Field(10, ge=1, le=200, description="Connections per process.")
    redis_url: SecretStr | None = Field(
        None,
        description="redis://, rediss:// or unix:// URL of the job queue and of shared limits.",
    )
    queue_name: str = Field("minirag", min_length=1, description="Name of the RQ queue.")
    qdrant_url: str | None = Field(None, description="http(s):// URL of a Qdrant server.")
    qdrant_api_key: SecretStr | None = Field(None, description="API key of the Qdrant server.")
    edge_path: Path | None = Field(
        None, description="Directory of the in-process Qdrant Edge shards (one process only)."
    )
    blob_path: Path | None = Field(None, description="Directory of uploaded files.")
    blob_url: str | None = Field(
        None, description="s3://bucket/prefix for uploaded files, instead of a directory."
    )

    # -- models
    chat_model: str = Field(
        "extractive",
        min_length=1,
        description="Default chat model: a LiteLLM name, or `extractive` (no provider needed).",
    )
    embedding_model: str = Field(
        "", description="LiteLLM name of the embedding model; empty means lexical retrieval only."
    )
    offered_embedding_models: str = Field(
        "",
        description="Further embedding models that collections may be re-embedded by, comma-separated; that"
        " of `MINIRAG_EMBEDDING_MODEL` always is one.",
    )
    model_api_base: str | None = Field(
        None, description="Base URL of an OpenAI-compatible provider, for all models."
    )
    model_api_key: SecretStr | None = Field(
        None, description="Provider key; without it LiteLLM reads the provider's own variable."
    )
    allowed_models: str = Field(
        "",
        description="Models that assistants may name on the operator's credentials, as comma-separated"
        " patterns (`openai/gpt-4o*`); empty means any of a well-known provider.",
    )
    model_timeout: float = Field(
        120.0, gt=0, le=3600, description="Longest wait for a whole answer."
    )
    model_idle_timeout: float = Field(
        30.0, gt=0, le=600, description="Longest wait for the next token."
    )
    embedding_timeout: float = Field(60.0, gt=0, le=600, description="Longest embedding call.")
    embedding_batch_size: int = Field(32, ge=1, le=2048, description="Chunks per embedding call.")
    embedding_batch_tokens: int = Field(
        16_384,
        ge=256,
        le=1_000_000,
        description="Estimated tokens per embedding call; providers that allow fewer refuse the call.",
    )
    embedding_concurrency: int = Field(
        4,
        ge=1,
        le=64,
        description="Embedding calls of documents under way at once, per process and provider (and per"
        " tenant, with a key of its own).",
    )
    max_output_tokens: int = Field(
        1024, ge=1, le=200_000, description="Default length limit of an answer."
    )

    # -- documents
    max_document_bytes: int = Field(
        64 * MEBIBYTE, ge=1, description="Largest document that is accepted."
    )
    upload_hours: float = Field(
        24.0,
        gt=0,
        le=24 * 30,
        description="Hours after its last committed part that an unfinished upload is kept.",
    )
    max_text_bytes: int = Field(
        64 * MEBIBYTE, ge=1, description="Largest text that a parser may extract."
    )
    chunk_tokens: int = Field(320, ge=16, le=8192, description="Upper size of a chunk.")
    chunk_overlap_tokens: int = Field(0, ge=0, le=1024, description="Overlap of neighbours.")
    chunking_seconds: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="Longest time to cut a part of 1 MiB of a text into chunks.",
    )
    parser_memory_bytes: int = Field(
        1024 * MEBIBYTE, ge=128 * MEBIBYTE, description="Address space of a parser process."
    )
    parser_seconds: float = Field(25.0, gt=0, le=600, description="Longest parse of a document.")
    ocr_languages: str = Field(
        "eng",
        pattern=r"^[\w+/-]*$",
        description="Languages of scanned pages as tesseract names them (`eng+deu`), where it is "
        "installed; empty: no OCR.",
    )

    # -- work
    worker_threads: int = Field(
        2,
        ge=1,
        le=64,
        description="Jobs run at once, per process, besides one that is a tenant's first.",
    )
    job_lease_seconds: float = Field(
        15.0, ge=2, le=300, description="How long a silent worker keeps a job."
    )
    job_max_attempts: int = Field(
        5, ge=1, le=100, description="Attempts before a document is given up."
    )
    relay_interval: float = Field(0.2, gt=0, le=60, description="Pause between looks for due jobs.")
    reconcile_hours: float = Field(
        24.0,
        ge=0,
        le=8760,
        description="Hours between two comparisons of the stores with each other, which repair what differs;"
        " 0 compares them on demand only (`minirag reconcile`).",
    )
    reconcile_grace_hours: float = Field(
        24.0,
        ge=0.1,
        le=8760,
        description="How old a file must be that belongs to nothing before a comparison removes it.",
    )
    tenant_grace_days: float = Field(
        7.0, ge=0, le=365, description="Days between DeleteTenant and the erasure, unless `now`."
    )

    # -- requests to addresses that tenants choose
    outbound_allowed_networks: str = Field(
        "",
        description="CIDRs, comma-separated, that webhooks and sources may lead to beside the public"
        " internet, by http as well.",
    )
    outbound_ca_file: Path | None = Field(
        None,
        description="PEM certificates of authorities that webhooks and sources may have beside the public"
        " ones.",
    )
    webhook_allow_http: bool = Field(
        False, description="Allow webhooks to public addresses without TLS."
    )

    source_user_agent: str = Field(
        "MiniRAG",
        min_length=1,
        max_length=200,
        pattern=r"^[!-~]+( [!-~]+)*$",
        description="How sources introduce themselves to sites; robots.txt knows them by the first word.",
    )
    source_max_pages: int = Field(
        10_000, ge=1, le=1_000_000, description="Most pages that one source may have."
    )
    source_max_page_bytes: int = Field(
        16 * MEBIBYTE, ge=1024, le=256 * MEBIBYTE, description="Largest page that a source takes."
    )
    source_page_seconds: float = Field(
        30.0, gt=0, le=600, description="Longest wait for a page of a source."
    )

    # -- logs
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Log level."
    )
    log_format: Literal["console", "json"] = Field("json", description="Log format.")

    @field_validator("reflection", mode="before")
    @classmethod
    def _once_true_or_false(cls, value: Any) -> Any:
        """What it was before it had three values still means the same."""
        text = str(value).lower()
        if text in {"true", "1", "yes", "on"}:
            return "open"
        return "off" if text in {"false", "0", "no"} else text

    @field_validator("platform_key")
    @classmethod
    def _long_enough(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and len(key) < PLATFORM_KEY_CHARACTERS:
            raise ValueError(f"must have at least {PLATFORM_KEY_CHARACTERS} characters")
        return key

    @field_validator("database_url", "database_owner_url", "redis_url", "qdrant_url", "blob_url")
    @classmethod
    def _of_a_known_scheme(cls, url: Any, info: ValidationInfo) -> Any:
        text = url.get_secret_value() if isinstance(url, SecretStr) else url
        schemes = URL_SCHEMES[str(info.field_name)]
        if text is not None and not text.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(f"must be a URL that starts with {schemes[0]}://")
        return url


def load_settings(**overrides: object) -> Settings:
    """Return the settings, `overrides` first, then environment, then `.env`.

    Raises `SettingsError`, one line that names the variable.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic validates them
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "_".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"MINIRAG_{name.upper()}: {message}") from None
