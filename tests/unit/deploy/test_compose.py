"""The files that deploy the product agree with each other and keep their doors shut."""

import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from worker.settings import Settings, is_secret

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
ACL = ROOT / "deploy" / "users.acl.example"


def procfile() -> dict[str, str]:
    lines = (ROOT / "Procfile").read_text().splitlines()
    return dict(line.split(": ", 1) for line in lines if not line.startswith("#"))


def test_compose_starts_what_the_procfile_starts() -> None:
    assert set(procfile()) | {"redis", "postgres", "migrate"} == set(SERVICES)


@pytest.mark.parametrize("name", ["web", "intake", "worker", "quarantine"])
def test_compose_starts_it_with_the_same_command(name: str) -> None:
    command = SERVICES[name]["command"]

    words = shlex.split(command) if isinstance(command, str) else command

    assert words == shlex.split(procfile()[name])


@pytest.mark.skipif(not shutil.which("docker-compose"), reason="no docker-compose on PATH")
def test_docker_compose_accepts_the_file() -> None:
    done = subprocess.run(["docker-compose", "config", "--quiet"], cwd=ROOT, capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (0, b"")


def test_every_port_is_opened_on_loopback_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_nothing_runs_before_the_tables_are_there() -> None:
    for name in ("web", "intake", "worker", "quarantine"):
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_every_variable_handed_to_our_processes_is_one_of_ours() -> None:
    known = {name.upper() for name in Settings.model_fields}

    assert set(COMPOSE["x-environment"]) <= known


def test_flower_gets_no_key_and_does_not_start_without_a_password() -> None:
    flower = SERVICES["flower"]

    keys = {name.upper() for name in Settings.model_fields if is_secret(name)} - {"REDIS_URL"}
    assert not keys & set(flower["environment"])
    assert 'test -n "$$FLOWER_BASIC_AUTH" ||' in flower["command"]


def test_redis_forgets_nothing_and_shows_no_password() -> None:
    command = SERVICES["redis"]["command"]

    assert "--maxmemory-policy noeviction" in command
    assert "--appendonly yes" in command
    assert "--requirepass" not in command


def test_no_default_password_of_the_example_would_be_accepted_unnoticed() -> None:
    assert ACL.read_text().count(">change-this-") == 2


def test_the_image_runs_as_somebody_without_rights() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()

    assert "\nUSER 10001:10001\n" in dockerfile
