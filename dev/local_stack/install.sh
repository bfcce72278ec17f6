#!/bin/sh
# Makes .venv hold exactly what requirements.lock names; does nothing when it does already.
# Needs Python 3.11 or newer and a package index, nothing else.
set -eu
cd "$(dirname "$0")/../.."
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV YOUTUBE_API_KEY || true

stamp=.venv/installed.lock # a copy of the lock file that was installed last
venv_python=.venv/bin/python

fail() {
    echo "$*" >&2
    exit 1
}

works() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' 2>/dev/null; }

if works "$venv_python" && cmp -s requirements.lock "$stamp"; then
    exit 0
fi

if ! { works "$venv_python" && "$venv_python" -m pip --version >/dev/null 2>&1; }; then
    python=
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14}; do
        if works "$candidate"; then
            python=$candidate
            break
        fi
    done
    [ -n "$python" ] || fail "Ghost Tracking needs Python 3.11, 3.12, 3.13 or 3.14, and none was found" \
        "(looked for ${PYTHON:-python3, python3.13, python3.12, python3.11, python3.14} on the PATH)."
    "$python" -c 'import ensurepip, venv' 2>/dev/null || fail "$python cannot make virtual environments:" \
        "install its venv module (Debian and Ubuntu: apt-get install python3-venv)."
    echo "Making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
fi

rm -f "$stamp"
echo "Installing $(grep -c '^[a-z0-9].*==' requirements.lock) packages of requirements.lock into .venv (a few minutes the first time)"
# uv installs the rest; its own version and hashes come from the same lock.
sed -n '/^uv==/,/^    #/p' requirements.lock >.venv/uv.txt
"$venv_python" -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt ||
    fail "uv could not be installed: is the package index reachable?"
# --system-certs: also where the machine's own certificate authority stands before the index.
.venv/bin/uv pip sync --quiet --system-certs --python "$venv_python" --require-hashes requirements.lock ||
    fail "The packages of requirements.lock could not be installed; see above."
cp requirements.lock "$stamp"
