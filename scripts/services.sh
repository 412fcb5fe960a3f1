#!/usr/bin/env bash
# Real servers on loopback for development and tests: PostgreSQL with pgvector, RabbitMQ 4,
# RabbitMQ 3.10, Redis and S3. By Docker where a daemon answers; else Debian's packages are
# unpacked (not installed) into a cache folder and run from there, which needs root.
#
#   scripts/services.sh up [SERVER…]      start what does not run; write the settings to .dev/env
#   scripts/services.sh down [SERVER…]    stop, in order
#   scripts/services.sh kill SERVER…      stop at once, as a crash would
#   scripts/services.sh pause SERVER…     and `resume`: hold a server still
#   scripts/services.sh status            say what runs
#   scripts/services.sh with COMMAND…     up, COMMAND with the settings, and down what was started
#   scripts/services.sh run COMMAND…      run COMMAND of the unpacked packages, over an empty /data
#   scripts/services.sh exec COMMAND…     run COMMAND of the unpacked packages, over the servers' data
#   scripts/services.sh check COMMAND…    run COMMAND of the packages for checks, over SERVICES_FOLDER
#   scripts/services.sh destroy           stop, and remove the folder with all data
#
# SERVER is one of: postgres redis rabbitmq rabbitmq-old s3.
#
# SERVICES_FOLDER (.dev)   where data, logs, ports and secrets are. Another folder is another set
#                          of servers, on other ports: a test that restarts servers takes its own.
# SERVICES_CACHE (~/.cache/quaestor/services)   the unpacked packages, shared by all folders.
# SERVICES_BY              `docker` or `packages`, instead of finding out.
# SERVICES_MIRROR          the Debian mirror, instead of this machine's own.
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:${PATH:-}

REPOSITORY=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SCRIPT=$REPOSITORY/scripts/services.sh
FOLDER=$(realpath -m "${SERVICES_FOLDER:-$REPOSITORY/.dev}")
CACHE=$(realpath -m "${SERVICES_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/quaestor/services}")
SERVERS=(postgres redis rabbitmq rabbitmq-old s3)

say() { printf 'services: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# shellcheck source=scripts/services/processes.sh
. "$REPOSITORY/scripts/services/processes.sh"
# shellcheck source=scripts/services/packages.sh
. "$REPOSITORY/scripts/services/packages.sh"
# shellcheck source=scripts/services/servers.sh
. "$REPOSITORY/scripts/services/servers.sh"
# shellcheck source=scripts/services/docker.sh
. "$REPOSITORY/scripts/services/docker.sh"

usage() {
    sed -n '/^#   scripts/,/^# SERVER /s/^# \{0,3\}//p' "$SCRIPT" >&2
    exit 2
}

# `docker` or `packages`. A folder stays with what it began with.
by() {
    if [[ -n ${SERVICES_BY:-} ]]; then
        echo "$SERVICES_BY"
    elif [[ -r $FOLDER/run/by ]]; then
        cat "$FOLDER/run/by"
    elif timeout 5 docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; then
        echo docker
    else
        echo packages
    fi
}

# Makes the folder with its secret and its ports, and holds the others off while this runs.
open_folder() {
    mkdir -p "$FOLDER"/{run,log,data}
    chmod 755 "$FOLDER/data"
    exec {LOCK}>"$FOLDER/run/lock"
    flock -w 900 "$LOCK" || die "another run has held $FOLDER/run/lock for 15 minutes"
    BY=$(by)
    echo "$BY" >"$FOLDER/run/by"
    if [[ ! -s $FOLDER/run/secret ]]; then
        (umask 077 && head -c 24 /dev/urandom | base64 | tr -d '+/=\n' >"$FOLDER/run/secret")
    fi
    SECRET=$(<"$FOLDER/run/secret")
    choose_ports
}

check_names() {
    local name
    for name; do
        [[ " ${SERVERS[*]} " == *" $name "* ]] || die "there is no server $name; there are: ${SERVERS[*]}"
    done
}

up() {
    check_names "$@"
    if [[ $BY == docker ]]; then docker_up "$@"; else packages_up "$@"; fi
    write_settings
}

# Which of the servers run, one a line.
running() {
    local name
    for name in "${SERVERS[@]}"; do
        if [[ $BY == docker ]]; then docker_runs "$name"; else alive "$name" >/dev/null; fi && echo "$name"
    done
    return 0
}

down() {
    check_names "$@"
    if [[ $BY == docker ]]; then docker_stop "$@"; else packages_down "$@"; fi
}

# signal VERB SERVER…
signal() {
    local verb=$1 name
    shift
    [[ $# -gt 0 ]] || usage
    check_names "$@"
    for name; do
        if [[ $BY == docker ]]; then docker_signal "$verb" "$name"; else packages_signal "$verb" "$name"; fi
    done
}

# Where everything is, as a program reads it: KEY=value lines that a shell can source.
write_settings() {
    (
        umask 077
        cat >"$FOLDER/env.new" <<SETTINGS
QUAESTOR_DATABASE_URL=postgres://quaestor:$SECRET@127.0.0.1:$POSTGRES_PORT/quaestor
QUAESTOR_QUEUE_URL=amqp://quaestor:$SECRET@127.0.0.1:$RABBITMQ_PORT/quaestor
QUAESTOR_QUEUE_MANAGEMENT_URL=http://quaestor:$SECRET@127.0.0.1:$RABBITMQ_HTTP_PORT
TEST_OLD_QUEUE_URL=amqp://quaestor:$SECRET@127.0.0.1:$RABBITMQ_OLD_PORT/quaestor
TEST_OLD_QUEUE_MANAGEMENT_URL=http://quaestor:$SECRET@127.0.0.1:$RABBITMQ_OLD_HTTP_PORT
QUAESTOR_EVENTS_URL=redis://default:$SECRET@127.0.0.1:$REDIS_PORT/0
QUAESTOR_OBJECTS_URL=s3://quaestor
AWS_ENDPOINT_URL_S3=http://127.0.0.1:$S3_PORT
AWS_ACCESS_KEY_ID=quaestor
AWS_SECRET_ACCESS_KEY=$SECRET
AWS_REGION=us-east-1
QUAESTOR_TEST_SERVICES=$SCRIPT
QUAESTOR_TEST_REDIS_SERVER=$FOLDER/bin/redis-server
SETTINGS
    )
    mv "$FOLDER/env.new" "$FOLDER/env"
    # One word, so that a test can start it as a program.
    install -D -m 755 /dev/stdin "$FOLDER/bin/redis-server" <<PROGRAM
#!/bin/sh
exec "$SCRIPT" run redis-server "\$@"
PROGRAM
}

# Runs a command among the servers. What ran before goes on running afterwards.
with() {
    [[ $# -gt 0 ]] || usage
    local before name rc=0
    before=$(running)
    started=()
    for name in "${SERVERS[@]}"; do
        grep -qx "$name" <<<"$before" || started+=("$name")
    done
    # Also when a server did not come up, or a signal ends this.
    trap 'if [[ ${#started[@]} -gt 0 ]]; then flock "$LOCK"; down "${started[@]}"; fi' EXIT
    up "${SERVERS[@]}"
    # Tests start and stop servers in this folder, too.
    flock -u "$LOCK"
    set -a
    # shellcheck source=/dev/null
    . "$FOLDER/env"
    set +a
    "$@" {LOCK}>&- || rc=$?
    exit "$rc"
}

destroy() {
    down "${SERVERS[@]}"
    [[ $BY != docker ]] || docker_destroy
    rm -rf "${FOLDER:?}"/{run,log,data,bin,env,secrets}
}

verb=${1:-}
[[ $# -eq 0 ]] || shift
case $verb in
    up | down)
        open_folder
        [[ $# -gt 0 ]] || set -- "${SERVERS[@]}"
        "$verb" "$@"
        [[ $verb == down ]] || say "they run; their settings are in $FOLDER/env"
        ;;
    kill | pause | resume)
        open_folder
        signal "$verb" "$@"
        ;;
    status)
        open_folder
        running
        ;;
    with | destroy)
        open_folder
        "$verb" "$@"
        ;;
    run | check | exec) "${verb}_alone" "$@" ;;
    __in_root) shift && in_root "$@" ;;
    *) usage ;;
esac
