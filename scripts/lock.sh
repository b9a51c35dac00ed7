#!/usr/bin/env bash
# Resolve the two lock files: what the server runs on, and that plus what developers need.
# Hashes for every platform, no index address. A release must be a week old: a hijacked one is
# usually found and withdrawn within days.
set -euo pipefail
cd "$(dirname "$0")/.."
week_ago=$(date -u -d '7 days ago' +%Y-%m-%dT00:00:00Z 2>/dev/null || date -u -v-7d +%Y-%m-%dT00:00:00Z)
compile() {
  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
    --no-emit-index-url --no-emit-find-links --no-emit-package minirag-sdk \
    --exclude-newer "${LOCK_BEFORE:-$week_ago}" --exclude-newer-package minirag-sdk=false "$@"
}
compile pyproject.toml --output-file requirements.lock
compile pyproject.toml --group dev --constraint requirements.lock --output-file requirements-dev.lock
