"""What is started, with which arguments, and with which keys."""

from pathlib import Path

import pytest

from worker.cli.processes import MAIN_QUEUES, ProcessSpec, product_processes
from worker.settings import Settings

KEY = "sk-live-0123456789abcdef"
PROCFILE = Path(__file__).parents[3] / "Procfile"


def specs(settings: Settings, *, flower: str | None = None) -> dict[str, ProcessSpec]:
    made = product_processes(settings, redis_url="redis://:pw@127.0.0.1:7777/0", flower_auth=flower)
    return {spec.name: spec for spec in made}


def after(argv: tuple[str, ...], option: str) -> str:
    return argv[argv.index(option) + 1]


def test_the_product_is_web_intake_workers_and_quarantine(tmp_path: Path) -> None:
    found = specs(Settings(rca_home=tmp_path, rca_worker_processes=2))

    assert list(found) == ["web", "intake", "worker-1", "worker-2", "quarantine"]


def test_workers_have_names_of_their_own(tmp_path: Path) -> None:
    found = specs(Settings(rca_home=tmp_path, rca_worker_processes=2))

    names = [after(found[name].argv, "-n") for name in ("worker-1", "worker-2", "quarantine")]

    assert len(set(names)) == 3


def test_every_queue_is_read_and_quarantine_by_its_own_process_alone(tmp_path: Path) -> None:
    found = specs(Settings(rca_home=tmp_path, rca_worker_slots=64, rca_quarantine_slots=3))

    assert after(found["worker-1"].argv, "-Q").split(",") == list(MAIN_QUEUES)
    assert "quarantine" not in MAIN_QUEUES
    assert after(found["worker-1"].argv, "-c") == "64"
    assert (after(found["quarantine"].argv, "-Q"), after(found["quarantine"].argv, "-c")) == ("quarantine", "3")


def test_flower_is_started_only_with_a_password_and_on_loopback(tmp_path: Path) -> None:
    settings = Settings(rca_home=tmp_path, rca_flower_port=6001)

    flower = specs(settings, flower="rca:pw-of-flower")["flower"]

    assert "flower" not in specs(settings)
    assert {"--address=127.0.0.1", "--port=6001"} <= set(flower.argv)
    assert flower.environment["FLOWER_BASIC_AUTH"] == "rca:pw-of-flower"
    assert "pw-of-flower" not in " ".join(flower.argv)


def test_flower_gets_no_key_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "RCA_API_TOKEN", "SOME_VENDORS_SECRET", "DATABASE_URL"):
        monkeypatch.setenv(variable, KEY)

    found = specs(Settings(rca_home=tmp_path), flower="rca:pw")

    assert KEY not in " ".join(found["flower"].environment.values())
    assert found["worker-1"].environment["OPENAI_API_KEY"] == KEY


def test_all_share_one_redis_and_one_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    found = specs(Settings(rca_home=Path("data")), flower="rca:pw")

    assert {spec.environment["REDIS_URL"] for spec in found.values()} == {"redis://:pw@127.0.0.1:7777/0"}
    assert {spec.environment["RCA_HOME"] for spec in found.values()} == {str(tmp_path / "data")}


def test_no_secret_shows_in_the_repr_of_a_process(tmp_path: Path) -> None:
    assert "pw@" not in repr(list(specs(Settings(rca_home=tmp_path)).values()))


def test_the_procfile_starts_the_same_processes(tmp_path: Path) -> None:
    lines = [line for line in PROCFILE.read_text().splitlines() if line and not line.startswith("#")]
    procfile = dict(line.split(": ", 1) for line in lines)
    ours = specs(Settings(rca_home=tmp_path), flower="rca:pw")

    assert list(procfile) == [name.removesuffix("-1") for name in ours]
    assert after(tuple(procfile["worker"].split()), "-Q") == ",".join(MAIN_QUEUES)
    for name in ("worker-1", "quarantine"):
        flags = {part for part in ours[name].argv if part.startswith(("--w", "--prefetch"))}
        assert flags <= set(procfile[name.removesuffix("-1")].split())
