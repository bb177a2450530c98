#!/usr/bin/env bash
# PostgreSQL's certificate, from the volume into memory: it takes a key only that its own user owns
# and nobody else may read. Then the official image's own start.
set -euo pipefail
umask 077
cp /tls/postgres/cert.pem /tls/postgres/key.pem /run/tls/
exec docker-entrypoint.sh "$@"
