#!/usr/bin/env bash
# For a restore (README.md): puts the store aside under the time's name and makes an empty one, into
# which the same roles may enter. Whoever is connected to the old one is disconnected.
set -euo pipefail
aside=store_$(date -u +%Y%m%dT%H%M%SZ)
export PGPASSWORD=$POSTGRES_PASSWORD
psql -v ON_ERROR_STOP=1 -v aside="$aside" --username postgres --dbname postgres --quiet <<'SQL'
ALTER DATABASE store WITH ALLOW_CONNECTIONS false;
SELECT count(pg_terminate_backend(pid)) AS disconnected FROM pg_stat_activity WHERE datname = 'store';
ALTER DATABASE store RENAME TO :"aside";
\i /etc/reengage/store.sql
SQL
echo "the store is empty; what it held is in database $aside"
