#!/usr/bin/env bash
# Makes what docker-compose.yml reads as secrets: passwords, the URLs that hold them, a certificate. What is there stays.
#
#   deploy/docker/secrets.sh [FOLDER]      default: deploy/docker/secrets
#
# Needs openssl. A password is made of hex digits, so that it can stand in a URL as it is.
set -euo pipefail
folder=${1:-$(dirname "$0")/secrets}
definitions=$(realpath "$(dirname "$0")/../rabbitmq/definitions.json")
mkdir -p "$folder"
# Nobody else comes in. The files themselves can be read by all: containers see them as they are, and run as users that
# this machine does not know.
chmod 0700 "$folder"
cd "$folder"
umask 0022
rm -f redis_users redis_url rabbitmq_definitions.json amqp_url

password() { [[ -s $1 ]] || openssl rand -hex 24 | tr -d '\n' >"$1"; }
bytes() { printf "$(sed 's/../\\x&/g' <<<"$1")"; }

password admin_password
password redis_password
password rabbitmq_password
password grafana_password
# What seals task parameters and the like in Redis. Keep a copy: without it they are lost.
[[ -s seal_key ]] || openssl rand -hex 32 >seal_key

# Redis and RabbitMQ are given digests, Isochrone the URLs.
digest=$(openssl dgst -sha256 -r redis_password | cut -d ' ' -f 1)
printf 'user default on #%s ~* &* +@all\n' "$digest" >redis_users
printf 'redis://:%s@redis:6379/' "$(<redis_password)" >redis_url

salt=$(openssl rand -hex 4)
digest=$({ bytes "$salt"; cat rabbitmq_password; } | openssl dgst -sha256 -r | cut -d ' ' -f 1)
user='"users": [{ "name": "isochrone", "tags": [], "hashing_algorithm": "rabbit_password_hashing_sha256",
    "password_hash": "'$(bytes "$salt$digest" | openssl base64 -A)'" }],
  "permissions": [{ "user": "isochrone", "vhost": "isochrone", "configure": "^isochrone\\.",
    "write": "^(isochrone\\.|amq\\.default$)", "read": "^isochrone\\." }],'
{ echo "{"; echo "  $user"; tail -n +2 "$definitions"; } >rabbitmq_definitions.json
printf 'amqp://isochrone:%s@rabbitmq:5672/isochrone' "$(<rabbitmq_password)" >amqp_url

# For both schedulers. Put a certificate of yours in its place, and what leads to its authority.
if [[ ! -s tls_cert.pem ]]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj /CN=isochrone \
    -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1,DNS:portal,DNS:scheduler-1,DNS:scheduler-2' \
    -keyout tls_key.pem -out tls_cert.pem 2>/dev/null
fi
chmod 0444 ./*
echo "The secrets are in $PWD. The first administrator is admin; the password is in admin_password."
