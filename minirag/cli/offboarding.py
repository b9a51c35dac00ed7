"""`minirag tenant delete`, `undelete` and `export`: letting a tenant go, with its data."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from minirag.cli import tenants
from minirag.cli.confirming import YesFlag, confirm
from minirag.cli.connecting import Credential, client_command
from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import CliFailure
from minirag.cli.naming import tenant_id
from minirag.cli.output import to_dict
from minirag.cli.receipts import is_under_way, show_receipt, wait_for
from minirag.cli.session import Session
from minirag.cli.wording import count_of, enum_word, format_size, format_time

app = tenants.app

TenantArgument = Annotated[
    str, typer.Argument(metavar="ID_OR_SLUG", help="The tenant, by id or by slug.")
]


@app.command("delete")
@client_command("tenant delete", Credential.PLATFORM)
def delete_tenant(
    session: Session,
    tenant: TenantArgument,
    now: Annotated[
        bool, typer.Option("--now", help="Skip the grace period. It can't be undone.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="With --now: wait for the erasure, and show its receipt.")
    ] = False,
    yes: YesFlag = False,
) -> None:
    """Refuse a tenant's keys at once, and erase it when its grace period is over. It asks first."""
    from minirag_sdk.v1 import tenant_service_pb2 as pb

    output = session.output
    wanted = tenant_id(session, tenant)
    if not yes:
        when = ", now" if now else ""
        confirm(session, f"Erase the tenant {tenant} with all that it has{when}?")
    response = session.call(
        session.tenants.DeleteTenant, pb.DeleteTenantRequest(tenant_id=wanted, now=now)
    )
    operation = response.operation
    if wait and now:
        operation = wait_for(session, operation.id)
    if output.as_json:
        output.show_json({"operation": to_dict(operation)})
        return
    if is_under_way(operation):
        when = "now" if now else f"at {format_time(operation.start_time)}"
        output.show(f"{tenant} is refused from now on and erased {when} ({operation.id}).")
        if not now:
            output.show(f"Until then: minirag tenant undelete {tenant}")
        return
    show_receipt(session, operation)


@app.command("undelete")
@client_command("tenant undelete", Credential.PLATFORM)
def undelete_tenant(session: Session, tenant: TenantArgument) -> None:
    """Keep a tenant whose grace period is running."""
    from minirag_sdk.v1 import tenant_service_pb2 as pb

    request = pb.UndeleteTenantRequest(tenant_id=tenant_id(session, tenant))
    response = session.call(session.tenants.UndeleteTenant, request)
    if session.output.as_json:
        session.output.show_json(to_dict(response))
        return
    state = enum_word(pb.TenantState, response.tenant.state, "TENANT_STATE_")
    session.output.show(f"{response.tenant.slug} is {state} again.")


@app.command("operation")
@client_command("tenant operation", Credential.PLATFORM)
def show_operation(
    session: Session,
    operation_id: Annotated[str, typer.Argument(metavar="ID", help="The operation, op_….")],
) -> None:
    """Show how far an erasure is, and its receipt."""
    from minirag_sdk.v1 import operation_service_pb2 as pb

    request = pb.GetOperationRequest(operation_id=operation_id)
    show_receipt(session, session.call(session.operations.GetOperation, request).operation)


@app.command("export")
@client_command("tenant export")
def export_tenant(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The archive to write, a .tar.")],
    omit_files: Annotated[
        bool, typer.Option("--omit-files", help="Records and texts only, not the uploaded files.")
    ] = False,
) -> None:
    """Write all that the tenant has into one tar archive. Needs a key with every scope."""
    from minirag_sdk.v1 import tenant_service_pb2 as pb

    partial = file.with_name(file.name + ".part")
    request = pb.ExportTenantRequest(omit_files=omit_files)
    digest = hashlib.sha256()
    completed: Any = None
    try:
        # Nobody else on this machine is to read it.
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with (
            open(descriptor, "wb") as archive,
            session.stream(session.tenants.ExportTenant, request) as events,
        ):
            for event in events:
                if event.WhichOneof("event") == "completed":
                    completed = event.completed
                    continue
                archive.write(event.data)
                digest.update(event.data)
            archive.flush()
            os.fsync(archive.fileno())
        if completed is None or completed.sha256 != digest.hexdigest():
            raise CliFailure(
                "the archive arrived damaged or incomplete: export again", ExitCode.FAILURE
            )
        partial.replace(file)
    except OSError as error:
        raise CliFailure(f"{error.strerror}: {error.filename}", ExitCode.FAILURE) from None
    finally:
        partial.unlink(missing_ok=True)
    if session.output.as_json:
        session.output.show_json(to_dict(completed))
        return
    documents = count_of(completed.counts["documents"], "document")
    session.output.show(f"Wrote {file}: {format_size(completed.byte_size)}, {documents}.")
