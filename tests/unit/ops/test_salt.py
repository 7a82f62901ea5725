"""The salt: one for all processes that share a folder, and for nobody else."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.builders import settings_for
from worker.bootstrap import build_redactor
from worker.ops.salt import read_salt


def test_all_who_come_at_once_read_the_same_salt(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        salts = set(pool.map(read_salt, [tmp_path / "home"] * 64))

    (salt,) = salts
    assert len(salt) == 32
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["redaction.salt"]


def test_each_folder_has_its_own_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    assert read_salt(tmp_path / "a") != read_salt(tmp_path / "b")
    assert (tmp_path / "a" / "redaction.salt").stat().st_mode & 0o777 == 0o600


def test_without_a_key_the_processes_of_one_home_still_agree_and_no_others(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'rca.db'}"
    said = [
        build_redactor(settings_for(url, rca_home=tmp_path / home)).scrub("password=hunter22")
        for home in ("a", "a", "b")
    ]

    assert said[0] == said[1] != said[2]
