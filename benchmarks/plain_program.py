"""The baseline of answers and ingestion: a program that does the same steps itself, one after the other.

It has no gRPC, no tenants, no Postgres, no queue and no retries; texts of chunks are in a dict. Parser,
chunker, encoder, embeddings and vector store are MiniRAG's own adapters with their default settings;
answers, and embeddings of questions, are asked of LiteLLM directly.

`python -m benchmarks.plain_program DIRECTORY PROVIDER_URL` reads one JSON command a line, answers in one.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from array import array
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import uvloop

from benchmarks import texts
from benchmarks.models import EMBEDDING_MODEL, FIRST_TOKEN_MODEL
from minirag.adapters.chunking import StructuredChunker
from minirag.adapters.lexical import Bm25Encoder
from minirag.adapters.models.litellm_embeddings import LiteLlmEmbeddingModels
from minirag.adapters.models.litellm_loading import load_litellm
from minirag.adapters.parsing.sandbox import SandboxedParser
from minirag.config import Settings
from minirag.domain.chunks import Chunk, ChunkSizes
from minirag.domain.ids import chunk_id
from minirag.domain.retrieval import EmbeddingSpace, RetrievedChunk, VectorFilter, VectorPoint
from minirag.logs import configure_logging
from minirag.repositories.vectors.edge import EdgeVectorStore
from minirag.services.fusion import fuse
from minirag.services.prompting import build_prompt

CANDIDATES = 40
PASSAGES = 8
DIMENSIONS = 256
TIMEOUT = 3600.0
EVERYWHERE = VectorFilter()


class PlainProgram:
    def __init__(self, directory: Path, provider_url: str, litellm: Any) -> None:
        settings = Settings(_env_file=None)
        self._directory = directory
        self._litellm = litellm
        self._access = {
            "api_base": provider_url, "api_key": "none", "timeout": TIMEOUT,
            "num_retries": 0, "max_retries": 0,
        }  # fmt: skip
        self._tokens = settings.max_output_tokens
        self._batch = settings.embedding_batch_size
        self._parser = SandboxedParser(
            memory_bytes=settings.parser_memory_bytes,
            seconds=settings.parser_seconds,
            max_text_bytes=settings.max_text_bytes,
        )
        self._chunker = StructuredChunker()
        self._sizes = ChunkSizes(settings.chunk_tokens, settings.chunk_overlap_tokens)
        self._encoder = Bm25Encoder()
        self._embeddings = LiteLlmEmbeddingModels(api_base=provider_url)
        self._vectors = EdgeVectorStore(directory / "vectors")
        self._space = EmbeddingSpace("plain", EMBEDDING_MODEL, DIMENSIONS)
        self._owner = uuid4()
        self._texts: dict[UUID, Chunk] = {}

    async def start(self) -> None:
        await self._parser.start()
        await self._vectors.ensure_space(self._space)

    async def close(self) -> None:
        await self._parser.close()
        await self._vectors.close()

    async def ingest(self, first: int, count: int) -> dict[str, float]:
        """Parse, cut, embed and index documents, one after the other."""
        path = self._directory / "document"
        chunks = 0
        started = time.perf_counter()
        for number in range(first, first + count):
            path.write_bytes(texts.document(number))
            chunks += await self._ingest_one(path, f"{number}.md")
        return {"chunks": chunks, "seconds": time.perf_counter() - started}

    async def _ingest_one(self, path: Path, name: str) -> int:
        parsed = await self._parser.parse(path, file_name=name, declared_media_type="")
        document = uuid4()
        chunks = [
            Chunk(
                id=chunk_id(document, ordinal),
                version_id=document,
                document_id=document,
                collection_id=self._owner,
                ordinal=ordinal,
                text=draft.text,
                start=draft.start,
                end=draft.end,
                token_count=draft.token_count,
                page_first=draft.page_first,
                page_last=draft.page_last,
                page_starts=draft.page_starts,
                heading_path=draft.heading_path,
            )
            for ordinal, draft in enumerate(self._chunker.chunk(parsed, self._sizes))
        ]
        for start in range(0, len(chunks), self._batch):
            batch = chunks[start : start + self._batch]
            said = [f"{' > '.join(chunk.heading_path) or name}\n{chunk.text}" for chunk in batch]
            embedded = await self._embeddings.embed(
                EMBEDDING_MODEL, said, purpose="document", timeout=60.0
            )
            points = [
                VectorPoint(
                    chunk_id=chunk.id,
                    collection_id=chunk.collection_id,
                    document_id=document,
                    version_id=document,
                    sparse=self._encoder.encode_document(text),
                    dense=dense,
                )
                for chunk, text, dense in zip(batch, said, embedded.vectors, strict=True)
            ]
            await self._vectors.upsert(self._owner, self._space, points)
        self._texts.update((chunk.id, chunk) for chunk in chunks)
        return len(chunks)

    async def ask(self, numbers: list[int]) -> dict[str, list[float]]:
        """Answer questions, one after the other; tell the milliseconds to each first token."""
        return {"milliseconds": [await self._ask_one(texts.question(n)) for n in numbers]}

    async def _ask_one(self, question: str) -> float:
        started = time.perf_counter()
        answer = await self._litellm.aembedding(
            model=EMBEDDING_MODEL, input=[question], encoding_format="base64", **self._access
        )
        vector = array("f", base64.b64decode(answer.data[0]["embedding"]))
        lexical, dense = await asyncio.gather(
            self._vectors.search_lexical(
                self._owner,
                self._space,
                self._encoder.encode_query(question),
                where=EVERYWHERE,
                limit=CANDIDATES,
            ),
            self._vectors.search_dense(
                self._owner, self._space, tuple(vector), where=EVERYWHERE, limit=CANDIDATES
            ),
        )
        found = [
            RetrievedChunk(self._texts[hit.chunk_id], "document", hit.score)
            for hit in fuse(lexical, dense)[:PASSAGES]
        ]
        prompt = build_prompt(instructions="", passages=found, history=(), question=question)
        stream = await self._litellm.acompletion(
            model=FIRST_TOKEN_MODEL,
            messages=[{"role": part.role.value, "content": part.content} for part in prompt],
            stream=True,
            stream_options={"include_usage": True},
            max_tokens=self._tokens,
            **self._access,
        )
        first = 0.0
        async for chunk in stream:
            if not first and chunk.choices and chunk.choices[0].delta.content:
                first = time.perf_counter()
        if not first:
            raise RuntimeError("the answer was empty")
        return (first - started) * 1000


async def _main(directory: Path, provider_url: str) -> None:
    configure_logging(Settings(_env_file=None))  # to standard error: standard output is for answers
    program = PlainProgram(directory, provider_url, await load_litellm())
    await program.start()
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        command = json.loads(line)
        method = {"ingest": program.ingest, "ask": program.ask}[command.pop("do")]
        print(json.dumps(await method(**command)), flush=True)
    await program.close()


if __name__ == "__main__":
    uvloop.run(_main(Path(sys.argv[1]), sys.argv[2]))
