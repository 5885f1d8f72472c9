#!/bin/sh
# Temporal's two databases, made or brought up to date; safe to run again.
set -eu

for database in temporal temporal_visibility; do
    case $database in
        temporal) schema=postgresql/v12/temporal ;;
        temporal_visibility) schema=postgresql/v12/visibility ;;
    esac
    temporal-sql-tool --database "$database" create
    temporal-sql-tool --database "$database" setup-schema -v 0.0
    temporal-sql-tool --database "$database" update-schema --schema-name "$schema"
done
