"""What a real Redis holds of a tenant: counted, and forgotten when the tenant goes."""

from __future__ import annotations

from uuid import uuid4

from redis import Redis

from minirag.adapters.job_queue import RqJobQueue


async def test_hints_and_counters_of_a_tenant_go_and_others_stay(
    job_queue: RqJobQueue, client: Redis
) -> None:
    ours, theirs, erasing = uuid4(), uuid4(), uuid4()
    await job_queue.enqueue([(ours, erasing), (theirs, uuid4())])
    await job_queue.enqueue([(ours, uuid4())], in_front=True)
    client.set(f"minirag:rate:{ours.hex}", 1)
    client.set(f"minirag:rate:{theirs.hex}", 1)

    before = await job_queue.count_tenant(ours, except_job=erasing)
    forgotten = await job_queue.forget_tenant(ours, except_job=erasing)

    assert before == forgotten == 2
    assert await job_queue.count_tenant(ours, except_job=erasing) == 0
    assert await job_queue.count_tenant(theirs, except_job=erasing) == 2
    assert await job_queue.depth() == 2
    assert client.llen("rq:queue:minirag:first") == 0
    assert client.exists(f"rq:job:{erasing}")


async def test_record_that_is_no_job_is_passed_over(job_queue: RqJobQueue, client: Redis) -> None:
    client.set("rq:job:garbage", "not a hash")
    client.hset("rq:job:half", mapping={"created_at": "never", "data": b"\x00\x01"})

    counted = await job_queue.count_tenant(uuid4(), except_job=uuid4())

    assert counted == 0
