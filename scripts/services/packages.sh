# shellcheck shell=bash
# Part of services.sh: Debian packages, unpacked into a folder and run there.
#
# A server sees the unpacked folder as its root and a data folder as /data, in a mount namespace
# that vanishes with it. It runs under a uid that has no account, without capabilities.

SERVER_UID=64123
BASE_PACKAGES="base-files bash dash coreutils libc-bin sed grep mawk hostname findutils debianutils procps util-linux"

# What is unpacked: `new` has the servers, `old` the RabbitMQ of Debian 12, which is 3.10, and
# `checks` the programs by which scripts/check-compose.sh and check-metrics.sh check files.
suite_of() { if [[ $1 == old ]]; then echo bookworm; else echo trixie; fi; }
packages_of() {
    case $1 in
        new) echo "postgresql-17 postgresql-17-pgvector rabbitmq-server redis-server $BASE_PACKAGES" ;;
        old) echo "rabbitmq-server $BASE_PACKAGES" ;;
        checks) echo "docker-compose nginx-light openssl prometheus $BASE_PACKAGES" ;;
    esac
}
# Another list of packages is another root.
root_of() {
    echo "$CACHE/$1-$({ suite_of "$1" && packages_of "$1"; } | sha256sum | cut -c1-12)"
}

# The mirror this machine already uses; a machine that never ran `apt-get update` names none.
mirror() {
    local found
    # shellcheck disable=SC2016
    found=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        grep '/debian/*$' | head -n 1 || true)
    echo "${SERVICES_MIRROR:-${found:-http://deb.debian.org/debian}}"
}

needs_root() {
    [[ $EUID -eq 0 ]] || die "this needs root, because the servers run by chroot; or start Docker, which needs none"
    local program
    for program in apt-get dpkg unshare chroot flock setsid; do
        command -v "$program" >/dev/null ||
            die "$program is missing: the servers come as Debian packages; on another system start Docker"
    done
    unshare --mount --propagation private true 2>/dev/null ||
        die "this machine allows no mount namespaces (a container may need --privileged); or start Docker"
}

# Downloads and unpacks, once for all folders. It is moved to its place when it is whole.
unpack() {
    local root work log lock
    root=$(root_of "$1")
    [[ ! -e $root ]] || return 0
    mkdir -p "$CACHE"
    exec {lock}>"$CACHE/$1.lock"
    flock -w 1800 "$lock" || die "another run has held $CACHE/$1.lock for half an hour"
    if [[ ! -e $root ]]; then
        say "fetching Debian packages of $(suite_of "$1") into $CACHE, once"
        work=$CACHE/$1.work
        log=$FOLDER/log/packages-$1.log
        rm -rf "$work"
        download "$1" "$work" >"$log" 2>&1 || { tail -n 20 "$log" >&2; die "the packages could not be fetched; the whole log is $log"; }
        lay_out "$work" >>"$log" 2>&1 || { tail -n 20 "$log" >&2; die "the packages could not be unpacked; the whole log is $log"; }
        mv "$work/root" "$root"
        rm -rf "$work"
    fi
    exec {lock}>&-
}

# download NAME WORK: apt with lists, status and cache of its own, so that it knows nothing of
# what this machine has installed, and changes nothing of it.
download() {
    local work=$2 options packages
    mkdir -p "$work"/{lists/partial,cache/archives/partial}
    : >"$work/status"
    cat >"$work/debian.sources" <<SOURCE
Types: deb
URIs: $(mirror)
Suites: $(suite_of "$1")
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCE
    options=(-q -o "Dir::Etc::sourcelist=$work/debian.sources" -o Dir::Etc::sourceparts=-
        -o "Dir::State::lists=$work/lists" -o "Dir::State::status=$work/status"
        -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root -o Debug::NoLocking=1
        -o Acquire::Retries=3 -o Acquire::Languages=none)
    read -ra packages <<<"$(packages_of "$1")"
    apt-get update "${options[@]}" &&
        apt-get install -y --no-install-recommends --download-only "${options[@]}" "${packages[@]}"
}

# lay_out WORK: the packages' files, and the few that their installation would have made.
lay_out() {
    local root=$1/root package folder
    mkdir -p "$root"
    for package in "$1"/cache/archives/*.deb; do
        dpkg -x "$package" "$root" || return 1
    done
    # Debian has one folder for programs and one for libraries. In Debian 12 that is made when
    # it is installed, and not in the packages.
    for folder in bin sbin lib lib64; do
        [[ ! -L $root/$folder ]] || continue
        mkdir -p "$root/usr/$folder"
        if [[ -d $root/$folder ]]; then
            cp -a "$root/$folder/." "$root/usr/$folder/" || return 1
            rm -rf "${root:?}/$folder"
        fi
        ln -s "usr/$folder" "$root/$folder"
    done
    ln -sf mawk "$root/usr/bin/awk"
    printf 'root:x:0:0::/root:/bin/sh\nserver:x:%s:%s::/data:/bin/sh\n' $SERVER_UID $SERVER_UID >"$root/etc/passwd"
    printf 'root:x:0:\nserver:x:%s:\n' $SERVER_UID >"$root/etc/group"
    printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
    echo localhost >"$root/etc/hostname"
    mkdir -p "$root/data"
    chmod 755 "$root"
}

# in_root ROOT DATA COMMAND…: becomes the command. DATA `-` is an empty folder in memory.
in_root() {
    # shellcheck disable=SC2016
    exec unshare --mount --propagation private bash -c '
        set -e
        root=$1 data=$2 uid=$3
        shift 3
        for folder in dev proc sys; do mount --rbind "/$folder" "$root/$folder"; done
        if [ "$data" = - ]; then
            mount -t tmpfs -o "uid=$uid,gid=$uid,mode=700" tmpfs "$root/data"
        else
            mount --bind "$data" "$root/data"
        fi
        cd "$root/data"
        exec chroot --userspec="$uid:$uid" --groups= "$root" /usr/bin/env -i HOME=/data LANG=C.UTF-8 \
            PATH=/usr/lib/postgresql/17/bin:/usr/lib/rabbitmq/bin:/usr/bin:/usr/sbin "$@"
    ' in_root "$1" "$2" "$SERVER_UID" "${@:3}"
}

# The words of a command that runs another in a root, for `start`: a function cannot be exec'd.
rooted() { ROOTED=("$BASH" "$SCRIPT" __in_root -- "$(root_of "$1")" "$FOLDER/data" "${@:2}"); }

# A server's program alone, in the foreground, for a test that has its own ports and needs no
# data afterwards. The pid is the program's.
run_alone() {
    [[ $# -gt 0 ]] || usage
    needs_root
    mkdir -p "$FOLDER/log"
    unpack new
    in_root "$(root_of new)" - "$@"
}

# A program of a server's packages over that server's data, such as `psql` or `pg_basebackup`.
exec_alone() {
    [[ $# -gt 0 ]] || usage
    needs_root
    [[ $(by) == packages ]] || die "exec: the servers are containers here; use docker compose exec"
    unpack new
    in_root "$(root_of new)" "$FOLDER/data" "$@"
}

# A program that checks files, with the folder as its /data.
check_alone() {
    [[ $# -gt 0 ]] || usage
    needs_root
    mkdir -p "$FOLDER/log"
    unpack checks
    in_root "$(root_of checks)" "$FOLDER" "$@"
}
