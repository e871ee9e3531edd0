"""What limits an account, as JSON: the same from the command line and from every API. Money is whole cents."""

from gateway.domain.limits import Raise, SpendLimits
from gateway.edges.api.usage_document import amount, instant
from gateway.flows.limits import BudgetView, LimitsView


def limits_json(view: LimitsView) -> dict[str, object]:
    """`ceiling` is what pay-as-you-go may use in the running period, and `limit` what says so."""
    return {
        "account_id": view.account_id,
        "period": {"start": instant(view.period.start_ms), "end": instant(view.period.end_ms)},
        **own_limits_json(view.own),
        "ceiling": {"credits": amount(view.ceiling.millicredits), "limit": view.ceiling.by.value},
        "plan_ceiling": {"credits": amount(view.sold.overage_millicredits)},
        "raise": None if view.raised is None else _raise(view.raised),
        "budgets": [_budget(budget) for budget in view.budgets],
    }


def own_limits_json(own: SpendLimits) -> dict[str, object]:
    """What the account itself says."""
    return {
        "pay_as_you_go": own.pay_as_you_go,
        "max_cents": own.max_cents,
        "alert_percent": list(own.alert_percents),
        "alert_cents": list(own.alert_cents),
    }


def _raise(raised: Raise) -> dict[str, object]:
    return {
        "id": raised.id,
        "max_cents": raised.max_cents,
        "max_credits": None if raised.max_millicredits is None else amount(raised.max_millicredits),
        "from": instant(raised.from_ms),
        "until": instant(raised.until_ms),
        "reason": raised.reason,
    }


def _budget(budget: BudgetView) -> dict[str, object]:
    return {
        "key_id" if budget.of_key else "project_id": budget.subject_id,
        "credits": amount(budget.limit_millicredits),
        "used": amount(budget.captured_millicredits),
        "held": amount(budget.held_millicredits),
        "remaining": amount(budget.remaining_millicredits),
    }
