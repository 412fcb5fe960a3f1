#!/usr/bin/env bash
# Shows that PostgreSQL can be brought back to a moment with README.md's settings: takes a base
# backup of a server whose log is archived (compose/wal-archive.conf), lets the product's data be
# changed before and after a moment, loses the server's disk, and recovers to that moment.
#
#   scripts/rehearse-recovery.sh FOLDER begin             archive the log; take a base backup
#   scripts/rehearse-recovery.sh FOLDER moment            print the server's time, to come back to
#   scripts/rehearse-recovery.sh FOLDER recover MOMENT    lose the disk and come back to it
#
# FOLDER is that of `scripts/services.sh up postgres` (SERVICES_FOLDER).
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
services=$repository/scripts/services.sh
[[ $# -ge 2 ]] || { sed -n '/^#   scripts/s/^# *//p' "$0" >&2; exit 2; }
folder=$(realpath "$1")
data=$folder/data
export SERVICES_FOLDER=$folder
url=$(sed -n 's/^QUAESTOR_DATABASE_URL=//p' "$folder/env")
# The servers' programs, over the folder's data.
program() { "$services" exec "$@"; }
sql() { program psql "$url" -qAtX -v ON_ERROR_STOP=1 -c "$1"; }
# Whoever the server runs as owns what it reads and writes.
own() { chown -R --reference="$data/postgres.pass" "$@"; }

case $2 in
    begin)
        mkdir -p "$data/archive" "$data/base"
        own "$data/archive" "$data/base"
        sed 's#/archive/#/data/archive/#g' "$repository/compose/wal-archive.conf" >>"$data/postgres/postgresql.conf"
        "$services" down postgres
        "$services" up postgres
        program pg_basebackup -d "$url" -D /data/base --checkpoint=fast --wal-method=none
        ;;
    moment)
        sql "select clock_timestamp()"
        ;;
    recover)
        [[ $# -eq 3 ]] || exit 2
        # What was written until the last moment is archived; a real crash loses at most what
        # archive_timeout allows.
        sql "select pg_switch_wal()" >/dev/null
        segment=$(sql "select pg_walfile_name(pg_current_wal_insert_lsn() - 1)")
        for _ in $(seq 300); do
            [[ -z $(find "$data/postgres/pg_wal/archive_status" -name '*.ready') ]] && break
            sleep 0.2
        done
        [[ -n $(find "$data/archive" -type f -print -quit) ]] || { echo "nothing was archived up to $segment" >&2; exit 1; }
        "$services" kill postgres
        rm -rf "$data/postgres"
        mv "$data/base" "$data/postgres"
        cat >>"$data/postgres/postgresql.conf" <<CONF
restore_command = 'cp /data/archive/%f %p'
recovery_target_time = '$3'
recovery_target_action = 'promote'
CONF
        touch "$data/postgres/recovery.signal"
        own "$data/postgres"
        chmod 700 "$data/postgres"
        began=$(date +%s%N)
        "$services" up postgres
        for _ in $(seq 300); do
            [[ $(sql "select pg_is_in_recovery()") == f ]] && break
            sleep 0.2
        done
        [[ $(sql "select pg_is_in_recovery()") == f ]] || { echo "the recovery did not end" >&2; exit 1; }
        echo "recovered to $3 in $((($(date +%s%N) - began) / 1000000)) ms"
        ;;
    *) exit 2 ;;
esac
