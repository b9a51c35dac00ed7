"""`minirag source`: web pages that are kept as documents, and kept up to date."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from minirag.cli.connecting import client_command
from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import CliFailure
from minirag.cli.naming import collection_id
from minirag.cli.output import to_dict
from minirag.cli.session import Session
from minirag.cli.wording import count_of, enum_word, format_time, parse_choices, parse_metadata

if TYPE_CHECKING:
    from minirag_sdk.v1 import source_service_pb2 as source_pb

app = typer.Typer(
    help="Keep web pages as documents: a page, a sitemap or a feed.", no_args_is_help=True
)

KINDS = ("page", "sitemap", "feed")
PAGE_STATES = ("pending", "stored", "unchanged", "failed", "blocked", "missing", "removed")
LOOK_SECONDS = 0.5

SourceArgument = Annotated[str, typer.Argument(metavar="ID", help="The source's id, src_….")]
WaitOption = Annotated[
    bool, typer.Option("--wait", help="Wait until it is refreshed, and tell how that went.")
]
NameOption = Annotated[str | None, typer.Option("--name", help="Name for people.")]
EveryOption = Annotated[
    int | None,
    typer.Option(
        "--every",
        metavar="MINUTES",
        help="Refresh it so long after the last refresh, from 5; 0 only when asked.",
    ),
]
PagesOption = Annotated[
    int | None, typer.Option("--max-pages", metavar="NUMBER", help="Most pages that are taken.")
]
HostOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host", metavar="HOST", help="Pages may lie there, too. May be given again."
    ),
]
MetadataOption = Annotated[
    list[str] | None,
    typer.Option(
        "--metadata", metavar="KEY=VALUE", help="Given to its documents. May be given again."
    ),
]
MissingOption = Annotated[
    bool | None,
    typer.Option(
        "--keep-missing/--remove-missing",
        help="What becomes of documents whose pages are gone.",
        show_default=False,
    ),
]


@app.command("create")
@client_command("source create")
def create_source(
    session: Session,
    url: Annotated[str, typer.Argument(metavar="URL", help="The page, sitemap or feed.")],
    collection: Annotated[
        str, typer.Option("--collection", help="Where its documents lie: name or id.")
    ],
    kind: Annotated[str, typer.Option("--kind", help=f"One of {', '.join(KINDS)}.")] = "page",
    name: NameOption = None,
    every: EveryOption = None,
    max_pages: PagesOption = None,
    allow_host: HostOption = None,
    metadata: MetadataOption = None,
    keep_missing: MissingOption = None,
    wait: WaitOption = False,
) -> None:
    """Make a source; its pages are fetched at once."""
    from minirag_sdk.v1 import source_service_pb2 as pb

    (word,) = _one_of(kind, KINDS, "kind")
    request = pb.CreateSourceRequest(
        collection_id=collection_id(session, collection),
        kind=f"SOURCE_KIND_{word.upper()}",
        url=url,
        display_name=name or "",
        refresh_minutes=every or 0,
        max_pages=max_pages or 0,
        allowed_hosts=allow_host or [],
        keep_missing=bool(keep_missing),
    )
    request.metadata.update(parse_metadata(metadata or []))
    source = session.call(session.sources.CreateSource, request).source
    _show(session, source, f"Made source {source.id}.", wait=wait)


@app.command("list")
@client_command("source list")
def list_sources(
    session: Session,
    collection: Annotated[
        str, typer.Option("--collection", help="Only those of one: name or id.")
    ] = "",
) -> None:
    """List sources, oldest first."""
    from minirag_sdk.v1 import source_service_pb2 as pb

    request = pb.ListSourcesRequest()
    if collection:
        request.collection_id = collection_id(session, collection)
    listed = session.list_all(session.sources.ListSources, request, "sources")
    if session.output.as_json:
        session.output.show_json({"sources": [to_dict(source) for source in listed]})
        return
    session.output.show_table(
        ("ID", "Name", "URL", "Kind", "State", "Documents", "Refreshed", "Next", "What is wrong"),
        (
            (
                source.id,
                source.display_name,
                source.url,
                enum_word(pb.SourceKind, source.kind, "SOURCE_KIND_"),
                _state(source),
                str(source.document_count),
                format_time(source.refresh_end_time),
                format_time(source.next_refresh_time),
                source.error,
            )
            for source in listed
        ),
        empty="There is no source yet: make one with `minirag source create URL`.",
    )


@app.command("update")
@client_command("source update")
def update_source(
    session: Session,
    source_id: SourceArgument,
    url: Annotated[str | None, typer.Option("--url", help="Where it leads from now on.")] = None,
    name: NameOption = None,
    every: EveryOption = None,
    max_pages: PagesOption = None,
    allow_host: HostOption = None,
    metadata: MetadataOption = None,
    keep_missing: MissingOption = None,
) -> None:
    """Change a source; what isn't named stays. Hosts and metadata are replaced as a whole."""
    from minirag_sdk.v1 import source_service_pb2 as pb

    request = pb.UpdateSourceRequest(source=pb.Source(id=source_id))
    values = {
        "url": url,
        "display_name": name,
        "refresh_minutes": every,
        "max_pages": max_pages,
        "keep_missing": keep_missing,
    }
    for field, value in values.items():
        if value is not None:
            setattr(request.source, field, value)
            request.update_mask.paths.append(field)
    if allow_host is not None:
        request.source.allowed_hosts.extend(allow_host)
        request.update_mask.paths.append("allowed_hosts")
    if metadata is not None:
        request.source.metadata.update(parse_metadata(metadata))
        request.update_mask.paths.append("metadata")
    if not request.update_mask.paths:
        raise typer.BadParameter(
            "say what to change: --url, --name, --every, --max-pages, --allow-host, --metadata,"
            " --keep-missing or --remove-missing"
        )
    response = session.call(session.sources.UpdateSource, request)
    if session.output.as_json:
        session.output.show_json(to_dict(response))
        return
    session.output.show(f"Changed source {response.source.id}.")


@app.command("refresh")
@client_command("source refresh")
def refresh_source(session: Session, source_id: SourceArgument, wait: WaitOption = False) -> None:
    """Have a source refreshed now."""
    from minirag_sdk.v1 import source_service_pb2 as pb

    request = pb.RefreshSourceRequest(source_id=source_id)
    source = session.call(session.sources.RefreshSource, request).source
    _show(session, source, f"Source {source.id} is being refreshed.", wait=wait)


@app.command("pages")
@client_command("source pages")
def list_pages(
    session: Session,
    source_id: SourceArgument,
    states: Annotated[
        str,
        typer.Option(
            "--state", metavar="LIST", help=f"Only some, with commas: {', '.join(PAGE_STATES)}."
        ),
    ] = "",
) -> None:
    """List what became of each page of a source."""
    from minirag_sdk.v1 import source_service_pb2 as pb

    words = parse_choices(states, PAGE_STATES, "state") if states else []
    request = pb.ListSourcePagesRequest(
        source_id=source_id, states=[f"SOURCE_PAGE_STATE_{word.upper()}" for word in words]
    )
    listed = session.list_all(session.sources.ListSourcePages, request, "pages")
    if session.output.as_json:
        session.output.show_json({"pages": [to_dict(page) for page in listed]})
        return
    session.output.show_table(
        ("URL", "State", "HTTP", "Fetched", "Document ID", "Reason"),
        _rows(listed),
        empty="There is no such page.",
    )


@app.command("delete")
@client_command("source delete")
def delete_source(
    session: Session,
    source_id: SourceArgument,
    documents: Annotated[
        bool,
        typer.Option("--delete-documents/--keep-documents", help="What becomes of its documents."),
    ] = False,
) -> None:
    """End a source; its documents stay unless you say otherwise."""
    from minirag_sdk.v1 import source_service_pb2 as pb

    request = pb.DeleteSourceRequest(source_id=source_id, delete_documents=documents)
    response = session.call(session.sources.DeleteSource, request)
    if session.output.as_json:
        session.output.show_json(to_dict(response))
        return
    what = "its documents go in the background" if documents else "its documents stay"
    session.output.show(f"Deleted source {source_id}; {what}.")


def _show(session: Session, source: source_pb.Source, told: str, *, wait: bool) -> None:
    """Tell of a source that is to be refreshed, or of how that went. Raises `CliFailure` when it failed."""
    from minirag_sdk.v1 import source_service_pb2 as pb

    ends = (pb.SOURCE_STATE_READY, pb.SOURCE_STATE_FAILED)
    while wait and source.state not in ends:
        time.sleep(LOOK_SECONDS)
        request = pb.GetSourceRequest(source_id=source.id)
        source = session.call(session.sources.GetSource, request).source
    if session.output.as_json:
        session.output.show_json({"source": to_dict(source)})
    if wait and source.state == pb.SOURCE_STATE_FAILED:
        raise CliFailure(f"{source.id} wasn't refreshed: {source.error}", ExitCode.FAILURE)
    if session.output.as_json:
        return
    session.output.show(told)
    if wait:
        failed = f", {source.failed_page_count} failed" if source.failed_page_count else ""
        session.output.show(
            f"{count_of(source.page_count, 'page')}{failed},"
            f" {count_of(source.document_count, 'document')}."
        )


def _rows(listed: Iterable[source_pb.SourcePage]) -> Iterable[tuple[str, ...]]:
    from minirag_sdk.v1 import source_service_pb2 as pb

    for page in listed:
        yield (
            page.url,
            enum_word(pb.SourcePageState, page.state, "SOURCE_PAGE_STATE_"),
            str(page.http_status or ""),
            format_time(page.fetch_time),
            page.document_id,
            page.reason,
        )


def _state(source: source_pb.Source) -> str:
    from minirag_sdk.v1 import source_service_pb2 as pb

    return enum_word(pb.SourceState, source.state, "SOURCE_STATE_")


def _one_of(text: str, choices: tuple[str, ...], what: str) -> tuple[str]:
    """Read exactly one of these words. Raises `BadParameter`."""
    words = parse_choices(text, choices, what)
    if len(words) != 1:
        raise typer.BadParameter(f"name one {what}: {', '.join(choices)}")
    return (words[0],)
