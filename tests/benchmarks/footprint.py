"""What an installation weighs: distributions, megabytes, and one idle worker, in a fresh environment of its own.

Run with `make footprint`: it installs this checkout without extras and takes about a minute.
"""

import compileall
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.servers import running_postgres, running_redis
from worker.storage.migrate import migrate

ROOT = Path(__file__).parents[2]
NOT_COUNTED = {"pip", "setuptools", "pkg_resources", "_distutils_hack"}
IMPORTS = "import time; t = time.process_time(); import worker.tasks, worker.lifecycle; print(time.process_time() - t)"
SETTLED_S = 8


def install(folder: Path) -> Path:
    """Make an environment with this checkout in it; return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", ROOT], check=True)
    return python


def weigh(python: Path) -> dict[str, float]:
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True
    )
    names = {line.split("==")[0] for line in listed.stdout.split()} - NOT_COUNTED
    site = next((python.parent.parent / "lib").glob("python3*/site-packages"))
    compileall.compile_dir(site, quiet=2)
    kept = [p for p in site.iterdir() if p.name.split("-")[0] not in NOT_COUNTED]
    files = (f for p in kept for f in ([p] if p.is_file() else p.rglob("*")) if f.is_file() and not f.is_symlink())
    return {"distributions": len(names), "size_mb": sum(f.stat().st_size for f in files) / 1e6}


def import_cpu(python: Path, folder: Path) -> dict[str, float]:
    runs = [
        subprocess.run([python, "-c", IMPORTS], capture_output=True, text=True, check=True, cwd=folder)
        for _ in range(7)
    ]
    return {"import_cpu_s": median(float(r.stdout) for r in runs)}


def idle_worker(python: Path, folder: Path) -> dict[str, float]:
    """Start one worker on PostgreSQL and Redis as the Procfile does, and look at it once it has settled."""
    with tempfile.TemporaryDirectory(prefix="rca-pg-") as data, running_postgres(Path(data)) as postgres:
        url = postgres.create_database()
        migrate(url)
        with running_redis(folder) as redis:
            environment = {**os.environ, "DATABASE_URL": url, "REDIS_URL": redis.url}
            argv = [python, "-m", "celery", "--quiet", "-A", "worker.celery", "worker", "-P", "threads", "-c", "200"]
            options = ["-Q", "rca,subagents,guardrail,tools,reports", "-E", "--without-gossip", "--without-mingle"]
            with (folder / "worker.log").open("wb") as log:
                process = subprocess.Popen([*argv, *options], env=environment, cwd=folder, stdout=log, stderr=log)
            time.sleep(SETTLED_S)
            status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            process.terminate()
            process.wait(timeout=30)
    return {"idle_rss_mb": int(next(x for x in status if x.startswith("VmRSS")).split()[1]) / 1000}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="rca-footprint-") as place:
        folder = Path(place)
        python = install(folder / "venv")
        found = weigh(python) | import_cpu(python, folder) | idle_worker(python, folder)
    for name, value in found.items():
        print(f"{name:<16}{value:>10.2f}")


if __name__ == "__main__":
    main()
