"""The models that a caller may name, in the words of OpenAI's list: `/v1/models`."""

from collections.abc import Iterator

from fastapi import APIRouter

from worker.domain.conversation import Route
from worker.services import Services
from worker.web.answers import GUARDED, failures
from worker.web.identity import Here, Reader
from worker.web.model_answers import ListedModel, ListedModels

router = APIRouter()


@router.get("/v1/models", responses=failures(*GUARDED))
def get_models(services: Here, identity: Reader) -> ListedModels:
    """List the models and aliases that the token's path may use, sorted."""
    routes = {name: route for name, route in _named(services) if _may_use(services, route, identity.user_path)}
    listed = (ListedModel(id=name, owned_by=route.provider) for name, route in sorted(routes.items()))
    return ListedModels(data=tuple(listed))


def _named(services: Services) -> Iterator[tuple[str, Route]]:
    """Yield each name with its route; a shadow alias stands for the model of its name."""
    if not services.models.get().settings.keep_only_aliases_at_models_endpoint:
        for route in services.router.listed(services.discovered.find):
            yield route.picked, route
    for alias in services.router.aliases():
        found = services.router.find(alias.name) if alias.enabled else None
        if found is not None and found.alias == alias.name:
            yield alias.name, found


def _may_use(services: Services, route: Route, user_path: str) -> bool:
    return services.router.may_use(route, user_path=user_path)
