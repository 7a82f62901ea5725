"""What people may do about a cause: one careful step per kind of cause, never run by the product."""

from worker.domain.report import Category, RootCause, Suggestion

_STEPS: dict[Category, tuple[str, str]] = {
    Category.RESOURCE_CPU: (
        "Look at what uses the processor of {entity} (profile, neighbours), then give it more or take load off.",
        "Return to the former size.",
    ),
    Category.RESOURCE_MEMORY: (
        "Restart {entity} for relief, and compare how its memory grows with the last release.",
        "A restart is not undone; it starts with empty caches.",
    ),
    Category.RESOURCE_DISK: (
        "Free or enlarge the disk of {entity}.",
        "Growth of a disk is not undone; cleaning up is final.",
    ),
    Category.RESOURCE_POOL: (
        "Find who holds the connections of {entity}, end idle ones, then revise the pool sizes of its callers.",
        "Return to the former pool sizes.",
    ),
    Category.NETWORK: (
        "Move {entity} to another node or drain the one it runs on, and check its interface for loss and retransmits.",
        "Let the node take work again.",
    ),
    Category.DEPLOYMENT: ("Roll {entity} back to the release before.", "Roll forward again."),
    Category.CODE_CHANGE: ("Revert the change {change} of {entity}, or switch it off.", "Apply it again."),
    Category.CONFIG_CHANGE: ("Take the change {change} of {entity} back.", "Apply it again."),
    Category.TRAFFIC: ("Limit or spread the additional load on {entity}.", "Lift the limit."),
    Category.EXTERNAL_PROVIDER: (
        "Follow the status page of {entity}; switch to a fallback or shed what needs it until it recovers.",
        "Switch back.",
    ),
}
_ELSE = ("Look closer at {entity}: its logs, its slowest requests, its last changes.", "Nothing was changed.")


def suggest(cause: RootCause) -> tuple[Suggestion, ...]:
    """Return what to do first about the leading cause."""
    action, undo = _STEPS.get(cause.category, _ELSE)
    words = {"entity": cause.entity, "change": cause.change_id or "in question"}
    return (Suggestion(action=action.format(**words), risk="medium", undo=undo),)
