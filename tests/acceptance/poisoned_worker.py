"""A worker that dies, as by a defect in native code, when a model is asked about an incident with the marker."""

import os
import signal
import sys
from dataclasses import replace

from celery.__main__ import main

from worker import bootstrap
from worker.domain.conversation import Confirm, ModelAnswer, ModelRequest, Route
from worker.services import Model, Services
from worker.settings import Settings

MARKER = "kills its process"


class Deadly:
    """Ends the process instead of asking."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def ask(
        self, request: ModelRequest, *, route: Route, timeout_s: float, confirm: Confirm | None = None
    ) -> ModelAnswer:
        if any(MARKER in message.text for message in request.messages):
            os.kill(os.getpid(), signal.SIGKILL)
        return self._model.ask(request, route=route, timeout_s=timeout_s)


build = bootstrap.build_services


def build_deadly(settings: Settings) -> Services:
    services = build(settings)
    return replace(services, model=Deadly(services.model))


if __name__ == "__main__":
    bootstrap.build_services = build_deadly
    sys.exit(main())
