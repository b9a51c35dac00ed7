"""`minirag operation` and `minirag reconcile`: work that goes on in the background, and its receipts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from minirag.cli.connecting import Credential, client_command
from minirag.cli.naming import tenant_id
from minirag.cli.output import to_dict
from minirag.cli.session import Session
from minirag.cli.wording import enum_word, format_time

if TYPE_CHECKING:
    from minirag_sdk.v1 import operation_service_pb2 as operation_pb

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
                _state(one),
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
    """Wait until an operation has ended, and show its receipt. Ctrl-C leaves it going on."""
    show_receipt(session, wait_for(session, operation_id))


@app.command("cancel")
@client_command("operation cancel", Credential.EITHER)
def cancel_operation(
    session: Session, operation_id: OperationArgument, as_platform: PlatformFlag = False
) -> None:
    """Call an operation off: a purge, a reconciliation, or a tenant's deletion in its grace period."""
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
    show_receipt(session, wait_for(session, operation.id) if wait else operation)


def wait_for(session: Session, operation_id: str) -> operation_pb.Operation:
    """Return the operation once it has ended; a server that goes away meanwhile is asked again."""
    import grpc
    from minirag_sdk.v1 import operation_service_pb2 as pb

    request = pb.GetOperationRequest(operation_id=operation_id)
    while True:
        # Of a server that isn't there, this waits for the return.
        operation: operation_pb.Operation = session.call(
            session.operations.GetOperation, request
        ).operation
        try:
            with session.stream(
                session.operations.WaitOperation, pb.WaitOperationRequest(operation_id=operation_id)
            ) as states:
                for state in states:
                    operation = state.operation
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
        else:
            return operation


def is_under_way(operation: operation_pb.Operation) -> bool:
    from minirag_sdk.v1 import operation_service_pb2 as pb

    return operation.state in (pb.OPERATION_STATE_PENDING, pb.OPERATION_STATE_RUNNING)


def show_receipt(session: Session, operation: operation_pb.Operation) -> None:
    """Print an operation's state and, store by store, what was erased and is left, or differed."""
    from minirag_sdk.v1 import operation_service_pb2 as pb

    output = session.output
    if output.as_json:
        output.show_json({"operation": to_dict(operation)})
        return
    progress = f", {operation.done} of {operation.total}" if operation.total else ""
    when = format_time(operation.end_time)
    output.show(f"{operation.id}: {_state(operation)}{progress} {when}".rstrip())
    if operation.error:
        output.show(f"Held up: {operation.error}")
    if operation.type == pb.OPERATION_TYPE_RECONCILE:
        output.show_table(
            ("Store", "What", "Found", "Repaired"),
            (
                (one.store, one.kind, str(one.found), str(one.repaired))
                for one in operation.drift
                if one.found
            ),
            empty="Nothing has been found to differ.",
        )
        return
    left = {(one.store, one.kind): str(one.count) for one in operation.remaining}
    output.show_table(
        ("Store", "Kind", "Erased", "Left"),
        (
            (one.store, one.kind, str(one.count), left.get((one.store, one.kind), ""))
            for one in operation.erased
            if one.count or left.get((one.store, one.kind), "0") != "0"
        ),
        empty="Nothing is counted yet.",
    )


def _state(operation: operation_pb.Operation) -> str:
    from minirag_sdk.v1 import operation_service_pb2 as pb

    return enum_word(pb.OperationState, operation.state, "OPERATION_STATE_")
