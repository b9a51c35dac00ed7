"""A stand-in for a Qdrant server: `python -m tests.support.qdrant_server --port 0 [--path DIR]`.

It speaks over HTTP the part of Qdrant's REST interface that `minirag.repositories.vectors.qdrant` uses,
so that several processes can share vectors where no Qdrant binary can be had. Behind it is the engine
that qdrant-client brings for tests: exact search, no index, good for some thousand points. It shows that
what the client sends and reads fits the interface, and what happens when the store is away. It shows
nothing of the real server's indexes, speed, clusters or durability; `MINIRAG_TEST_QDRANT_URL` names a real
one for that.

It prints its base URL, and serves until it is stopped. With `--path` its points outlive a kill.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web
from pydantic import BaseModel, ValidationError
from qdrant_client import QdrantClient, models

ENGINE = web.AppKey("engine", QdrantClient)
LARGEST_REQUEST = 64 * 1024 * 1024
UPDATED = {"operation_id": 0, "status": "completed"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_app(path: Path | None = None) -> web.Application:
    """The interface over an engine in memory, or in the directory `path`."""
    app = web.Application(client_max_size=LARGEST_REQUEST, middlewares=[_answer_errors])
    app[ENGINE] = QdrantClient(":memory:") if path is None else QdrantClient(path=str(path))
    of_one = "/collections/{name}"
    app.add_routes(
        [
            web.get("/collections", _list_collections),
            web.get(f"{of_one}/exists", _exists),
            web.put(of_one, _create_collection),
            web.delete(of_one, _delete_collection),
            web.put(f"{of_one}/index", _create_index),
            web.put(f"{of_one}/points", _upsert),
            web.post(f"{of_one}/points/query", _query),
            web.post(f"{of_one}/points/scroll", _scroll),
            web.post(f"{of_one}/points/count", _count),
            web.post(f"{of_one}/points/payload", _set_payload),
            web.post(f"{of_one}/points/delete", _delete),
        ]
    )
    return app


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The engine's `ValueError`s as the statuses that the server gives them."""
    try:
        name = request.match_info.get("name")
        is_there = name is None or request.app[ENGINE].collection_exists(name)
        if not is_there and handler not in (_exists, _create_collection):
            return _error(404, f"Not found: Collection `{name}` doesn't exist!")
        if is_there and handler is _create_collection:
            return _error(409, f"Wrong input: Collection `{name}` already exists!")
        return await handler(request)
    except (ValueError, ValidationError, json.JSONDecodeError) as error:
        return _error(400, f"Wrong input: {error}")


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"status": {"error": message}, "time": 0.0}, status=status)


def _result(result: object) -> web.Response:
    return web.json_response({"result": result, "status": "ok", "time": 0.0})


def _json(model: BaseModel) -> Any:
    return model.model_dump(mode="json")


def _name(request: web.Request) -> str:
    return request.match_info["name"]


async def _list_collections(request: web.Request) -> web.Response:
    return _result(_json(request.app[ENGINE].get_collections()))


async def _exists(request: web.Request) -> web.Response:
    return _result({"exists": request.app[ENGINE].collection_exists(_name(request))})


async def _create_collection(request: web.Request) -> web.Response:
    wanted = models.CreateCollection.model_validate(await request.json())
    created = request.app[ENGINE].create_collection(
        _name(request),
        vectors_config=wanted.vectors,
        sparse_vectors_config=wanted.sparse_vectors,
    )
    return _result(created)


async def _delete_collection(request: web.Request) -> web.Response:
    return _result(request.app[ENGINE].delete_collection(_name(request)))


async def _create_index(request: web.Request) -> web.Response:
    models.CreateFieldIndex.model_validate(await request.json())  # the engine has no indexes
    return _result(UPDATED)


async def _upsert(request: web.Request) -> web.Response:
    points = models.PointsList.model_validate(await request.json()).points
    request.app[ENGINE].upsert(_name(request), points)
    return _result(UPDATED)


async def _query(request: web.Request) -> web.Response:
    wanted = models.QueryRequest.model_validate(await request.json())
    found = request.app[ENGINE].query_points(
        _name(request),
        query=wanted.query,
        using=wanted.using,
        query_filter=wanted.filter,
        search_params=wanted.params,
        limit=10 if wanted.limit is None else wanted.limit,
        with_payload=False if wanted.with_payload is None else wanted.with_payload,
    )
    return _result(_json(found))


async def _scroll(request: web.Request) -> web.Response:
    wanted = models.ScrollRequest.model_validate(await request.json())
    records, following = request.app[ENGINE].scroll(
        _name(request),
        scroll_filter=wanted.filter,
        limit=10 if wanted.limit is None else wanted.limit,
        offset=wanted.offset,
        with_payload=True if wanted.with_payload is None else wanted.with_payload,
    )
    points = [_json(record) for record in records]
    return _result({"points": points, "next_page_offset": following})


async def _count(request: web.Request) -> web.Response:
    wanted = models.CountRequest.model_validate(await request.json())
    return _result(
        _json(request.app[ENGINE].count(_name(request), wanted.filter, exact=bool(wanted.exact)))
    )


async def _set_payload(request: web.Request) -> web.Response:
    wanted = models.SetPayload.model_validate(await request.json())
    points = wanted.points if wanted.filter is None else wanted.filter
    request.app[ENGINE].set_payload(_name(request), wanted.payload, points or [])
    return _result(UPDATED)


async def _delete(request: web.Request) -> web.Response:
    wanted = models.FilterSelector.model_validate(await request.json())
    request.app[ENGINE].delete(_name(request), wanted)
    return _result(UPDATED)


async def start(host: str, port: int, path: Path | None = None) -> tuple[web.AppRunner, str]:
    """Serve on the current loop; returns what to clean up, and the base URL."""
    runner = web.AppRunner(build_app(path), access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    bound = runner.addresses[0]
    return runner, f"http://{bound[0]}:{bound[1]}"


async def _serve(host: str, port: int, path: Path | None) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    runner, url = await start(host, port, path)
    print(url, flush=True)
    await stopped.wait()
    runner.app[ENGINE].close()
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.qdrant_server", description=__doc__
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--path", type=Path, help="directory to keep points in")
    arguments = parser.parse_args()
    uvloop.run(_serve(arguments.host, arguments.port, arguments.path))


if __name__ == "__main__":
    main()
