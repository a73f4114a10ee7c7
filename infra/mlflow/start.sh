#!/bin/sh
# Starts the server in its container. Secrets come from files, never from the command line, which everyone may see.
set -eu

read_secret() {
  [ -s "/run/secrets/$1" ] || { echo "mlflow: the secret $1 is missing or empty: see docs/cluster.md" >&2; exit 1; }
  cat "/run/secrets/$1"
}

# Postgres's clients read passwords from a file only if nobody else may.
umask 077
password="$(read_secret postgres_password)"
PGPASSFILE="$(mktemp)"
printf 'postgres:5432:*:mlflow:%s\n' "$password" > "$PGPASSFILE"

MLFLOW_AUTH_ADMIN_PASSWORD="$(read_secret mlflow_password)"
MLFLOW_FLASK_SERVER_SECRET_KEY="$(read_secret flask_key)"
export PGPASSFILE MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY

exec mlflow server --host 0.0.0.0 --port 5000 --workers "${MLFLOW_WORKERS:-2}" \
  --app-name basic-auth --allowed-hosts "$TATSNET_HOST,localhost:5000"
