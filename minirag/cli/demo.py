"""`minirag demo`: the whole of MiniRAG at work, on this machine, for somebody who has never seen it."""

from __future__ import annotations

import json
import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from minirag.cli.answers import stream_answer
from minirag.cli.connecting import JsonOption
from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import CliFailure, describe_rpc_error, reporting
from minirag.cli.naming import tenant_id
from minirag.cli.output import Output
from minirag.cli.session import Session
from minirag.cli.upload import list_contents, upload_files
from minirag.cli.uploading import UploadPlan

if TYPE_CHECKING:
    from minirag_sdk.v1 import document_service_pb2 as document_pb

    from minirag.cli.demo_node import DemoNode

TENANT = "demo"
COLLECTION = "MiniRAG's own documents"
KEY_FILE = "demo.json"

QUESTIONS = (
    "How does a child process end when its parent dies?",
    "What happens to acknowledged documents after kill -9?",
)
"""The design decisions, which the demo uploads as a PDF, answer them best."""


def demo(
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            metavar="DIR",
            help="Where the demo keeps its data. Default: minirag-demo beside the data of `up`.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Start a node, upload this project's documents, and stream cited answers from them."""
    output = Output(as_json=as_json)
    with reporting("demo", output):
        from minirag.cli.demo_node import choose_directory, running_node
        from minirag.embedded.errors import EmbeddedError
        from minirag.embedded.layout import DataDirectory, default_data_directory

        wanted = data_dir or default_data_directory().with_name("minirag-demo")
        try:
            data = choose_directory(wanted)
            DataDirectory(data).prepare()
        except (EmbeddedError, OSError) as error:
            raise CliFailure(str(error), ExitCode.FAILURE) from None
        show = _Narrator(output)
        show.headline("MiniRAG demo: a node, a tenant, its documents, and questions about them")
        if data != wanted.absolute():
            show.line(
                f"As root, the servers run as a user who can't enter {wanted.absolute()}: the data is"
                f" kept in {data}"
            )
        show.step(
            "Starting a node: Postgres, Redis, vectors, server and worker, all on this machine"
        )
        began = time.monotonic()
        with running_node(data, show.line) as node:
            show.line(
                f"It serves on {node.address}, {time.monotonic() - began:.1f} s after its start."
            )
            show.line(f"Data and log (node.log) are in {data}")
            _tour(output, show, data, node)
        show.step("The node has been stopped. To go on")
        _show_next_steps(show, data)


class _Narrator:
    """Says what the demo does, step by step; as events in JSON."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._step = 0

    def headline(self, text: str) -> None:
        self._tell("headline", text, f"\n{text}", "bold")

    def step(self, text: str) -> None:
        self._step += 1
        self._tell("step", text, f"\n{self._step}. {text}", "bold cyan")

    def question(self, text: str) -> None:
        self._tell("question", text, f"\n> {text}\n", "bold")

    def line(self, text: str) -> None:
        self._tell("note", text, f"   {text}", "")

    def command(self, text: str) -> None:
        self._tell("command", text, f"     {text}", "green")

    def _tell(self, kind: str, text: str, line: str, style: str) -> None:
        """`line` is `text` as people see it; a command is left as it is, to be copied."""
        if self._output.as_json:
            self._output.show_event({"event": kind, "text": text})
        else:
            self._output.show(line, style=style, wrap=kind != "command")


def _tour(output: Output, show: _Narrator, data: Path, node: DemoNode) -> None:
    show.step("A tenant, whose data nobody else can see, and its API key")
    key = _open_tenant(output, show, data, node)
    with Session(output, server=node.address, key=key) as session:
        show.step("Documents: this project's own, as Markdown, PDF and Word")
        collection = _open_collection(session)
        _upload(session, show, data, collection)
        show.step(
            "Questions, answered from these documents word by word, with the sources by number"
        )
        model = ""
        for question in QUESTIONS:
            show.question(question)
            model = _ask(session, question, collection.id)
        _explain_models(show, model, collection.embedding_model)


def _open_tenant(output: Output, show: _Narrator, data: Path, node: DemoNode) -> str:
    """Return a key of the demo's tenant: the kept one, or a new one where it is lost or refused."""
    path = data / KEY_FILE
    kept = _read_key(path)
    if kept is not None and _is_accepted(output, node, kept):
        show.line(f"Tenant {TENANT} is there from an earlier run; its key is in {path}")
        return kept
    platform_key = node.read_platform_key()
    with Session(output, server=node.address, key=platform_key) as session:
        key, is_new = _make_key(session)
    _keep_key(path, key)
    made = f"Made tenant {TENANT}" if is_new else f"Made a new key for tenant {TENANT}"
    show.line(f"{made}; its key is kept in {path}")
    return key


def _make_key(session: Session) -> tuple[str, bool]:
    """Return a key, and whether its tenant was made with it."""
    from minirag_sdk.v1 import tenant_service_pb2 as pb

    listed = session.list_all(session.tenants.ListTenants, pb.ListTenantsRequest(), "tenants")
    if all(tenant.slug != TENANT for tenant in listed):
        request = pb.CreateTenantRequest(slug=TENANT, display_name="Demo")
        return session.call(session.tenants.CreateTenant, request).secret, True
    made = session.call(
        session.tenants.CreateApiKey,
        pb.CreateApiKeyRequest(
            tenant_id=tenant_id(session, TENANT),
            display_name="minirag demo",
            scopes=["SCOPE_READ", "SCOPE_INGEST", "SCOPE_CHAT", "SCOPE_MANAGE"],
        ),
    )
    return made.secret, False


def _is_accepted(output: Output, node: DemoNode, key: str) -> bool:
    import grpc  # imported by the session
    from minirag_sdk.v1 import tenant_service_pb2 as pb

    try:
        with Session(output, server=node.address, key=key) as session:
            session.call(session.tenants.WhoAmI, pb.WhoAmIRequest())
    except CliFailure:
        return False
    except grpc.RpcError as error:
        if describe_rpc_error(error, node.address).code is not ExitCode.DENIED:
            raise
        return False
    return True


def _read_key(path: Path) -> str | None:
    try:
        key = json.loads(path.read_text())["api_key"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # lost or damaged: another one is made
    return key if isinstance(key, str) else None


def _keep_key(path: Path, key: str) -> None:
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"tenant": TENANT, "api_key": key}, file)
    partial.replace(path)


def _open_collection(session: Session) -> document_pb.Collection:
    from minirag_sdk.v1 import document_service_pb2 as pb

    listed = session.list_all(
        session.documents.ListCollections, pb.ListCollectionsRequest(), "collections"
    )
    for collection in listed:
        if collection.display_name == COLLECTION:
            found: document_pb.Collection = collection
            return found
    made: document_pb.Collection = session.call(
        session.documents.CreateCollection, pb.CreateCollectionRequest(display_name=COLLECTION)
    ).collection
    return made


def _upload(
    session: Session, show: _Narrator, data: Path, collection: document_pb.Collection
) -> None:
    from minirag.cli.demo_corpus import build_corpus

    corpus = build_corpus(data / "corpus")
    for note in corpus.notes:
        show.line(note)
    plan = UploadPlan(collection.id, known=list_contents(session, collection.id))
    progress = upload_files(session, session.output, plan, corpus.files, wait=True)
    progress.summarize(waited=True)
    if progress.failures:
        raise CliFailure(
            f"{len(progress.failures)} documents of the demo failed, see above",
            ExitCode.DOCUMENTS_FAILED,
            advice=f"the log is in {data / 'node.log'}",
        )


def _ask(session: Session, question: str, collection_id: str) -> str:
    """Stream the answer and return the name of the model that gave it."""
    from minirag_sdk.v1 import chat_service_pb2 as pb

    request = pb.SendMessageRequest(
        content=question, collection_ids=[collection_id], request_id=str(uuid4())
    )
    return stream_answer(session, request).model


def _explain_models(show: _Narrator, model: str, embedding_model: str) -> None:
    if model != "extractive" or embedding_model:
        show.line(f"Model: {model}; embeddings: {embedding_model or 'none, retrieval is lexical'}.")
        return
    show.step("About these answers")
    show.line("No model provider is configured, so nothing left this machine: retrieval is lexical")
    show.line("(BM25), and the built-in model `extractive` answers with the best sentences. With a")
    show.line(
        "provider, answers are written by a model, and retrieval is hybrid. Set, for example:"
    )
    show.command("export OPENAI_API_KEY=…")
    show.command("export MINIRAG_CHAT_MODEL=openai/gpt-4o-mini")
    show.command("export MINIRAG_EMBEDDING_MODEL=openai/text-embedding-3-small")
    show.line("Collections made from then on have vectors. Any model that LiteLLM knows will do.")


def _show_next_steps(show: _Narrator, data: Path) -> None:
    directory = shlex.quote(str(data))
    key_of = 'import json, sys; print(json.load(open(sys.argv[1]))["api_key"])'
    show.line("run the node until Ctrl-C (in a terminal of its own):")
    show.command(f"make up DATA={directory}      # or: minirag up --data-dir {directory}")
    show.line("take the demo's key:")
    show.command(
        f"export MINIRAG_API_KEY=$(python3 -c '{key_of}' {shlex.quote(str(data / KEY_FILE))})"
    )
    show.line("and ask, with this command or from any language; grpcurl is the shortest:")
    show.command("minirag ask 'How are tenants kept apart?'")
    show.command(
        'grpcurl -plaintext -H "authorization: Bearer $MINIRAG_API_KEY"'
        ' -d \'{"content": "How are tenants kept apart?"}\''
        " 127.0.0.1:50051 minirag.v1.ChatService/SendMessage"
    )
