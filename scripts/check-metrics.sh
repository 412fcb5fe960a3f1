#!/usr/bin/env bash
# Checks deploy/prometheus with promtool: the rules, their unit tests and the example of a
# configuration. With a file, checks what was scraped of a process instead:
#
#   curl -s http://127.0.0.1:8080/metrics >scraped && scripts/check-metrics.sh scraped
#
# promtool is this machine's, or that of Debian's package, which is fetched once.
set -euo pipefail
scraped=${1:+$(realpath "$1")}
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# The program of the unpacked package runs under a uid that may read nothing else.
chmod 755 "$folder"
cp -r deploy/prometheus "$folder/prometheus"
[[ -z $scraped ]] || cp "$scraped" "$folder/scraped"
chmod -R a+rX "$folder"

if command -v promtool >/dev/null; then
    where=$folder
    tool() { promtool "$@"; }
elif [[ $EUID -eq 0 ]]; then
    where=/data
    tool() { SERVICES_FOLDER=$folder scripts/services.sh check promtool "$@"; }
else
    echo "metrics: not checked, because there is no promtool and this is not root" >&2
    exit 0
fi
if [[ -n $scraped ]]; then
    tool check metrics <"$folder/scraped"
    exit
fi
for check in "check rules" "check config --syntax-only" "test rules"; do
    case $check in
        "test rules") file=rules.test.yml ;;
        "check rules") file=rules.yml ;;
        *) file=prometheus.yml ;;
    esac
    # shellcheck disable=SC2086
    said=$(tool $check "$where/prometheus/$file" 2>&1) || { echo "$said" >&2; exit 1; }
done
echo "metrics: the rules are sound, and every alert fires when it should"
