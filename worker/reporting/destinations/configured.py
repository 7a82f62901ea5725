"""Which destinations there are: those whose variables are set."""

from collections.abc import Mapping

from worker.reporting.destinations import webhook
from worker.reporting.destinations.port import Destination
from worker.settings import Settings


def find_destinations(settings: Settings) -> Mapping[str, Destination]:
    """Return every configured destination by its name; every report goes to all of them."""
    url, given = settings.rca_delivery_webhook_url, settings.rca_delivery_webhook_secret
    if url is None:
        return {}
    secret = given.get_secret_value() if given else None
    return {webhook.NAME: webhook.Webhook(url.get_secret_value(), secret=secret)}
