"""Access tokens: what is taken, and above all what isn't."""

from __future__ import annotations

import base64
import json
import time
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest

from minirag.adapters.keyring import EnvelopeKeyring
from minirag.adapters.user_tokens import HmacTokenSigner
from minirag.domain.ids import new_id
from minirag.errors import FailedPrecondition, Unauthenticated
from minirag.services.clock import utc_now
from minirag.services.ports.people import AccessClaims

KEYS = {"k1": b"1" * 32}
IDS = {"tid": new_id().hex, "uid": new_id().hex, "sid": new_id().hex}


def in_minutes(minutes: float) -> datetime:
    return (utc_now() + timedelta(minutes=minutes)).replace(microsecond=0)


def signer(keys: dict[str, bytes] | None = None) -> HmacTokenSigner:
    return HmacTokenSigner(EnvelopeKeyring(KEYS if keys is None else keys))


def forge(
    *, key: bytes | None = None, algorithm: str = "HS256", kid: Any = "k1", **claims: Any
) -> str:
    """A token as the server signs it, but for what is named; a claim that is None is left out."""
    usual = {**IDS, "iss": "minirag", "iat": int(time.time()), "exp": int(time.time()) + 86_400}
    payload = {name: value for name, value in (usual | claims).items() if value is not None}
    own = EnvelopeKeyring(KEYS).derive("access token")["k1"]
    headers = {} if kid is None else {"kid": kid}
    return "mrt_" + jwt.encode(payload, own if key is None else key, algorithm, headers=headers)


def test_token_reads_back_as_it_was_signed() -> None:
    claims = AccessClaims(new_id(), new_id(), new_id(), in_minutes(10))

    text = signer().sign(claims)

    assert signer().read(text) == claims
    assert signer().read(forge()).tenant_id == UUID(IDS["tid"])


def test_token_holds_ids_and_times_and_nothing_else() -> None:
    text = signer().sign(AccessClaims(new_id(), new_id(), new_id(), in_minutes(10)))

    payload = jwt.decode(text.removeprefix("mrt_"), options={"verify_signature": False})

    assert set(payload) == {"iss", "tid", "uid", "sid", "iat", "exp"}


def test_expired_token_is_told_apart() -> None:
    with pytest.raises(Unauthenticated) as raised:
        signer().read(forge(exp=int(time.time()) - 60))

    assert raised.value.reason == "CREDENTIAL_EXPIRED"


def unsigned(**header: Any) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    payload = {**IDS, "iss": "minirag", "iat": int(time.time()), "exp": int(time.time()) + 86_400}
    return f"mrt_{part({'typ': 'JWT', 'kid': 'k1', **header})}.{part(payload)}."


@pytest.mark.parametrize(
    "text",
    [
        forge(key=b"x" * 32),
        forge(key=KEYS["k1"]),  # the ring's key itself, not the one derived for this
        forge(key=EnvelopeKeyring(KEYS).derive("refresh token")["k1"]),
        forge(algorithm="HS384", key=b"x" * 48),
        forge(kid="k2"),
        forge(kid=None),
        unsigned(alg="none"),
        unsigned(alg="HS256"),
        forge().removeprefix("mrt_"),
        forge(iss="somebody else"),
        *(forge(**{name: None}) for name in ("iss", "tid", "uid", "sid", "iat", "exp")),
        *(forge(**{name: "no id"}) for name in ("tid", "uid", "sid")),
        *(forge(**{name: 7}) for name in ("tid", "uid", "sid")),
        forge(exp="soon"),
        forge(exp=10**30),
        forge(iat=int(time.time()) + 3600),
        "mrt_",
        "mrt_a.b.c",
        "mrt_" + "é" * 20,
        "mrt_" + "a" * 5000,
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Unauthenticated) as raised:
        signer().read(text)

    assert raised.value.reason == "CREDENTIAL_INVALID"


def test_same_payload_under_another_algorithm_is_refused() -> None:
    own = EnvelopeKeyring(KEYS).derive("access token")["k1"]

    for algorithm in ("HS384", "HS512"):
        with pytest.warns(jwt.warnings.InsecureKeyLengthWarning):
            text = forge(key=own, algorithm=algorithm)
        with pytest.raises(Unauthenticated):
            signer().read(text)


def test_newest_key_signs_and_former_ones_still_verify() -> None:
    old = signer().sign(AccessClaims(new_id(), new_id(), new_id(), in_minutes(1)))
    rotated = signer({"k2": b"2" * 32, **KEYS})

    new = rotated.sign(AccessClaims(new_id(), new_id(), new_id(), in_minutes(1)))

    assert rotated.read(old)
    with pytest.raises(Unauthenticated):
        signer().read(new)


def test_refresh_secrets_follow_from_key_session_and_secret() -> None:
    session = new_id()
    rotated = signer({"k2": b"2" * 32, **KEYS})

    [own] = signer().follow(session, "secret")

    assert signer().follow(session, "secret") == [own]
    assert rotated.follow(session, "secret")[1] == own
    assert len({own, *signer().follow(session, "other"), *signer().follow(new_id(), "secret")}) == 3
    assert len(own) == 64


def test_without_keys_nothing_is_signed_and_nothing_read() -> None:
    keyless = signer({})

    with pytest.raises(FailedPrecondition, match="MINIRAG_SECRET_KEYS"):
        keyless.require_keys()
    with pytest.raises(FailedPrecondition):
        keyless.sign(AccessClaims(new_id(), new_id(), new_id(), in_minutes(1)))
    with pytest.raises(Unauthenticated):
        keyless.read(forge())
