"""Azure OpenAI's addresses: the resource, one deployment of it, or its `v1` API, in whatever form they are pasted.

Forms: https://learn.microsoft.com/azure/ai-foundry/openai/reference and …/openai/api-version-lifecycle.
"""

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from worker.errors import ConfigError

_HOSTS = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com", ".openai.azure.us")
_VERSION = "api-version"
_FIRST_WITH_RESPONSES = "2025-03-01"


@dataclass(frozen=True)
class Resource:
    """An Azure OpenAI resource. `api_version` is None for the `v1` API, which needs none."""

    root: str
    api_version: str | None
    deployment: str | None = None

    @property
    def offers_responses(self) -> bool:
        """Whether this version of the API has the Responses route."""
        return self.api_version is None or self.api_version >= _FIRST_WITH_RESPONSES

    def base_url(self, *, wire: str, deployment: str) -> str:
        """Return what a wire appends its route to."""
        if self.api_version is None:
            return f"{self.root}/openai/v1"
        if wire == "openai_responses":  # the deployment goes as the model of its body
            return f"{self.root}/openai"
        return f"{self.root}/openai/deployments/{deployment}"


def is_azure(address: str) -> bool:
    """Say whether an address is Azure's, by its host or by a query that only Azure has."""
    parts = urlsplit(address)
    return (parts.hostname or "").endswith(_HOSTS) or _VERSION in parse_qs(parts.query)


def read_resource(
    address: str, *, api_version: str | None, variable: str, version_field: str = "AZURE_OPENAI_API_VERSION"
) -> Resource:
    """Take an address apart. Raises ConfigError where an API version is needed and none is given in its field."""
    parts = urlsplit(address)
    before, _, behind = parts.path.partition("/openai")
    root = f"{parts.scheme}://{parts.netloc}{before.rstrip('/')}"
    segments = [segment for segment in behind.split("/") if segment]
    if segments[:1] == ["v1"]:
        return Resource(root, None)
    version = next(iter(parse_qs(parts.query).get(_VERSION, [])), api_version)
    if version is None:
        raise ConfigError(
            f"{variable} is an Azure resource; set {version_field}, such as 2024-10-21,"
            " or end the address with /openai/v1"
        )
    named = segments[1] if segments[:1] == ["deployments"] and len(segments) > 1 else None
    return Resource(root, version, named)
