#!/usr/bin/env bash
# Generate the Python client from protos/ into gen/python/minirag_sdk.
#
# The package on the wire stays minirag.v1; in Python it would collide with the server's own package
# `minirag`, so the modules live in minirag_sdk.v1 and their imports are rewritten here.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m grpc_tools.protoc -I protos \
  --python_out="$work" --pyi_out="$work" --grpc_python_out="$work" \
  protos/minirag/v1/*.proto

target=gen/python/minirag_sdk/v1
rm -rf "$target"
mkdir -p "$target"
cp "$work"/minirag/v1/* "$target"/
echo '"""Messages and stubs of package minirag.v1, generated from protos/. Do not edit."""' > "$target/__init__.py"
sed -i.bak -E 's/^from minirag\.v1 import/from minirag_sdk.v1 import/' "$target"/*.py "$target"/*.pyi
rm -f "$target"/*.bak
