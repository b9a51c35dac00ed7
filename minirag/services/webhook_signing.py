"""Signatures as Standard Webhooks 1.0.0 has them (standardwebhooks.com), symmetric: `v1`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from datetime import datetime

SECRET_BYTES = 32
PREFIX = "whsec_"


def make_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def format_secret(secret: bytes) -> str:
    """Return the text that is shown once."""
    return PREFIX + base64.b64encode(secret).decode()


def sign(secret: bytes, webhook_id: str, time: datetime, body: bytes) -> dict[str, str]:
    """Return the three headers of a delivery. The signature covers id, time and body."""
    timestamp = str(int(time.timestamp()))
    signed = b".".join((webhook_id.encode(), timestamp.encode(), body))
    signature = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }
