"""Every error raised on purpose; the class says what to do.

WorkerError
├── TransientError                    later may work: the step is put back
│   ├── ProviderUnavailableError      timeout, 5xx, refused connection
│   ├── ProviderRateLimitedError      429; carries retry_after_s
│   ├── MalformedAnswerError          the provider's answer could not be read
│   ├── LimitReachedError             an account's limit of our own; carries retry_after_s
│   ├── DeliveryPostponedError        a destination cannot take the report now
│   ├── KeyTakenError                 the same event is being taken by somebody else
│   └── StorageUnavailableError       no database, or no free connection
├── PermanentError                    again cannot help: the agent fails
│   ├── ProviderAuthError             key missing, rejected, or without access
│   │   └── ProviderCredentialMissingError   the key behind a route is gone
│   ├── ProviderQuotaError            the account has no credit left
│   ├── ModelNotFoundError
│   ├── InvalidRequestError           the provider refused the request as sent
│   ├── ModelRefusedError             the model or its filter declined to answer
│   ├── ContextOverflowError          the conversation no longer fits the window
│   ├── RouteError                    a model name that leads nowhere
│   │   └── ModelAccessDeniedError    a model that the caller may not use
│   ├── ByoCredentialExpiredError     a caller's key is no longer kept
│   ├── BudgetExceededError
│   ├── DeliveryRefusedError          a destination will not take the report, however often it is sent
│   └── MissingInputError             the incident names data that is not there
├── ToolError                         told to the model, which goes on
│   ├── ToolDeniedError               a guardrail said no
│   ├── ToolInputError                the arguments do not fit the tool
│   └── ToolFailedError               the tool ran and did not succeed
├── LeaseLostError                    another holder has the step: roll back and end quietly
├── StepCancelledError                somebody asked for the end: nothing more of this step starts
└── UserError                         somebody's input is wrong; the message says what to do
    ├── ConfigError                   a setting
    ├── SealError                     what is stored sealed cannot be opened
    ├── EventError                    an incident event
    └── NotFoundError                 an id that names nothing

What a provider caused, transient or permanent, is a ProviderError too and says who, with what status.
"""


class WorkerError(Exception):
    """The root of everything raised on purpose."""

    @property
    def reason(self) -> str:
        """The class as a short, stable word for rows, metrics and reports."""
        name = type(self).__name__.removesuffix("Error")
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


class TransientError(WorkerError):
    """Later may work: the step is put back and tried again."""

    def __init__(self, message: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ProviderError(WorkerError):
    """Mixed into every error about a provider: which one, its HTTP status, how long it asks us to wait.

    `was_asked` is False where the request was held back and never sent.
    """

    was_asked = True

    def __init__(
        self, message: str = "", *, provider: str = "", status: int | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.status = status
        self.retry_after_s = retry_after_s


class ProviderUnavailableError(ProviderError, TransientError):
    """The provider did not answer, or answered that it cannot now."""


class ProviderRateLimitedError(ProviderError, TransientError):
    """The provider asks for patience; `retry_after_s` says how much, if it said."""


class MalformedAnswerError(ProviderError, TransientError):
    """The answer is not what the protocol promises (truncated JSON, HTML, no choices)."""


class LimitReachedError(ProviderError, TransientError):
    """The operator lets no more through to the account now; `retry_after_s` says when to ask again."""


class DeliveryPostponedError(TransientError):
    """The destination did not answer, or answered that it cannot take the report now."""


class KeyTakenError(TransientError):
    pass


class StorageUnavailableError(TransientError):
    """The database does not answer or has no free connection."""


class PermanentError(WorkerError):
    """Again cannot help: the agent fails with this reason."""


class ProviderAuthError(ProviderError, PermanentError):
    """The key is missing, rejected, or has no access to the model."""


class ProviderCredentialMissingError(ProviderAuthError):
    """The key behind a route is not there, or not there any more."""


class ProviderQuotaError(ProviderError, PermanentError):
    """The account behind the key has no credit left."""


class ModelNotFoundError(ProviderError, PermanentError):
    """The provider does not know this model."""


class InvalidRequestError(ProviderError, PermanentError):
    """The provider refused the request as it was sent."""


class ModelRefusedError(ProviderError, PermanentError):
    """The model, or a filter before it, declined to answer."""


class ContextOverflowError(ProviderError, PermanentError):
    """The conversation is larger than the model's context window."""


class RouteError(PermanentError):
    """A model name that leads to no configured provider."""


class ModelAccessDeniedError(RouteError):
    """The operator's rules do not let this caller use the model."""


class ByoCredentialExpiredError(PermanentError):
    """A caller's key is no longer kept, or cannot be opened."""


class BudgetExceededError(PermanentError):
    """The investigation's budget is spent."""


class DeliveryRefusedError(PermanentError):
    """The destination will not take the report, or there is no such destination any more."""


class MissingInputError(PermanentError):
    """The incident names data that is not there."""


class ToolError(WorkerError):
    """Told to the model, which goes on; the report shows the gap."""


class ToolDeniedError(ToolError):
    """A guardrail said no."""


class ToolInputError(ToolError):
    """The arguments do not fit the tool."""


class ToolFailedError(ToolError):
    """The tool ran and did not succeed."""


class LeaseLostError(WorkerError):
    """Somebody else has the step now: roll back and end quietly."""


class StepCancelledError(WorkerError):
    """A cancel was asked for: start nothing more."""


class UserError(WorkerError):
    """Somebody's input is wrong; the message says what to do about it."""


class ConfigError(UserError):
    """A setting is missing or has a value it cannot have."""


class SealError(UserError):
    """Something stored was sealed with another seed, or was changed since."""


class EventError(UserError):
    """An incident event that cannot be accepted."""


class NotFoundError(UserError):
    """An id that names nothing the caller may see."""
