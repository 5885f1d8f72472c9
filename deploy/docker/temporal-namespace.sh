#!/bin/sh
# The namespace and the search attributes that taskgate uses; safe to run again.
set -eu

namespace=${TEMPORAL_NAMESPACE:-taskgate}

# The port is open a little before the server answers.
tries=60
until temporal operator cluster health >/dev/null 2>&1; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || { echo "the Temporal server at ${TEMPORAL_ADDRESS:-} does not answer" >&2; exit 1; }
    sleep 1
done

temporal operator namespace describe --namespace "$namespace" >/dev/null 2>&1 ||
    temporal operator namespace create --namespace "$namespace" --retention 72h

present=$(temporal operator search-attribute list --namespace "$namespace")
while read -r name kind; do
    case $present in
        *"$name"*) ;;
        *) temporal operator search-attribute create --namespace "$namespace" --name "$name" --type "$kind" ;;
    esac
done <<LIST
TaskgateTenant Keyword
TaskgateProject Keyword
TaskgateTaskType Keyword
TaskgateTaskId Keyword
TaskgatePriority Int
LIST
