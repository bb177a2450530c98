#!/bin/sh
# Redis on TLS only, its password in a file in memory. It keeps nothing on disk.
set -eu
umask 077
cat > /run/redis/redis.conf <<EOF
port 0
tls-port 6379
tls-cert-file /tls/redis/cert.pem
tls-key-file /tls/redis/key.pem
tls-ca-cert-file /tls/redis/ca.pem
tls-auth-clients no
tls-protocols "TLSv1.2 TLSv1.3"
requirepass $REDISCLI_AUTH
save ""
appendonly no
maxmemory-policy noeviction
dir /data
EOF
exec redis-server /run/redis/redis.conf
