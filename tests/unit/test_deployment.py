"""The production shape is held to the same settings as the laptop's, as far as that goes without Docker."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from interlock import services
from interlock.db.connection import LOGIN_ROLES
from interlock.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "interlock"}
ONE_SHOT = {"migrate"}
# Read outside of Settings, each for the reason that its module gives.
BEYOND_SETTINGS = {"INTERLOCK_DEBUG", "INTERLOCK_ROOT"} | {
    f"INTERLOCK_{role.removeprefix('interlock_').upper()}_URL" for role in LOGIN_ROLES
}
# Of the compose file alone.
COMPOSE_ONLY = {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "INTERLOCK_UI_PORT"}


def known_settings() -> set[str]:
    return {f"INTERLOCK_{name.upper()}" for name in Settings.model_fields} | BEYOND_SETTINGS


def airflow_options() -> set[str]:
    import airflow

    text = (Path(airflow.__file__).parent / "config_templates" / "config.yml").read_text()
    sections = yaml.safe_load(text)
    return {
        f"AIRFLOW__{section}__{option}".upper()
        for section, content in sections.items()
        for option in content["options"]
    }


def from_celery(name: str) -> bool:
    """The Celery provider is in the image alone (requirements.production.lock) and documents its own section."""
    return name in {"AIRFLOW__CELERY__BROKER_URL", "AIRFLOW__CELERY__WORKER_CONCURRENCY"}


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_runs_as_root(name):
    assert str(SERVICES[name]["user"]) not in {"", "0", "root"}


def test_the_image_ends_as_a_user_without_rights():
    users = re.findall(r"^USER (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert users
    assert users[-1] not in {"0", "root"}


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT))
def test_every_service_says_whether_it_is_healthy(name):
    check = SERVICES[name]["healthcheck"]
    assert check["test"]
    assert {"interval", "timeout", "retries"} <= set(check)


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting_of_interlock_or_of_airflow(name):
    variables = set(OURS[name]["environment"])
    unknown = variables - known_settings() - airflow_options()
    assert {variable for variable in unknown if not from_celery(variable)} == set()


def test_the_example_environment_names_real_settings_only():
    text = (ROOT / ".env.example").read_text()
    names = set(re.findall(r"^#? ?([A-Z][A-Z_]+)=", text, re.MULTILINE))
    assert names
    assert names - known_settings() - COMPOSE_ONLY == set()


def test_the_example_environment_names_every_setting():
    text = (ROOT / ".env.example").read_text()
    of_the_machine_or_of_tests = {"root", "postgres_durable"}
    missing = {name for name in Settings.model_fields if f"INTERLOCK_{name.upper()}=" not in text}
    assert missing == of_the_machine_or_of_tests


def test_no_secret_is_written_down_and_a_missing_one_stops_the_start():
    text = (ROOT / "docker-compose.yaml").read_text()
    for name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "INTERLOCK_SECRET_KEY"):
        assert re.findall(rf"\${{{name}[^?}}]*}}", text) == [], f"{name} must be required: ${{{name}:?...}}"
        assert f"${{{name}:?" in text


def test_only_the_ui_and_the_api_are_published_and_on_loopback_only():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"api-server", "api"}
    assert all(str(port).startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_every_process_of_airflow_that_runs_on_a_laptop_runs_here_and_the_api_needs_none_of_them():
    commands = {service["command"][1] for service in OURS.values() if service["command"][0] == "airflow"}
    assert set(services.COMMANDS) <= commands
    assert set(SERVICES["api"]["depends_on"]) == {"postgres", "migrate"}


def test_every_command_of_ours_exists():
    from interlock.cli import COMMANDS

    assert {service["command"][0] for service in OURS.values()} <= set(COMMANDS)


def test_the_locks_carry_a_hash_for_every_pin_and_no_address():
    for lock in ("requirements.lock", "requirements.production.lock"):
        text = (ROOT / lock).read_text()
        blocks = re.split(r"\n(?=\S)", text.strip())
        assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []
        assert "://" not in text


def test_the_image_installs_the_versions_that_the_tests_ran_with():
    pins = [
        dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))
        for lock in ("requirements.lock", "requirements.production.lock")
    ]
    shared = set(pins[0]) & set(pins[1])
    assert len(shared) > 100
    assert {name for name in shared if pins[0][name] != pins[1][name]} == set()
