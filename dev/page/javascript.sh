#!/bin/sh
# Checks the page's JavaScript (--check) or formats it (--write), with the packages that package-lock.json names. Without
# npm it says so and leaves it: only those who change that JavaScript need it.
set -eu
cd "$(dirname "$0")"

if ! command -v npm >/dev/null 2>&1; then
    echo "Skipped: npm is not installed, and only prettier and eslint for the page's JavaScript need it." >&2
    exit 0
fi
if ! cmp -s package-lock.json node_modules/installed.lock; then
    npm ci --silent --no-audit --no-fund --ignore-scripts
    cp package-lock.json node_modules/installed.lock
fi
node_modules/.bin/prettier --log-level warn --config prettier.config.js "$1" ../../plugins/ghost_tracking/page/static/*.js *.js
cd ../..
dev/page/node_modules/.bin/eslint --config dev/page/eslint.config.js --max-warnings 0 plugins/ghost_tracking/page/static dev/page
