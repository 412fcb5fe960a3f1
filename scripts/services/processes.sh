# shellcheck shell=bash
# Part of services.sh: which process is which server, on which ports, and whether it serves.

# The ports are below those that the kernel hands out by itself, and one block for each folder.
FIRST_PORT=20000
PORT_BLOCKS=600
BLOCK_PORTS=20

# Something listens there. The subshell closes the connection.
port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

block_free() {
    local port
    for ((port = $1; port < $1 + BLOCK_PORTS; port++)); do
        ! port_taken "$port" || return 1
    done
}

# Takes the folder's ports. A folder none of whose servers runs may move to other ports, if
# somebody else has its old ones by now.
choose_ports() {
    local base="" hash try
    [[ ! -s $FOLDER/run/ports ]] || base=$(<"$FOLDER/run/ports")
    if [[ -z $base ]] || { [[ $BY == packages && -z $(running) ]] && ! block_free "$base"; }; then
        hash=$((16#$(printf '%s' "$FOLDER" | sha256sum | cut -c1-6)))
        base=""
        for ((try = 0; try < PORT_BLOCKS; try++)); do
            base=$((FIRST_PORT + (hash + try) % PORT_BLOCKS * BLOCK_PORTS))
            ! block_free "$base" || break
            base=""
        done
        [[ -n $base ]] || die "no $BLOCK_PORTS free ports in a row from $FIRST_PORT on"
        echo "$base" >"$FOLDER/run/ports"
    fi
    POSTGRES_PORT=$((base + 1))
    REDIS_PORT=$((base + 2))
    S3_PORT=$((base + 3))
    # AMQP, management, between nodes, and the port mapper of the nodes.
    RABBITMQ_PORT=$((base + 4))
    RABBITMQ_HTTP_PORT=$((base + 5))
    RABBITMQ_OLD_PORT=$((base + 8))
    RABBITMQ_OLD_HTTP_PORT=$((base + 9))
}

# When a process started, in ticks since the machine did: pid and start are a process for good,
# the pid alone may be somebody else's by now. A zombie is dead.
start_of() {
    local stat fields
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    read -ra fields <<<"${stat##*) }"
    [[ ${fields[0]} != [ZX] ]] && echo "${fields[19]}"
}

# remember NAME PID
remember() { echo "$2 $(start_of "$2")" >"$FOLDER/run/$1.pid"; }

# The pid of a server that runs.
alive() {
    local pid start
    [[ -r $FOLDER/run/$1.pid ]] && read -r pid start <"$FOLDER/run/$1.pid" || return 1
    [[ -n $start && $(start_of "$pid") == "$start" ]] && echo "$pid"
}

# start NAME COMMAND…: in a session of its own, with its output in a log. Every step replaces
# the one before by exec, so the pid is the server's own.
start() {
    local name=$1
    shift
    (exec setsid "$@" {LOCK}>&-) </dev/null >>"$FOLDER/log/$name.log" 2>&1 &
    remember "$name" $!
    disown
}

# stop NAME SIGNAL SECONDS: by the signal, and by force after the seconds.
stop() {
    local name=$1 signal=$2 tenths=$(($3 * 10)) pid
    if pid=$(alive "$name"); then
        # One that was paused could not hear.
        signal_family CONT "$name"
        kill "-$signal" "$pid" 2>/dev/null || true
        while ((tenths-- > 0)) && alive "$name" >/dev/null; do sleep 0.1; done
        if alive "$name" >/dev/null; then
            say "$name did not stop within $3 s and is killed"
            kill_family "$name"
        fi
    fi
    rm -f "$FOLDER/run/$name.pid"
}

# A process and all that it started, one a line. (PostgreSQL's are no process group.)
family() {
    local child
    echo "$1"
    for child in $(cat "/proc/$1"/task/*/children 2>/dev/null); do family "$child"; done
}

# signal_family SIGNAL NAME
signal_family() {
    local pid member
    pid=$(alive "$2") || die "$2 does not run"
    for member in $(family "$pid"); do kill "-$1" "$member" 2>/dev/null || true; done
}

# A server with its children, at once, and until they are gone.
kill_family() {
    local pid member tenths
    pid=$(alive "$1") || return 0
    for member in $(family "$pid"); do
        kill -KILL "$member" 2>/dev/null || true
        tenths=50
        while ((tenths-- > 0)) && start_of "$member" >/dev/null; do sleep 0.1; done
    done
    rm -f "$FOLDER/run/$1.pid"
}

# await NAME SECONDS COMMAND…: until the command succeeds, or the server is gone.
await() {
    local name=$1 tenths=$(($2 * 10))
    shift 2
    while ((tenths-- > 0)); do
        ! "$@" >/dev/null 2>&1 || return 0
        alive "$name" >/dev/null || break
        sleep 0.1
    done
    tail -n 30 "$FOLDER/log/$name.log" >&2 || true
    die "$name did not begin to serve; its log is $FOLDER/log/$name.log"
}

# answers PORT PATH: an HTTP GET gives 200. Needs no client program.
answers() {
    (
        exec 3<>"/dev/tcp/127.0.0.1/$1"
        printf 'GET %s HTTP/1.0\r\nHost: localhost\r\nAuthorization: Basic %s\r\n\r\n' \
            "$2" "$(printf 'quaestor:%s' "$SECRET" | base64 -w0)" >&3
        read -r -t 5 -u 3 line
        [[ $line == *" 200 "* ]]
    ) 2>/dev/null
}
