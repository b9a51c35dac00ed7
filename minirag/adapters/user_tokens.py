"""What signed-in users show: `mrt_` and a JSON Web Token (RFC 7519), signed with HMAC-SHA256.

The key is derived from the server's key ring; `kid` names the ring's key, so that tokens signed before a
rotation hold as long as the former key stays in the ring.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import jwt

from minirag.errors import FailedPrecondition, Unauthenticated
from minirag.services.access import ACCESS_TOKEN_PREFIX
from minirag.services.clock import utc_now
from minirag.services.ports.people import AccessClaims
from minirag.services.ports.secrets import Keyring

ISSUER = "minirag"
ALGORITHM = "HS256"
REQUIRED = ("tid", "uid", "sid", "iat", "exp", "iss")
LEEWAY_SECONDS = 5
"""How far the clocks of two servers may be apart."""
MARK_DIGITS = 16
LONGEST = 1024
"""Characters; what is longer is no token of ours, and isn't worth decoding."""


class HmacTokenSigner:
    """`TokenSigner` over the key ring."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def require_keys(self) -> None:
        _ = self._keyring.newest

    def sign(self, claims: AccessClaims) -> str:
        name, key = next(iter(self._access_keys.items()))
        payload = {
            "iss": ISSUER,
            "tid": claims.tenant_id.hex,
            "uid": claims.user_id.hex,
            "sid": claims.session_id.hex,
            "iat": int(utc_now().timestamp()),
            "exp": int(claims.expire_time.timestamp()),
        }
        return ACCESS_TOKEN_PREFIX + jwt.encode(payload, key, ALGORITHM, headers={"kid": name})

    def read(self, text: str) -> AccessClaims:
        try:
            payload = self._decode(text)
            return AccessClaims(
                tenant_id=UUID(hex=payload["tid"]),
                user_id=UUID(hex=payload["uid"]),
                session_id=UUID(hex=payload["sid"]),
                expire_time=datetime.fromtimestamp(payload["exp"], UTC),
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated(
                "the access token has expired: get the next one from RefreshSession",
                reason="CREDENTIAL_EXPIRED",
            ) from None
        except (
            jwt.PyJWTError,
            FailedPrecondition,
            ValueError,
            TypeError,
            AttributeError,
            OverflowError,
        ):
            # Without keys nobody ever got a token here.
            raise Unauthenticated(
                "the access token isn't one of this server's: sign in again"
            ) from None

    def mark(self, text: str) -> list[str]:
        return [made[:MARK_DIGITS] for made in _hmacs(self._mark_keys, text.encode())]

    def follow(self, session_id: UUID, secret: str) -> list[str]:
        return _hmacs(self._refresh_keys, session_id.bytes + secret.encode())

    def _decode(self, text: str) -> Mapping[str, Any]:
        if not text.startswith(ACCESS_TOKEN_PREFIX) or len(text) > LONGEST:
            raise jwt.InvalidTokenError
        token = text.removeprefix(ACCESS_TOKEN_PREFIX)
        key = self._access_keys.get(str(jwt.get_unverified_header(token).get("kid")))
        if key is None:
            raise jwt.InvalidKeyError
        decoded: Mapping[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            leeway=LEEWAY_SECONDS,
            options={"require": list(REQUIRED)},
        )
        return decoded

    @cached_property
    def _access_keys(self) -> dict[str, bytes]:
        return self._keyring.derive("access token")

    @cached_property
    def _refresh_keys(self) -> dict[str, bytes]:
        return self._keyring.derive("refresh token")

    @cached_property
    def _mark_keys(self) -> dict[str, bytes]:
        return self._keyring.derive("refresh token mark")


def _hmacs(keys: Mapping[str, bytes], said: bytes) -> list[str]:
    return [hmac.new(key, said, hashlib.sha256).hexdigest() for key in keys.values()]
