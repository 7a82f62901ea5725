"""The peer of the spine's benchmark: a plain Celery task that makes one model call and keeps nothing."""

import os
import threading

import httpx
from celery import Celery

app = Celery("plain", broker=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"))
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=1)
BODY = {
    "model": "gpt-4.1-mini",
    "messages": [{"role": "system", "content": "x" * 2000}, {"role": "user", "content": "plain-task"}],
}
_local = threading.local()


@app.task
def ask(url: str) -> None:
    if not hasattr(_local, "client"):
        _local.client = httpx.Client(trust_env=False)
    _local.client.post(url, json=BODY, headers={"Authorization": "Bearer none"}).raise_for_status()
