"""`minirag search`, `ask` and `chat`."""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from minirag.cli.answers import describe_place, shorten, stream_answer
from minirag.cli.connecting import client_command
from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import CliFailure, describe_rpc_error
from minirag.cli.naming import assistant_id, collection_ids
from minirag.cli.output import to_dict
from minirag.cli.session import Session
from minirag.cli.wording import enum_word

if TYPE_CHECKING:
    from minirag_sdk.v1 import chat_service_pb2 as chat_pb

LONGEST_PASSAGE = 320

CollectionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--collection",
        metavar="NAME_OR_ID",
        help="Look in this one only; may be given several times. Default: all.",
        show_default=False,
    ),
]
AssistantOption = Annotated[
    str,
    typer.Option(
        "--assistant",
        metavar="NAME_OR_ID",
        help="Who answers. Default: the server's own settings.",
        show_default=False,
    ),
]


class Mode(enum.StrEnum):
    HYBRID = "hybrid"
    LEXICAL = "lexical"
    DENSE = "dense"


@client_command("search")
def search(
    session: Session,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What is looked for.")],
    collection: CollectionsOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="The most passages.")] = 8,
    mode: Annotated[
        Mode | None, typer.Option("--mode", help="Default: hybrid.", show_default=False)
    ] = None,
) -> None:
    """Find the passages that match best, without a language model."""
    from minirag_sdk.v1 import document_service_pb2 as pb

    retrieval = pb.RetrievalSettings(
        limit=limit, mode=f"RETRIEVAL_MODE_{mode.name}" if mode is not None else None
    )
    request = pb.SearchRequest(
        query=query,
        collection_ids=collection_ids(session, collection or []),
        retrieval=retrieval,
    )
    response = session.call(session.documents.Search, request)
    output = session.output
    if output.as_json:
        output.show_json(to_dict(response))
        return
    if not response.results:
        output.say("Nothing matches: try other words, or look in more collections.")
        return
    for number, result in enumerate(response.results, start=1):
        chunk = result.chunk
        pages = chunk.pages if chunk.HasField("pages") else None
        place = describe_place(result.document_display_name, chunk.heading_path, pages)
        output.show(f"{number}. {place}  (score {result.score:.3f})", style="cyan")
        output.show(f"   {shorten(chunk.text, LONGEST_PASSAGE)}\n")
    used = enum_word(pb.RetrievalMode, response.mode_used, "RETRIEVAL_MODE_")
    output.say(f"Retrieval was {used}.", style="dim")


@client_command("ask")
def ask(
    session: Session,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question.")],
    collection: CollectionsOption = None,
    assistant: AssistantOption = "",
) -> None:
    """Ask one question: the answer streams as it is made, then its sources."""
    from minirag_sdk.v1 import chat_service_pb2 as pb

    request = pb.SendMessageRequest(
        content=question,
        collection_ids=collection_ids(session, collection or []),
        assistant_id=assistant_id(session, assistant) if assistant else "",
        request_id=str(uuid4()),
    )
    stream_answer(session, request)


@client_command("chat")
def chat(
    session: Session,
    collection: CollectionsOption = None,
    assistant: AssistantOption = "",
    conversation: Annotated[
        str,
        typer.Option(
            "--conversation",
            metavar="ID",
            help="Go on with this conversation. Default: a new one.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Talk: a question a line, until Ctrl-D. Ctrl-C stops an answer that is under way."""
    from minirag_sdk.v1 import chat_service_pb2 as pb

    output, kept = session.output, _Conversation(conversation)
    chosen = collection_ids(session, collection or [])
    answered_by = assistant_id(session, assistant) if assistant else ""
    if _is_interactive():
        output.say("Ask away; Ctrl-D ends, Ctrl-C stops an answer.", style="dim")
    for question in _read_questions(output.as_json):
        request = pb.SendMessageRequest(
            content=question,
            conversation_id=kept.id,
            collection_ids=chosen,
            assistant_id="" if kept.id else answered_by,
            request_id=str(uuid4()),
        )
        try:
            stream_answer(session, request, on_started=kept.note)
        except KeyboardInterrupt:
            if not _is_interactive():
                raise
            output.say("\n(stopped)\n", style="dim")
        except Exception as error:
            failure = _as_failure(error, session.server)
            if failure is None or not _is_interactive() or failure.code is ExitCode.DENIED:
                raise
            output.report_failure(f"\n{failure.line}\n", failure.to_json())
    if kept.id and not output.as_json:
        output.say(f"Go on with: minirag chat --conversation {kept.id}", style="dim")


class _Conversation:
    """Which conversation a chat is in, known as soon as its first answer has begun."""

    def __init__(self, given: str) -> None:
        self.id = given

    def note(self, started: chat_pb.AnswerStarted) -> None:
        self.id = started.conversation_id


def _read_questions(as_json: bool) -> Iterator[str]:
    """Yield lines from the terminal, with line editing, or from a pipe; blank ones are left out."""
    if _is_interactive():
        with suppress(ImportError):  # not on every platform
            import readline  # noqa: F401  # editing and history, as a side effect
    while True:
        try:
            # A prompt is no machine output.
            if as_json:
                sys.stderr.write("> " if _is_interactive() else "")
                sys.stderr.flush()
                line = input()
            else:
                line = input("\n> " if _is_interactive() else "")
        except EOFError:
            if _is_interactive():
                sys.stderr.write("\n")
            return
        if line.strip():
            yield line.strip()


def _is_interactive() -> bool:
    return sys.stdin.isatty()


def _as_failure(error: Exception, server: str) -> CliFailure | None:
    import grpc  # imported by now

    if isinstance(error, CliFailure):
        return error
    return describe_rpc_error(error, server) if isinstance(error, grpc.RpcError) else None
