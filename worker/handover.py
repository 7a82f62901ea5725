"""A caller's own account handed over for an incident: sealed, and tried first where that is asked for."""

from collections.abc import Iterator
from contextlib import contextmanager

from worker.domain.callers import CallersModel
from worker.errors import ProviderError, ProviderUnavailableError, RouteError, StorageUnavailableError, WorkerError
from worker.llm.hello import HELLO
from worker.services import Services
from worker.storage import investigations

PREFLIGHT_S = 10.0


def hand_in(services: Services, llm: CallersModel, *, user_path: str) -> str:
    """Seal an account for the path and return its handle; where a preflight is asked for and fails, keep nothing.

    Raises UserError that names the field that does not fit, and what the preflight failed with: a ProviderError or
    a RouteError.
    """
    handle = services.callers.keep(llm, user_path=user_path)
    if not llm.preflight:
        return handle
    try:
        route = services.router.callers_route(services.callers.find(handle, user_path=user_path))
        services.model.ask(HELLO, route=route, timeout_s=PREFLIGHT_S)
    except (ProviderError, RouteError):
        services.callers.drop(handle)
        raise
    return handle


@contextmanager
def fresh_account(
    services: Services, investigation_id: str, llm: CallersModel | None, *, user_path: str
) -> Iterator[str | None]:
    """Hand out the handle of an account for another attempt; None where there is none.

    What was sealed for an attempt that is refused is forgotten. Raises as `hand_in` does, NotFoundError for an
    investigation that the path may not see, ByoCredentialExpiredError for a handle that is gone or another path's.
    """
    if llm is None:
        yield None
        return
    with services.database.transaction() as session:
        path = investigations.get(session, investigation_id, user_path=user_path).user_path
    if llm.handle is not None:
        _require_kept(services, llm.handle, path)
        yield llm.handle
        return
    handle = hand_in(services, llm, user_path=path)
    try:
        yield handle
    except WorkerError:
        services.callers.drop(handle)
        raise


def _require_kept(services: Services, handle: str, user_path: str) -> None:
    try:
        services.callers.find(handle, user_path=user_path)
    except ProviderUnavailableError as error:
        raise StorageUnavailableError(str(error)) from error
