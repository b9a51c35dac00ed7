"""`minirag operation` and `minirag reconcile`: work that goes on in the background, and its receipts."""

from __future__ import annotations

from typing import Annotated

import typer

from minirag.cli.connecting import Credential, client_command
from minirag.cli.naming import tenant_id
from minirag.cli.output import to_dict
from minirag.cli.receipts import follow, operation_state, show_receipt
from minirag.cli.session import Session
from minirag.cli.wording import enum_word, format_time

app = typer.Typer(
    help="Look at work in the background, wait for it, call it off.", no_args_is_help=True
)

OperationArgument = Annotated[str, typer.Argument(metavar="ID", help="The operation, op_….")]
PlatformFlag = Annotated[
    bool,
    typer.Option(
        "--as-platform",
        help="Of the platform, with its key: erasures of tenants, and reconciliations.",
    ),
]


@app.command("list")
@client_command("operation list", Credential.EITHER)
def list_operations(session: Session, as_platform: PlatformFlag = False) -> None:
    """List operations, newest first."""
    from minirag_sdk.v1 import operation_service_pb2 as pb

    listed = session.list_all(
        session.operations.ListOperations, pb.ListOperationsRequest(), "operations"
    )
    if session.output.as_json:
        session.output.show_json({"operations": [to_dict(one) for one in listed]})
        return
    session.output.show_table(
        ("ID", "What", "State", "Of", "Done", "Begun", "Ended"),
        (
            (
                one.id,
                enum_word(pb.OperationType, one.type, "OPERATION_TYPE_"),
                operation_state(one),
                one.subject_id,
                f"{one.done}/{one.total}" if one.total else "",
                format_time(one.start_time),
                format_time(one.end_time),
            )
            for one in listed
        ),
        empty="There is no operation yet.",
    )


@app.command("show")
@client_command("operation show", Credential.EITHER)
def show_operation(
    session: Session, operation_id: OperationArgument, as_platform: PlatformFlag = False
) -> None:
    """Show how far an operation is, and its receipt."""
    from minirag_sdk.v1 import operation_service_pb2 as pb

    request = pb.GetOperationRequest(operation_id=operation_id)
    show_receipt(session, session.call(session.operations.GetOperation, request).operation)


@app.command("wait")
@client_command("operation wait", Credential.EITHER)
def wait_operation(
    session: Session, operation_id: OperationArgument, as_platform: PlatformFlag = False
) -> None:
    """Wait until an operation has ended, and show its receipt. Ctrl-C leaves it going on.

    Exit code 1 when it failed or was called off.
    """
    from minirag_sdk.v1 import operation_service_pb2 as pb

    follow(session, pb.Operation(id=operation_id), wait=True)


@app.command("cancel")
@client_command("operation cancel", Credential.EITHER)
def cancel_operation(
    session: Session, operation_id: OperationArgument, as_platform: PlatformFlag = False
) -> None:
    """Call an operation off: a purge, a re-embedding, a reconciliation, a tenant's deletion in its grace
    period."""
    from minirag_sdk.v1 import operation_service_pb2 as pb

    request = pb.CancelOperationRequest(operation_id=operation_id)
    show_receipt(session, session.call(session.operations.CancelOperation, request).operation)


@client_command("reconcile", Credential.PLATFORM)
def reconcile(
    session: Session,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what differs, and repair nothing.")
    ] = False,
    tenant: Annotated[
        str,
        typer.Option(
            "--tenant",
            metavar="ID_OR_SLUG",
            help="This tenant only; one that was erased by its id.",
            show_default=False,
        ),
    ] = "",
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for its end, and show what differed.")
    ] = True,
) -> None:
    """Compare database, vectors and files with each other, and repair what differs.

    The server's workers do it, or the running node.
    """
    from minirag_sdk.v1 import operation_service_pb2 as pb

    request = pb.ReconcileRequest(
        dry_run=dry_run, tenant_id=tenant_id(session, tenant) if tenant else ""
    )
    operation = session.call(session.operations.Reconcile, request).operation
    follow(session, operation, wait=wait)
