"""Requests to addresses that tenants chose: what can come of them.

Both errors are told to the tenant, so that they never say which address a name led to, nor whether a
port was closed or silent: who could read that from them would have a scanner of the operator's network.
"""

from __future__ import annotations


class TargetRefused(Exception):
    """The URL may not be called; the message says what a good one is like."""


class TargetFailed(Exception):
    """It may be called, and didn't answer; the message says as much."""


class TargetTooLarge(TargetFailed):
    """It answered with more than was asked for; nothing of it is kept."""
