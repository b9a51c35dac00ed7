"""`minirag tenant`: make and list tenants, with the platform key. `offboarding` adds how they go."""

from __future__ import annotations

from typing import Annotated

import typer

from minirag.cli.connecting import Credential, client_command
from minirag.cli.output import to_dict
from minirag.cli.session import Session
from minirag.cli.wording import enum_word, format_time

app = typer.Typer(help="Make, list, export and delete tenants.", no_args_is_help=True)


@app.command("create")
@client_command("tenant create", Credential.PLATFORM)
def create_tenant(
    session: Session,
    slug: Annotated[
        str, typer.Argument(metavar="SLUG", help="Short name: a-z, 0-9 and -, as in acme.")
    ],
    name: Annotated[str, typer.Option("--name", help="Name for people. Default: the slug.")] = "",
) -> None:
    """Make a tenant, and show its first API key, which has every scope."""
    from minirag_sdk.v1 import tenant_service_pb2 as pb

    response = session.call(
        session.tenants.CreateTenant, pb.CreateTenantRequest(slug=slug, display_name=name)
    )
    if session.output.as_json:
        session.output.show_json(to_dict(response))
        return
    tenant = response.tenant
    session.output.show(f"Made tenant {tenant.slug} ({tenant.id}).")
    show_secret(session, response.secret)


@app.command("list")
@client_command("tenant list", Credential.PLATFORM)
def list_tenants(session: Session) -> None:
    """List all tenants, oldest first."""
    from minirag_sdk.v1 import tenant_service_pb2 as pb

    listed = session.list_all(session.tenants.ListTenants, pb.ListTenantsRequest(), "tenants")
    if session.output.as_json:
        session.output.show_json({"tenants": [to_dict(tenant) for tenant in listed]})
        return
    session.output.show_table(
        ("Slug", "ID", "Name", "State", "Made"),
        (
            (
                tenant.slug,
                tenant.id,
                tenant.display_name,
                enum_word(pb.TenantState, tenant.state, "TENANT_STATE_"),
                format_time(tenant.create_time),
            )
            for tenant in listed
        ),
        empty="There is no tenant yet: make one with `minirag tenant create SLUG`.",
    )


def show_secret(session: Session, secret: str) -> None:
    """Print a new key, the only time that anybody sees it, and how to use it."""
    output = session.output
    output.show(
        "\nIts API key is shown this once: keep it. The other commands read it from here:\n"
    )
    output.show(f"  export MINIRAG_API_KEY={secret}", style="bold", wrap=False)
    output.show(f"  export MINIRAG_SERVER={session.server}", wrap=False)
