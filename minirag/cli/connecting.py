"""The options that every client command has, and the decorator that gives a command its session.

    @client_command("collection create")
    def create_collection(session: Session, name: ...) -> None: ...

Typer sees the command's own parameters and, after them, the shared ones.
"""

from __future__ import annotations

import enum
import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from minirag.cli.encryption import Encryption, is_local
from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import CliFailure, reporting
from minirag.cli.output import Output
from minirag.cli.session import Session
from minirag.cli.stored_sessions import StoredSession

P = ParamSpec("P")

DEFAULT_SERVER = "127.0.0.1:50051"
_PANEL = "Connection"

ServerOption = Annotated[
    str,
    typer.Option(
        "--server",
        envvar="MINIRAG_SERVER",
        metavar="HOST:PORT",
        help="The server.",
        rich_help_panel=_PANEL,
    ),
]
ApiKeyOption = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar="MINIRAG_API_KEY",
        metavar="KEY",
        help="The tenant's API key. The variable is safer: other users see options of a process.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
PlatformKeyOption = Annotated[
    str | None,
    typer.Option(
        "--platform-key",
        envvar="MINIRAG_PLATFORM_KEY",
        metavar="KEY",
        help="The platform key. Default, for a server on this machine: the file platform.key of its own"
        " node.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
TlsOption = Annotated[
    bool | None,
    typer.Option(
        "--tls/--no-tls",
        help="Encrypt. Default: yes, unless the server is on this machine and neither --tls-ca nor"
        " --client-certificate is given.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
TlsCaOption = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca",
        envvar="MINIRAG_TLS_CA",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="PEM certificates of the authority to trust. Default: the well-known ones.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
ClientCertificateOption = Annotated[
    Path | None,
    typer.Option(
        "--client-certificate",
        envvar="MINIRAG_CLIENT_CERTIFICATE_FILE",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="PEM certificate to show to a server with mutual TLS, with --client-key.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
ClientKeyOption = Annotated[
    Path | None,
    typer.Option(
        "--client-key",
        envvar="MINIRAG_CLIENT_KEY_FILE",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="PEM private key of that certificate.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON for programs, and nothing else, on stdout.")
]


class Credential(enum.Enum):
    """Whose key a command needs."""

    TENANT = "tenant"
    PLATFORM = "platform"
    EITHER = "either"
    """The platform key when the command's parameter `tenant` or `as_platform` is given, else a tenant's."""
    PERSON = "person"
    """Whoever signed in with `minirag sign-in`."""
    NONE = "none"

    @property
    def is_anothers(self) -> bool:
        """True where no key of the options is meant, and the parameter `tenant` names no key either."""
        return self in (Credential.PERSON, Credential.NONE)


_SHARED: tuple[tuple[str, Any, Any], ...] = (
    ("server", ServerOption, DEFAULT_SERVER),
    ("api_key", ApiKeyOption, None),
    ("platform_key", PlatformKeyOption, None),
    ("tls", TlsOption, None),
    ("tls_ca", TlsCaOption, None),
    ("client_certificate", ClientCertificateOption, None),
    ("client_key", ClientKeyOption, None),
    ("as_json", JsonOption, False),
)


def client_command(
    name: str, credential: Credential = Credential.TENANT
) -> Callable[[Callable[Concatenate[Session, P], None]], Callable[..., None]]:
    """Make a command of a function that takes a `Session` first. `name` stands in its errors."""

    def decorate(function: Callable[Concatenate[Session, P], None]) -> Callable[..., None]:
        shared = [entry for entry in _SHARED if entry[0] not in _unused(credential)]

        @functools.wraps(function)
        def run(**given: Any) -> None:
            output = Output(as_json=given.pop("as_json"))
            server = given.pop("server")
            tls, authority = given.pop("tls"), given.pop("tls_ca")
            shown = given.pop("client_certificate"), given.pop("client_key")
            keys = {key: given.pop(key, None) for key in ("api_key", "platform_key")}
            with reporting(name, output, server):
                is_platform = credential is Credential.PLATFORM or (
                    bool(given.get("tenant") or given.get("as_platform"))
                    and not credential.is_anothers
                )
                encryption = Encryption.choose(server, tls, authority, *shown)
                key: str | StoredSession | None = None
                if credential is not Credential.NONE:
                    given_key = keys["platform_key" if is_platform else "api_key"]
                    key = (
                        given_key
                        or (_own_platform_key(server) if is_platform else None)
                        or _signed_in(server, is_platform)
                        or _missing_key(credential, is_platform)
                    )
                with Session(output, server=server, key=key, encryption=encryption) as session:
                    function(session, **given)  # type: ignore[call-arg]  # by name, from Typer

        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters = [parameter.replace(kind=kind) for parameter in own]
        parameters += [
            inspect.Parameter(key, kind, default=default, annotation=annotation)
            for key, annotation, default in shared
        ]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by Typer
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


def _signed_in(server: str, is_platform: bool) -> StoredSession | None:
    """Who signed in there, for commands of a tenant."""
    stored = StoredSession(server)
    return None if is_platform or stored.load() is None else stored


def _unused(credential: Credential) -> tuple[str, ...]:
    if credential.is_anothers:
        return ("api_key", "platform_key")
    if credential is Credential.TENANT:
        return ("platform_key",)
    return ("api_key",) if credential is Credential.PLATFORM else ()


def _missing_key(credential: Credential, is_platform: bool) -> str:
    if credential is Credential.PERSON:
        raise CliFailure(
            "nobody is signed in there: `minirag sign-in TENANT EMAIL`", ExitCode.DENIED
        )
    if is_platform:
        raise CliFailure(
            "no platform key: set MINIRAG_PLATFORM_KEY or pass --platform-key; a node of `minirag up`"
            " keeps it in the file platform.key of its data directory",
            ExitCode.DENIED,
        )
    raise CliFailure(
        "no API key: set MINIRAG_API_KEY or pass --api-key, or `minirag sign-in TENANT EMAIL`;"
        " `minirag tenant create SLUG` makes a tenant and shows its first key",
        ExitCode.DENIED,
    )


def _own_platform_key(server: str) -> str | None:
    """The key of this machine's own node, for a server on this machine: no other is shown it."""
    if not is_local(server):
        return None
    from minirag.embedded.layout import DataDirectory, default_data_directory

    path = DataDirectory(default_data_directory()).platform_key
    try:
        return path.read_text().strip() if os.access(path, os.R_OK) else None
    except OSError:
        return None
