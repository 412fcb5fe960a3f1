#!/bin/bash
# Succeeds if the program in this container answers /health. The image has no HTTP client.
exec 3<>"/dev/tcp/127.0.0.1/${QUAESTOR_LISTEN##*:}" || exit 1
printf 'GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
read -r -t 4 -u 3 line
[[ $line == *" 200 "* ]]
