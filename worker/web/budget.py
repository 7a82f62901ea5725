"""The day's budgets: what is spent, what binds, and what waits because of it."""

from fastapi import APIRouter

from worker import budgeting
from worker.domain.incident import covers_path
from worker.web.answers import GUARDED, AmountAnswer, BudgetAnswer, PathAnswer, failures
from worker.web.identity import Here, Reader

router = APIRouter()


@router.get("/v1/budget", responses=failures(*GUARDED))
def get_budget(services: Here, identity: Reader) -> BudgetAnswer:
    """Say how the UTC day stands below the token's path; the fleet's figures are for the path `/` only."""
    with services.database.transaction() as session:
        found = budgeting.read_standing(services.settings, session)
    return BudgetAnswer(
        day=found.day.date,
        ends_at=found.day.ends_at,
        fleet=AmountAnswer.model_validate(found.fleet) if identity.user_path == "/" else None,
        paths=tuple(
            PathAnswer.model_validate(path)
            for path in found.paths
            if path.user_path is not None and covers_path(identity.user_path, path.user_path)
        ),
    )
