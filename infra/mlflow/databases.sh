#!/bin/sh
# Run once by the image of Postgres, on an empty volume: MLflow's role and its two databases.
set -eu

password="$(cat /run/secrets/postgres_password)"
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<SQL
CREATE ROLE mlflow LOGIN PASSWORD '$password';
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE accounts OWNER mlflow;
SQL
