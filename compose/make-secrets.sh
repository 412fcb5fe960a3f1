#!/usr/bin/env bash
# Makes the secrets that compose.yaml mounts; those that are there stay.
#
#   make-secrets.sh FOLDER [PASSWORD]
#
# The folder is its owner's alone. The files in it are readable, because Docker mounts them as
# they are, and the programs that read them run under uids of their own.
set -euo pipefail
[[ $# -ge 1 ]] || { sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2; }
folder=$1
install -d -m 700 "$folder"

# secret NAME: the standard input, unless it is there.
secret() {
    if [[ -s $folder/$1 ]]; then cat >/dev/null; else install -m 444 /dev/stdin "$folder/$1"; fi
}
random() { head -c 24 /dev/urandom | base64 | tr -d '+/=\n'; }

printf '%s' "${2:-$(random)}" | secret service_password
password=$(<"$folder/service_password")
printf '%s' "$(random)$(random)" | secret admin_key
printf 'default_user = quaestor\ndefault_pass = %s\ndefault_vhost = quaestor\nlog.console = true\n' "$password" | secret rabbitmq_conf
printf 'postgres://quaestor:%s@postgres:5432/quaestor' "$password" | secret database_url
printf 'amqp://quaestor:%s@rabbitmq:5672/quaestor' "$password" | secret queue_url
printf 'http://quaestor:%s@rabbitmq:15672' "$password" | secret queue_management_url
printf 'redis://default:%s@redis:6379/0' "$password" | secret events_url

# For a first try: nobody's browser trusts it.
if [[ ! -s $folder/tls_certificate ]]; then
    if command -v openssl >/dev/null; then
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 \
            -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
            -keyout "$folder/tls_key" -out "$folder/tls_certificate" 2>/dev/null
        chmod 444 "$folder/tls_key" "$folder/tls_certificate"
    else
        echo "there is no openssl: put a certificate into $folder/tls_certificate and tls_key" >&2
        # Only the profile `all` reads them; the file must be there for any.
        : >"$folder/tls_certificate"
        : >"$folder/tls_key"
    fi
fi
