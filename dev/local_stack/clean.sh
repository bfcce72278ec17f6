#!/bin/sh
# Removes what the Makefile's targets make, except the data of `make run`. Refuses while a stack runs.
set -eu
cd "$(dirname "$0")/../.."

for state in .run .run/youtube .demo; do
    pid=$(sed -n 's/.*"pid": \([0-9][0-9]*\).*/\1/p' "$state/lock" 2>/dev/null || true)
    if [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; then
        echo "A stack is running (process $pid, state in $state): stop it first." >&2
        exit 1
    fi
done
rm -rf .demo .venv .venv-bench .venv-docs dev/page/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
find . -name __pycache__ -type d -prune -exec rm -rf {} +
if [ -d .run ]; then
    echo "Kept .run, which holds the data of make run: remove it by hand to start over."
fi
