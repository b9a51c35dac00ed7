"""The identity of a mutation that may be sent twice."""

from __future__ import annotations

import hashlib
from uuid import uuid4

from minirag_sdk.v1 import document_service_pb2 as pb

from minirag.api.request_keys import request_key

METHOD = "/minirag.v1.DocumentService/CreateDocument"


def make_request(**fields: object) -> pb.CreateDocumentRequest:
    request = pb.CreateDocumentRequest(collection_id="col_1", text="hello", **fields)
    for number in range(20):
        request.metadata[f"key{number}"] = number
    return request


def test_the_same_request_has_the_same_fingerprint_however_its_id_is_spelt() -> None:
    name = uuid4()

    one = request_key(METHOD, make_request(request_id=str(name)), name)
    other = request_key(METHOD, make_request(request_id=str(name).upper()), name)

    assert one is not None
    assert other is not None
    assert (one.request_id, one.method) == (name, METHOD)
    assert one.fingerprint == other.fingerprint


def test_what_a_request_says_cannot_be_guessed_by_its_fingerprint() -> None:
    """Some say a password: without the id, of which the database holds a hash, no guess can be tried."""
    name = uuid4()
    request = make_request(request_id=str(name))
    said = make_request().SerializeToString(deterministic=True)

    first = request_key(METHOD, request, name)
    second = request_key(METHOD, request, uuid4())

    assert first is not None
    assert second is not None
    assert first.fingerprint != second.fingerprint
    assert first.fingerprint != hashlib.sha256(said).digest()


def test_any_other_field_changes_the_fingerprint() -> None:
    name = uuid4()

    one = request_key(METHOD, make_request(request_id=str(name)), name)
    other = request_key(METHOD, make_request(request_id=str(name), file_name="a.md"), name)

    assert one is not None
    assert other is not None
    assert one.fingerprint != other.fingerprint


def test_the_request_is_left_as_it_was() -> None:
    name = uuid4()
    request = make_request(request_id=str(name))

    request_key(METHOD, request, name)

    assert request == make_request(request_id=str(name))


def test_a_request_without_an_id_has_no_key() -> None:
    assert request_key(METHOD, make_request(), None) is None
