"""`python -m infra.box`: on loopback, what production has: Postgres, S3, MLflow with accounts, a Ray cluster."""
