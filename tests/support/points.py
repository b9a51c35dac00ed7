"""Counting vectors in a deployment's store, past the API."""

from __future__ import annotations

from qdrant_client import AsyncQdrantClient, models


async def count_points(url: str, *, part_of_name: str = "", **payload: str) -> int:
    """Return how many points have all these values, in the spaces whose name has this part."""
    client = AsyncQdrantClient(url=url, check_compatibility=False)
    where = models.Filter(
        must=[
            models.FieldCondition(key=key, match=models.MatchValue(value=value))
            for key, value in payload.items()
        ]
    )
    try:
        spaces = (await client.get_collections()).collections
        counts = [
            (await client.count(space.name, where)).count
            for space in spaces
            if part_of_name in space.name
        ]
    finally:
        await client.close()
    return sum(counts)
