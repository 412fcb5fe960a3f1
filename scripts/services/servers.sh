# shellcheck shell=bash
# Part of services.sh: the servers themselves, run from unpacked packages.

# Starts those that do not run, all of them at the same time, and waits until each serves.
packages_up() {
    needs_root
    local name missing=()
    for name; do
        alive "$name" >/dev/null || missing+=("$name")
    done
    for name in "${missing[@]}"; do
        case $name in
            rabbitmq-old) unpack old ;;
            s3) build_s3 ;;
            *) unpack new ;;
        esac
    done
    for name in "${missing[@]}"; do "start_${name//-/_}"; done
    for name in "${missing[@]}"; do "await_${name//-/_}"; done
}

# Stops them, all at the same time.
packages_down() {
    local name
    for name; do stop_server "$name" & done
    wait
}

stop_server() {
    case $1 in
        postgres) stop postgres INT 60 ;;
        redis) stop redis TERM 20 ;;
        s3) stop s3 TERM 10 ;;
        rabbitmq*)
            stop "$1" TERM 60
            stop "$1-epmd" TERM 5
            ;;
    esac
}

# packages_signal VERB SERVER
packages_signal() {
    case $1 in
        kill) kill_family "$2" ;;
        pause) signal_family STOP "$2" ;;
        resume) signal_family CONT "$2" ;;
    esac
}

# A folder that a server may write, in the data folder. And a file with what comes in.
own_folder() { install -d -o "$SERVER_UID" -g "$SERVER_UID" -m 700 "$@"; }
own_file() { install -o "$SERVER_UID" -g "$SERVER_UID" -m 600 /dev/stdin "$1"; }

start_postgres() {
    local data=$FOLDER/data/postgres
    if [[ ! -s $data/PG_VERSION ]]; then
        rm -rf "$data"
        own_folder "$data"
        own_file "$FOLDER/data/postgres.password" <<<"$SECRET"
        rooted new initdb -D /data/postgres -U quaestor --pwfile=/data/postgres.password \
            --auth-local=scram-sha-256 --auth-host=scram-sha-256 -E UTF8 --locale=C.UTF-8 --data-checksums --no-sync
        "${ROOTED[@]}" >"$FOLDER/log/initdb.log" 2>&1 || { cat "$FOLDER/log/initdb.log" >&2; die "the database could not be made"; }
        rm -f "$FOLDER/data/postgres.password"
        own_file "$FOLDER/data/postgres.pass" <<<"127.0.0.1:*:*:quaestor:$SECRET"
        # Commits reach the disk, as they do where it matters. Checkpoints are rare, because the
        # tests make hundreds of databases.
        cat >>"$data/postgresql.conf" <<'CONF'
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 300
shared_buffers = 256MB
max_wal_size = 4GB
checkpoint_timeout = 15min
logging_collector = off
CONF
    fi
    # The port is free and its owner is gone, or this would not be called.
    rm -f "$data/postmaster.pid"
    rooted new postgres -D /data/postgres -p "$POSTGRES_PORT"
    start postgres "${ROOTED[@]}"
}

sql() {
    rooted new env PGPASSFILE=/data/postgres.pass psql -h 127.0.0.1 -p "$POSTGRES_PORT" -U quaestor -d "$1" \
        -qAtX -v ON_ERROR_STOP=1 -c "$2"
    "${ROOTED[@]}"
}

await_postgres() {
    await postgres 60 sql postgres "select 1"
    [[ $(sql postgres "select 1 from pg_database where datname = 'quaestor'") == 1 ]] ||
        sql postgres "create database quaestor"
}

start_redis() {
    own_folder "$FOLDER/data/redis"
    own_file "$FOLDER/data/redis/redis.conf" <<CONF
bind 127.0.0.1
port $REDIS_PORT
dir /data/redis
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
requirepass $SECRET
CONF
    rooted new redis-server /data/redis/redis.conf
    start redis "${ROOTED[@]}"
}

await_redis() { await redis 30 redis_answers; }
redis_answers() {
    (
        exec 3<>"/dev/tcp/127.0.0.1/$REDIS_PORT"
        printf 'AUTH %s\r\nPING\r\n' "$SECRET" >&3
        read -r -t 2 -u 3 _
        read -r -t 2 -u 3 line
        [[ $line == +PONG* ]]
    ) 2>/dev/null
}

start_rabbitmq() { start_node rabbitmq new "$RABBITMQ_PORT"; }
await_rabbitmq() { await_node rabbitmq "$RABBITMQ_PORT"; }
start_rabbitmq_old() { start_node rabbitmq-old old "$RABBITMQ_OLD_PORT"; }
await_rabbitmq_old() { await_node rabbitmq-old "$RABBITMQ_OLD_PORT"; }

# start_node NAME ROOT PORT: AMQP on the port, and its other ports after it.
start_node() {
    local name=$1 root=$2 port=$3 data=$FOLDER/data/$1
    own_folder "$data" "$data/mnesia" "$data/log"
    own_file "$data/enabled_plugins" <<<'[rabbitmq_management].'
    own_file "$data/definitions.json" <<JSON
{
  "users": [{ "name": "quaestor", "password": "$SECRET", "tags": ["administrator"] }],
  "vhosts": [{ "name": "quaestor" }],
  "permissions": [{ "user": "quaestor", "vhost": "quaestor", "configure": ".*", "write": ".*", "read": ".*" }]
}
JSON
    own_file "$data/rabbitmq.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$port
management.tcp.ip = 127.0.0.1
management.tcp.port = $((port + 1))
load_definitions = /data/$name/definitions.json
disk_free_limit.absolute = 200MB
log.console = false
CONF
    # The nodes' port mapper. A node would start one by itself, on everybody's port, and leave
    # it behind.
    if ! alive "$name-epmd" >/dev/null; then
        rooted "$root" /usr/bin/epmd -port "$((port + 3))" -address 127.0.0.1
        start "$name-epmd" "${ROOTED[@]}"
        await "$name-epmd" 10 port_taken "$((port + 3))"
    fi
    rooted "$root" env HOME="/data/$name" RABBITMQ_NODENAME=quaestor@localhost \
        RABBITMQ_DIST_PORT="$((port + 2))" ERL_EPMD_PORT="$((port + 3))" ERL_EPMD_ADDRESS=127.0.0.1 \
        RABBITMQ_MNESIA_BASE="/data/$name/mnesia" RABBITMQ_LOG_BASE="/data/$name/log" \
        RABBITMQ_ENABLED_PLUGINS_FILE="/data/$name/enabled_plugins" \
        RABBITMQ_CONFIG_FILE="/data/$name/rabbitmq.conf" RABBITMQ_CONF_ENV_FILE="/data/$name/none" \
        RABBITMQ_PID_FILE="/data/$name/pid" \
        RABBITMQ_SERVER_ERL_ARGS='+sbwt none +sbwtdcpu none +sbwtdio none -start_epmd false -kernel inet_dist_use_interface {127,0,0,1}' \
        rabbitmq-server
    start "$name" "${ROOTED[@]}"
}

# await_node NAME PORT
await_node() {
    await "$1" 120 answers "$(($2 + 1))" "/api/health/checks/port-listener/$2"
    await "$1" 30 answers "$(($2 + 1))" /api/health/checks/virtual-hosts
}

# The S3 server is a package of this workspace. It is built as a part of the whole, because
# alone it would compile its dependencies with other features, and so a second time. A copy of
# it runs, so that the next build may replace it.
build_s3() {
    local built
    command -v cargo >/dev/null || die "cargo is missing: the S3 server is built from tests/s3-server"
    built=$(cd "$REPOSITORY" && cargo build --locked --quiet --workspace --bin quaestor-s3-server --message-format json-render-diagnostics |
        sed -n 's/.*"executable":"\([^"]*quaestor-s3-server\)".*/\1/p') || die "the S3 server could not be built"
    [[ -x $built ]] || die "the S3 server could not be built"
    install -D "$built" "$FOLDER/bin/quaestor-s3-server"
}

start_s3() {
    install -d -m 700 "$FOLDER/data/s3" "$FOLDER/data/s3/quaestor"
    start s3 env AWS_ACCESS_KEY_ID=quaestor "AWS_SECRET_ACCESS_KEY=$SECRET" \
        "$FOLDER/bin/quaestor-s3-server" "$FOLDER/data/s3" "127.0.0.1:$S3_PORT"
}
await_s3() { await s3 10 port_taken "$S3_PORT"; }
