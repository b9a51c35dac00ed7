#!/usr/bin/env bash
# Compare the contract with the released one: a change that breaks clients fails (rules in buf.yaml).
#
# protos/released.binpb is the contract that clients were given. A release writes it anew with --accept;
# what was added since may still change.
set -euo pipefail
cd "$(dirname "$0")/.."
buf=.venv/bin/buf
released=protos/released.binpb

if [ "${1:-}" = --accept ]; then
  "$buf" build --exclude-source-info -o "$released"
  echo "$released is the contract as it stands: commit it with the release"
  exit 0
fi
"$buf" breaking --against "$released"
