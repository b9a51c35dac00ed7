"""An answer at the terminal: its tokens as they come, then its sources as numbered footnotes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import CliFailure
from minirag.cli.output import Output, printable, to_dict
from minirag.cli.session import Session

if TYPE_CHECKING:
    from minirag_sdk.v1 import chat_service_pb2 as chat_pb
    from minirag_sdk.v1 import document_service_pb2 as document_pb

LONGEST_QUOTE = 240
"""Characters; a footnote is for recognising the place, not for reading it all."""


def stream_answer(
    session: Session,
    request: chat_pb.SendMessageRequest,
    on_started: Callable[[chat_pb.AnswerStarted], None] | None = None,
) -> chat_pb.Message:
    """Send a question, print the answer as it comes and its sources, and return the message.

    `on_started` is told what the answer will be found under. As JSON, each event is a line. Raises
    `CliFailure` if the stream ends without an answer.
    """
    output = session.output
    with session.stream(session.chats.SendMessage, request) as events:
        for event in events:
            if output.as_json:
                output.show_event(to_dict(event))
            elif event.HasField("delta"):
                output.stream(event.delta.text)
            if event.HasField("started") and on_started is not None:
                on_started(event.started)
            if event.HasField("completed"):
                message: chat_pb.Message = event.completed.message
                break
        else:
            raise CliFailure(
                "the stream ended in mid-answer", ExitCode.UNAVAILABLE, advice="ask again"
            )
    if not output.as_json:
        output.stream("\n")
        show_footnotes(output, message)
    return message


def show_footnotes(output: Output, message: chat_pb.Message) -> None:
    """Print where the statements of an answer come from, by number."""
    if message.citations:
        output.show("")
    for citation in sorted(message.citations, key=lambda one: one.number):
        where, quote = footnote(citation)
        output.show(f"[{citation.number}] {where}", style="cyan")
        output.show(f"    {quote}", style="dim")


def footnote(citation: chat_pb.Citation) -> tuple[str, str]:
    """Return where a citation points, in words, and its quote in one line."""
    where = describe_place(citation.document_display_name, citation.heading_path, _pages(citation))
    return where, f"“{shorten(citation.quote, LONGEST_QUOTE)}”"


def describe_place(name: str, heading_path: Any, pages: document_pb.PageRange | None) -> str:
    """Return `file, page 3, Heading > Inner heading`, with what is known of it."""
    parts = [name]
    if pages is not None:
        several = pages.last > pages.first
        parts.append(f"pages {pages.first}-{pages.last}" if several else f"page {pages.first}")
    if heading_path:
        parts.append(" > ".join(heading_path))
    return printable(", ".join(parts))


def shorten(text: str, longest: int) -> str:
    """Return the text in one line of at most `longest` characters, cut between words."""
    line = " ".join(printable(text).split())
    if len(line) <= longest:
        return line
    cut = line[: longest - 1]
    # Text without spaces is cut anywhere.
    return (cut.rpartition(" ")[0] if " " in cut[longest // 2 :] else cut) + "…"


def _pages(citation: chat_pb.Citation) -> document_pb.PageRange | None:
    return citation.pages if citation.HasField("pages") else None
