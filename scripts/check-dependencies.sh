#!/usr/bin/env bash
# Holds the dependency graph to the architecture: who may name whom, one TLS provider,
# one copy of what must be one, and licences that are allowed.
set -euo pipefail
cd "$(dirname "$0")/.."
fail=0
# Every question below is asked of this command: if it does not answer, nothing is checked.
cargo tree --workspace -e normal --depth 1 >/dev/null
refuse() { echo "dependencies: $*" >&2; fail=1; }

# package: the members it may name
allowed() {
    case $1 in
        quaestor-core) echo "" ;;
        quaestor-pdf) echo "quaestor-core" ;;
        quaestor-limited) echo "" ;;
        quaestor-documents) echo "quaestor-core quaestor-pdf quaestor-limited" ;;
        quaestor-exports) echo "quaestor-core quaestor-limited" ;;
        quaestor-bert) echo "" ;;
        quaestor-backends) echo "quaestor-core quaestor-bert" ;;
        quaestor-workers) echo "quaestor-core quaestor-documents quaestor-exports" ;;
        quaestor-front) echo "quaestor-core" ;;
        *) echo "*" ;;
    esac
}
for package in quaestor-core quaestor-pdf quaestor-limited quaestor-documents quaestor-exports quaestor-bert quaestor-backends quaestor-workers quaestor-front; do
    for named in $(cargo tree -p "$package" -e normal,build --depth 1 --prefix none 2>/dev/null |
        awk '{print $1}' | grep '^quaestor-' | grep -vx "$package" | sort -u); do
        case " $(allowed "$package") " in
            *" $named "*) ;;
            *) refuse "$package must not depend on $named (ARCHITECTURE.md, code map)" ;;
        esac
    done
done

# What a technology's crate may be named by.
only() {
    crate=$1; shift
    for package in $(cargo tree --workspace -i "$crate" -e normal --depth 1 --prefix none 2>/dev/null |
        awk '{print $1}' | grep '^quaestor' | sort -u); do
        case " $* " in
            *" $package "*) ;;
            *) refuse "$package must not name $crate" ;;
        esac
    done
}
only sqlx quaestor-backends quaestor-faults
only async-openai quaestor-backends
only candle-core quaestor-bert
only axum quaestor-front
only typst quaestor-exports
only docx-rs quaestor-exports

if cargo tree --workspace -i ring -e normal,build 2>/dev/null | grep -q '^ring'; then
    refuse "ring is in the build: aws-lc-rs is the one TLS provider"
fi
for crate in sqlx axum hyper tokio rustls reqwest; do
    copies=$(cargo tree --workspace -e normal --prefix none 2>/dev/null | awk -v c="$crate" '$1 == c {print $2}' | sort -u | wc -l)
    [ "$copies" -le 1 ] || refuse "$copies versions of $crate are built"
done

if command -v cargo-deny >/dev/null; then
    cargo deny --offline --workspace check bans licenses sources || fail=1
fi
exit $fail
