"""An account's credits in one billing period, as people read them. Shows and decides nothing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CreditSummary:
    """Amounts in millicredits. `included` is everything granted for the period, corrections among it; `used` counts
    everything captured, overage too.
    """

    included_millicredits: int
    used_millicredits: int
    held_millicredits: int

    @property
    def remaining_millicredits(self) -> int:
        """What is left of the included credits; pay-as-you-go may go on at 0. Never less than 0."""
        return max(0, self.included_millicredits - self.used_millicredits - self.held_millicredits)

    @property
    def pay_as_you_go_millicredits(self) -> int:
        """The part of what was used that goes beyond the included credits."""
        return max(0, self.used_millicredits - self.included_millicredits)
