from __future__ import annotations

import pytest

from pipeline.commands import ui


@pytest.mark.parametrize(
    "name",
    [
        "MLFLOW_GUNICORN_OPTS",
        "MLFLOW_UVICORN_OPTS",
        "MLFLOW_HOST",
        "MLFLOW_SERVER_ALLOWED_HOSTS",
        "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE",
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS",
        "GUNICORN_CMD_ARGS",
        "UVICORN_HOST",
        "UVICORN_UDS",
    ],
)
def test_nothing_in_the_environment_opens_the_server_to_others(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "--bind 0.0.0.0:5000")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    environment = ui._environment()
    assert name not in environment
    assert environment["AWS_REGION"] == "eu-central-1"
