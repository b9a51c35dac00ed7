#!/usr/bin/env bash
# Compare the contract with the last released one: a change that breaks clients fails.
#
# The baseline is the newest tag v*; before the first release it is the last commit of the main branch
# that is not this one, so that a change is at least compared with what it starts from.
set -euo pipefail
cd "$(dirname "$0")/.."
buf=$PWD/.venv/bin/buf
baseline=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || git rev-parse -q --verify 'HEAD~1' || true)
if [ -z "$baseline" ]; then
  echo "no earlier commit to compare the contract with (a shallow clone?): buf breaking is skipped" >&2
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git archive "$baseline" protos buf.yaml 2>/dev/null | tar -x -C "$work"
"$buf" breaking --against "$work"
