"""Which messages carry a cache mark: the newest that will not change again, and the one before it."""

from worker.domain.conversation import AssistantMessage, ModelRequest, SystemMessage

EPHEMERAL = {"type": "ephemeral"}
MESSAGE_MARKS = 2  # with system and tools 4, the most that Anthropic takes


def marked_messages(request: ModelRequest) -> frozenset[int]:
    """Return the indices of the messages to mark.

    The older of the two stands where the call before wrote the cache, so it is found however many tool results
    came since (the provider looks back only 20 blocks from a mark). Assistant messages are passed over: their
    last block may be thinking, which takes no mark.
    """
    count = len(request.messages) if request.stable_messages is None else request.stable_messages
    stable = list(enumerate(request.messages[:count]))
    ends = [
        index
        for index, message in stable
        if not isinstance(message, AssistantMessage | SystemMessage) and message.text and _ends_turn(request, index)
    ]
    return frozenset(ends[-MESSAGE_MARKS:])


def _ends_turn(request: ModelRequest, index: int) -> bool:
    """Say whether the next message is the model's, or none: of several tool results only the last is marked."""
    return index + 1 == len(request.messages) or isinstance(request.messages[index + 1], AssistantMessage)
