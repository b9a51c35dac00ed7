"""`python -m tests.fuzz`: call a node of its own, and tell what was found in the last line.

Exit code 0 when nothing was found. `--seed` repeats a run.
"""

from __future__ import annotations

import argparse
import json
import re
import secrets
import sys
from collections import Counter

import uvloop

from tests.fuzz.campaign import Campaign, Tally, node_settings
from tests.fuzz.contract import find_rpcs
from tests.mock_provider import MockProvider
from tests.support.node import NodeProcess
from tests.support.servers import open_directory

SHOWN = 20


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--rpcs", default="", help="only RPCs whose name has this pattern")
    arguments = parser.parse_args()
    seed = secrets.randbelow(2**31) if arguments.seed is None else arguments.seed
    rpcs = [rpc for rpc in find_rpcs() if re.search(arguments.rpcs, rpc.name)]
    print(f"{arguments.calls} calls of {len(rpcs)} RPCs, seed {seed}", flush=True)

    def tell(progress: str) -> None:
        print(progress, flush=True)

    provider = MockProvider()
    try:
        with open_directory() as directory:
            node = NodeProcess(directory, node_settings(provider.url))
            try:
                node.start()
                campaign = Campaign(node, rpcs, calls=arguments.calls, chosen_seed=seed, tell=tell)
                tally = uvloop.run(campaign.run())
            finally:
                node.close()
    finally:
        provider.stop()
    report(tally, {rpc.name for rpc in rpcs})
    print(tally.last_line())
    return 0 if tally.is_clean else 1


def report(tally: Tally, names: set[str]) -> None:
    """Print what was answered, and each kind of fault with an example."""
    codes: Counter[str] = sum(tally.codes.values(), Counter())
    print(f"{tally.calls / tally.seconds:.0f} calls/s, {tally.sockets} sockets with other bytes")
    print("answers: " + ", ".join(f"{code} {count}" for code, count in codes.most_common()))
    never = sorted(name for name in names if not tally.codes[name]["OK"])
    print(f"{len(names) - len(never)} of {len(names)} RPCs answered OK; never: {', '.join(never)}")
    seen: Counter[tuple[str, str, str]] = Counter()
    for request, bodies, fault in tally.faults:
        kind = (request.rpc.name, fault.kind, _without_ids(fault.said)[:90])
        seen[kind] += 1
        if seen[kind] == 1 and len(seen) <= SHOWN:
            sent = " ".join(body.hex()[:400] for body in bodies)
            print(f"{fault.kind} {request.rpc.name} as {request.credential}, {request.twist}:")
            print(f"  {fault.said}\n  sent {sent}")
    for (name, kind, _), count in seen.most_common(SHOWN):
        print(f"{count} x {kind} {name}")
    ends: dict[str, list[str]] = {}
    for line in tally.tracebacks:
        told = json.loads(line) if line.startswith("{") else {"exception": line}
        end = str(told.get("exception", told)).strip().splitlines()[-1]
        ends.setdefault(_without_ids(end)[:90], []).append(line)
    for end, lines in list(ends.items())[:SHOWN]:
        shown = lines[0].replace("\\n", "\n")
        print(f"log, {len(lines)} x {end}\n{shown[-2500:]}")


def _without_ids(text: str) -> str:
    return re.sub(r"[0-9a-f]{16,}", "…", text)


if __name__ == "__main__":
    sys.exit(main())
