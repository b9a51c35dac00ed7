"""`python -m tests.chaos`: a deployment of its own, struck at random; the last line tells what was lost.

Exit code 0 when nothing was. `--seed` gives the same strikes and the same clients' choices again.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections import Counter

import uvloop

from tests.chaos.campaign import Campaign, Outcome, Size
from tests.mock_provider import MockProvider
from tests.support.node import model_settings
from tests.support.servers import open_directory

SHOWN = 15
SECONDS_PER_DEATH = 10.0
SPARE_SECONDS = 120.0


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--deaths", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--minutes", type=float, default=None, help="bound of the strikes")
    parser.add_argument(
        "--embedding", action="store_true", help="embed by the mock provider, and anew"
    )
    parser.add_argument("--tenants", type=int, default=Size.tenants)
    arguments = parser.parse_args()
    seed = secrets.randbelow(2**31) if arguments.seed is None else arguments.seed
    seconds = arguments.deaths * SECONDS_PER_DEATH + SPARE_SECONDS
    if arguments.minutes is not None:
        seconds = arguments.minutes * 60
    print(f"{arguments.deaths} deaths within {seconds:.0f} s, seed {seed}", flush=True)
    provider = MockProvider()
    try:
        with open_directory() as directory:
            campaign = Campaign(
                directory,
                deaths=arguments.deaths,
                seed=seed,
                seconds=seconds,
                size=Size(tenants=arguments.tenants),
                settings=model_settings(provider.url) if arguments.embedding else {},
                tell=lambda progress: print(progress, flush=True),
            )
            outcome = uvloop.run(campaign.run())
    finally:
        provider.stop()
    report(outcome)
    print(outcome.last_line())
    return 0 if outcome.is_clean else 1


def report(outcome: Outcome) -> None:
    """Print what the last line counts, in words."""
    tally, verdict = outcome.tally, outcome.verdict
    refused = ", ".join(f"{name} {number}" for name, number in tally.refusals.most_common())
    print(
        f"{outcome.seconds:.0f} s; {tally.uploads} uploads; {tally.attempts} calls, of which again"
        f" for: {refused}"
    )
    print(
        f"{outcome.recovered} jobs of struck workers taken over; {outcome.resumed} watches continued;"
        f" {verdict.leftover_files} files for the sweeper; FAILED: {dict(verdict.failed)}"
    )
    if tally.reembeddings:
        asked = ", ".join(f"{name} {number}" for name, number in tally.reembeddings.most_common())
        print(f"re-embedding: {asked}; {verdict.reembedded} tenants have two embeddings at the end")
    for words, number in Counter(outcome.died_alone).most_common(SHOWN):
        print(f"ended by itself, {number} x {words[:300]}")
    for name, found in (
        ("lost", verdict.lost + outcome.unfinished),
        ("duplicate", verdict.duplicate + tally.duplicates),
        ("phantom", verdict.phantom),
        ("fault", tally.faults),
    ):
        for words, number in Counter(found).most_common(SHOWN):
            print(f"{name}: {number} x {words[:400]}")


if __name__ == "__main__":
    sys.exit(main())
