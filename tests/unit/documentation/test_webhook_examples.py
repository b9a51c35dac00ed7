"""What docs/webhooks.md shows: receivers that verify, and one payload of each event."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from minirag.domain.chats import GenerationState
from minirag.domain.documents import Failure, FailureCode
from minirag.domain.ids import new_id
from minirag.domain.webhooks import WebhookEventType
from minirag.services.webhook_events import (
    answer_completed,
    document_failed,
    document_ready,
    make_delivery,
    quota_reached,
    webhook_test,
)
from minirag.services.webhook_signing import format_secret, make_secret, sign
from tests.integration.postgres.records import (
    make_conversation,
    make_document,
    make_generation,
)
from tests.support.documents import ROOT, blocks

PAGE = (ROOT / "docs" / "webhooks.md").read_text()
BODY = '{"type":"webhook.test","data":{"name":"Grüße"}}'.encode()


def load_verify() -> Callable[..., bool]:
    """The function of the page's receiver, which isn't started."""
    (source,) = blocks(PAGE, "python")
    namespace: dict[str, Any] = {"__name__": "receiver"}
    exec(compile(source, "receiver.py", "exec"), namespace)
    verify: Callable[..., bool] = namespace["verify"]
    return verify


def test_python_receiver_takes_what_we_sign_and_nothing_else() -> None:
    verify, secret, now = load_verify(), make_secret(), time.time()
    text = format_secret(secret)
    headers = sign(secret, "dlv_1", datetime.fromtimestamp(now, UTC), BODY)
    several = {**headers, "webhook-signature": f"v1,other {headers['webhook-signature']}"}

    assert verify(text, headers, BODY, now)
    assert verify(text, several, BODY, now + 299)
    assert not verify(text, headers, BODY + b" ", now)
    assert not verify(text, {**headers, "webhook-id": "dlv_2"}, BODY, now)
    assert not verify(text, headers, BODY, now + 302)
    assert not verify(text, {**headers, "webhook-timestamp": str(int(now) - 1)}, BODY, now)
    assert not verify(text, {**headers, "webhook-timestamp": "soon"}, BODY, now)
    assert not verify(format_secret(make_secret()), headers, BODY, now)


def test_signature_is_the_one_of_standard_webhooks() -> None:
    """The vector that the specification's reference libraries test themselves with."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    time_ = datetime.fromtimestamp(1614265330, UTC)

    headers = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", time_, b'{"test": 2432232314}')

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_every_event_has_an_example_with_the_fields_that_are_sent() -> None:
    tenant = new_id()
    document = make_document(tenant, new_id())
    generation = make_generation(make_conversation(tenant))
    failure = Failure(FailureCode.NO_TEXT, "the document holds no text")
    sent = {
        event.type.value: json.loads(make_delivery(event, new_id()).payload)
        for event in (
            document_ready(document, document.version),
            document_failed(document, document.version, failure),
            answer_completed(generation, GenerationState.COMPLETED),
            quota_reached(tenant, "documents"),
            webhook_test(tenant, new_id()),
        )
    }

    shown = {example["type"]: example for example in map(json.loads, blocks(PAGE, "json"))}

    assert set(sent) == set(WebhookEventType) == set(shown)
    for name, payload in sent.items():
        assert list(shown[name]) == list(payload), name
        assert list(shown[name]["data"]) == list(payload["data"]), name
        assert f"`{name}`:" in PAGE
