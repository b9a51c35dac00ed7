"""Waiting for an operation, and what it tells when it has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import CliFailure
from minirag.cli.operation_progress import showing_progress
from minirag.cli.output import Output, to_dict
from minirag.cli.session import Session
from minirag.cli.wording import enum_word, format_time

if TYPE_CHECKING:
    from minirag_sdk.v1 import operation_service_pb2 as operation_pb

WaitFlag = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait for the end, and show the receipt.")
]

MOST_QUERIES = 10
"""Sample queries that are told for people: those that differ most. JSON tells all."""


def follow(session: Session, operation: operation_pb.Operation, *, wait: bool) -> None:
    """Show the receipt of an operation that has begun: as it is, or once it has ended.

    Raises `CliFailure` when it was waited for, and FAILED or was called off.
    """
    from minirag_sdk.v1 import operation_service_pb2 as pb

    if wait:
        operation = wait_for(session, operation.id)
    show_receipt(session, operation)
    if wait and operation.state != pb.OPERATION_STATE_SUCCEEDED:
        reason = f": {operation.error}" if operation.error else ""
        raise CliFailure(f"{operation.id} {operation_state(operation)}{reason}", ExitCode.FAILURE)


def wait_for(session: Session, operation_id: str) -> operation_pb.Operation:
    """Return the operation once it has ended; a server that goes away meanwhile is asked again."""
    import grpc
    from minirag_sdk.v1 import operation_service_pb2 as pb

    request = pb.GetOperationRequest(operation_id=operation_id)
    with showing_progress(session.output) as show:
        while True:
            # Of a server that isn't there, this waits for the return.
            operation: operation_pb.Operation = session.call(
                session.operations.GetOperation, request
            ).operation
            try:
                with session.stream(
                    session.operations.WaitOperation,
                    pb.WaitOperationRequest(operation_id=operation_id),
                ) as states:
                    for state in states:
                        operation = state.operation
                        show(operation)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            else:
                return operation


def is_under_way(operation: operation_pb.Operation) -> bool:
    from minirag_sdk.v1 import operation_service_pb2 as pb

    return operation.state in (pb.OPERATION_STATE_PENDING, pb.OPERATION_STATE_RUNNING)


def operation_state(operation: operation_pb.Operation) -> str:
    """The state as people read it."""
    from minirag_sdk.v1 import operation_service_pb2 as pb

    return enum_word(pb.OperationState, operation.state, "OPERATION_STATE_")


def show_receipt(session: Session, operation: operation_pb.Operation) -> None:
    """Print an operation's state and what it did: store by store what was erased and is left, or
    differed; or how the results of a re-embedding compare."""
    from minirag_sdk.v1 import operation_service_pb2 as pb

    output = session.output
    if output.as_json:
        output.show_json({"operation": to_dict(operation)})
        return
    progress = f", {operation.done} of {operation.total}" if operation.total else ""
    when = format_time(operation.end_time)
    output.show(f"{operation.id}: {operation_state(operation)}{progress} {when}".rstrip())
    if operation.error:
        output.show(f"{'Held up' if is_under_way(operation) else 'Why'}: {operation.error}")
    if operation.type == pb.OPERATION_TYPE_RECONCILE:
        _show_drift(output, operation)
    elif operation.type == pb.OPERATION_TYPE_REEMBED_COLLECTION:
        if operation.HasField("comparison"):
            show_comparison(output, operation.comparison)
    else:
        _show_counts(output, operation)


def show_comparison(output: Output, comparison: operation_pb.EmbeddingComparison) -> None:
    """Print how the results of sample queries differ, and the queries whose results differ most."""
    queries = list(comparison.queries)
    former, new = model_word(comparison.former_model), model_word(comparison.new_model)
    if comparison.former_error:
        output.show(f"{former} couldn't be asked any more: {comparison.former_error}")
        return
    if not queries:
        output.show(f"From {former} to {new}: there was no query to compare them by.")
        return
    output.show(
        f"From {former} to {new}, by {len(queries)} sample queries:"
        f" {comparison.mean_overlap:.0%} of the first {comparison.depth} results are the same,"
        f" {comparison.same_first:.0%} of the queries have the same first result."
    )
    differing = sorted(
        (one for one in queries if list(one.former_chunk_ids) != list(one.new_chunk_ids)),
        key=lambda one: (one.overlap, _has_same_first(one)),
    )
    output.show_table(
        ("Query", "Same results", "Same first", "First before ID", "First now ID"),
        (
            (
                one.query or f"the beginning of {one.sample_chunk_id}",
                f"{one.overlap:.0%}",
                "yes" if _has_same_first(one) else "no",
                next(iter(one.former_chunk_ids), ""),
                next(iter(one.new_chunk_ids), ""),
            )
            for one in differing[:MOST_QUERIES]
        ),
        empty="Every query finds the same, in the same order.",
        title="Queries that differ most",
    )


def model_word(model: str) -> str:
    """A model's name as people read it: that of none says what stands in its place."""
    return model or "words alone (BM25)"


def _has_same_first(one: operation_pb.QueryComparison) -> bool:
    return list(one.former_chunk_ids[:1]) == list(one.new_chunk_ids[:1])


def _show_drift(output: Output, operation: operation_pb.Operation) -> None:
    output.show_table(
        ("Store", "What", "Found", "Repaired"),
        (
            (one.store, one.kind, str(one.found), str(one.repaired))
            for one in operation.drift
            if one.found
        ),
        empty="Nothing has been found to differ.",
    )


def _show_counts(output: Output, operation: operation_pb.Operation) -> None:
    left = {(one.store, one.kind): str(one.count) for one in operation.remaining}
    output.show_table(
        ("Store", "Kind", "Erased", "Left"),
        (
            (one.store, one.kind, str(one.count), left.get((one.store, one.kind), ""))
            for one in operation.erased
            if one.count or left.get((one.store, one.kind), "0") != "0"
        ),
        empty="Nothing is counted yet." if is_under_way(operation) else "Nothing was erased.",
    )
