#!/usr/bin/env bash
# Generate the Python client from protos/ into gen/python/minirag_sdk; with --check, only compare.
#
# The package on the wire stays minirag.v1; in Python it would collide with the server's own package
# `minirag`, so the modules live in minirag_sdk.v1 and their imports are rewritten here.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
target=gen/python/minirag_sdk/v1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m grpc_tools.protoc -I protos \
  --python_out="$work" --pyi_out="$work" --grpc_python_out="$work" \
  protos/minirag/v1/*.proto
made=$work/minirag/v1
echo '"""Messages and stubs of package minirag.v1, generated from protos/. Do not edit."""' > "$made/__init__.py"
sed -i.bak -E 's/^from minirag\.v1 import/from minirag_sdk.v1 import/' "$made"/*.py "$made"/*.pyi
rm -f "$made"/*.bak

if [ "${1:-}" = --check ]; then
  if ! diff -r -q -x __pycache__ "$made" "$target"; then
    echo "gen/ isn't what protos/ generates: run \`make gen\` and commit the result" >&2
    exit 1
  fi
  exit 0
fi
rm -rf "$target"
mkdir -p "$target"
cp "$made"/* "$target"/
