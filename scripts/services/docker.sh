# shellcheck shell=bash
# Part of services.sh: the same servers by Docker, from compose/compose.yaml.

compose() {
    local project
    project=quaestor-$(printf '%s' "$FOLDER" | sha256sum | cut -c1-8)
    POSTGRES_PORT=$POSTGRES_PORT REDIS_PORT=$REDIS_PORT S3_PORT=$S3_PORT \
        RABBITMQ_PORT=$RABBITMQ_PORT RABBITMQ_HTTP_PORT=$RABBITMQ_HTTP_PORT \
        RABBITMQ_OLD_PORT=$RABBITMQ_OLD_PORT RABBITMQ_OLD_HTTP_PORT=$RABBITMQ_OLD_HTTP_PORT \
        SECRETS_FOLDER=$FOLDER/secrets \
        docker compose --project-name "$project" -f "$REPOSITORY/compose/compose.yaml" --profile services "$@"
}

docker_up() {
    "$REPOSITORY/compose/make-secrets.sh" "$FOLDER/secrets" "$SECRET"
    compose up --detach --wait --wait-timeout 180 "$@" || { compose logs --tail 30 >&2; die "a server did not begin to serve"; }
}

docker_runs() { [[ -n $(compose ps --quiet --status running "$1" 2>/dev/null) ]]; }
docker_stop() { compose stop --timeout 60 "$@"; }
docker_destroy() { compose down --volumes; }

# docker_signal VERB SERVER
docker_signal() {
    case $1 in
        kill) compose kill "$2" ;;
        pause) compose pause "$2" ;;
        resume) compose unpause "$2" ;;
    esac
}
