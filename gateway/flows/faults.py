"""What an operator or a caller asked for that cannot be done. Each message says what is wrong and what would work."""


class CallerFault(Exception):
    """The one who asks must ask for something else: an exit code 1, a 4xx."""


class NoSuchThing(CallerFault):
    """An id or a name that the books do not know: a 404."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"there is no {kind} {name!r}")
        self.kind = kind
        self.name = name


class WrongParameter(CallerFault):
    """One named parameter is missing or wrong: a 422 that names it."""

    def __init__(self, name: str, wrong: str) -> None:
        super().__init__(wrong)
        self.name = name


class PaymentNeeded(CallerFault):
    """Money must be paid first, and was not: a 402. Nothing was changed.

    `reason` is a word for programs: `no_payment_method`, `past_due`, `payment_failed`, `action_required`,
    `payment_pending`, `provider_unavailable`. `action_url`: where the card's owner confirms, after which it goes on.
    """

    def __init__(self, reason: str, sentence: str, *, action_url: str | None = None) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.action_url = action_url


class InvoicingStopped(Exception):
    """An account's numbers disagree: it gets no invoice until a person has looked. Nobody's question, so no fault."""

    def __init__(self, account_id: str, what: str) -> None:
        super().__init__(f"invoicing of account {account_id} has stopped: {what}")
        self.account_id = account_id
        self.what = what
