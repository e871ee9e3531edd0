"""An invoice as a document: the JSON that is frozen when it is issued, and its hash.

The same document is shown, exported, attached to the PDF and verified. Amounts are whole cents and decimal credits.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import orjson

from gateway.books.billing_details import BillingDetails
from gateway.domain.credits import credits_text, millicredits
from gateway.domain.instant import from_epoch_ms
from gateway.domain.invoice import Line, LineKind, ServicePeriod, TaxRate, Totals

CURRENCY: Final = "USD"
_NANODOLLARS_PER_DOLLAR: Final = 1_000_000_000
_MILLICREDITS_PER_1000_CREDITS: Final = 1_000_000


def document(
    *,
    invoice_id: str,
    number: str | None,
    account_id: str,
    period_ms: tuple[int, int],
    issued_ms: int | None,
    due_ms: int | None,
    seller: BillingDetails,
    buyer: BillingDetails,
    lines: Sequence[Line],
    tax: TaxRate | None,
    sums: Totals,
    rate_cards: Sequence[str],
) -> dict[str, Any]:
    """The document. `number`, `issued_ms` and `due_ms` are None for a draft."""
    return {
        "id": invoice_id,
        "number": number,
        "account_id": account_id,
        "period": _span(*period_ms),
        "issued_at": None if issued_ms is None else instant_text(issued_ms),
        "due_at": None if due_ms is None else instant_text(due_ms),
        "currency": CURRENCY,
        "seller": _party(seller),
        "buyer": _party(buyer),
        "lines": [line_document(line) for line in lines],
        "subtotal_cents": sums.subtotal_cents,
        "tax": None if tax is None else {"name": tax.name, "parts_per_million": tax.parts_per_million},
        "tax_cents": sums.tax_cents,
        "total_cents": sums.total_cents,
        "rate_cards": list(rate_cards),
    }


def line_document(line: Line) -> dict[str, Any]:
    """One line, with the parts that products and modes made."""
    period = line.period
    shown: dict[str, Any] = {
        "kind": line.kind.value,
        "description": describe(line),
        "plan": period.plan_id,
        "service_period": _span(period.start_ms, period.end_ms),
        "credits": credits_text(line.millicredits),
        "amount_cents": line.amount_cents,
        "corrects": line.corrects,
        "sub_lines": [
            {
                "product": part.product,
                "mode": part.mode,
                "credits": credits_text(part.millicredits),
                "amount_cents": part.amount_cents,
            }
            for part in line.sub_lines
        ],
    }
    if period.contract_version is not None:
        shown["contract_version"] = period.contract_version
    if line.kind is LineKind.PAY_AS_YOU_GO:
        shown["usd_per_1000_credits"] = _price_text(period)
    return shown


def describe(line: Line) -> str:
    """What a line is for, in words."""
    plan, amount = line.period.plan_name, _thousands(credits_text(abs(line.millicredits)))
    match line.kind:
        case LineKind.PLAN_FEE if line.period.contract_version is not None:
            said = f"{plan} plan by contract, {amount} credits committed"
        case LineKind.PLAN_FEE:
            said = f"{plan} plan, {amount} credits included"
        case LineKind.PAY_AS_YOU_GO:
            said = f"{amount} credits beyond the {plan} plan's, at ${_price_text(line.period)} per 1,000"
            if line.corrects is not None:
                said += f", settled after invoice {line.corrects}"
        case LineKind.UNUSED_ALLOWANCE if line.corrects is None:
            said = f"{amount} credits of the {plan} plan paid for and not used"
        case LineKind.UNUSED_ALLOWANCE if line.millicredits > 0:
            said = f"{amount} more credits of the {plan} plan not used, after invoice {line.corrects}"
        case LineKind.UNUSED_ALLOWANCE:
            said = f"{amount} credits of the {plan} plan used after all, after invoice {line.corrects}"
        case _:
            said = f"{plan} plan, replaced as it began"
    return said


def frozen(shown: dict[str, Any]) -> tuple[str, str]:
    """The document's bytes as text, always the same for the same invoice, and their hash."""
    text = orjson.dumps(shown, option=orjson.OPT_SORT_KEYS)
    return text.decode(), content_hash(text)


def content_hash(text: bytes) -> str:
    """`sha256:` and the hash of a document's bytes."""
    return f"sha256:{hashlib.sha256(text).hexdigest()}"


def arithmetic_fault(shown: dict[str, Any]) -> str | None:
    """What does not add up in a document, in words; None where everything does."""
    for line in shown["lines"]:
        if line["sub_lines"]:
            cents = sum(part["amount_cents"] for part in line["sub_lines"])
            credits_ = sum(millicredits(part["credits"]) for part in line["sub_lines"])
            if (cents, credits_) != (line["amount_cents"], millicredits(line["credits"])):
                return f"the parts of the line {line['description']!r} do not add up to it"
    subtotal = sum(line["amount_cents"] for line in shown["lines"])
    if subtotal != shown["subtotal_cents"]:
        return f"the lines come to {subtotal} cents, the invoice says {shown['subtotal_cents']}"
    if subtotal + shown["tax_cents"] != shown["total_cents"]:
        return f"subtotal and tax do not add up to the total of {shown['total_cents']} cents"
    return None


def instant_text(at_ms: int) -> str:
    """An instant as documents show it: `2026-11-23T12:00:00.000Z`."""
    return from_epoch_ms(at_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _span(start_ms: int, end_ms: int) -> dict[str, str]:
    return {"start": instant_text(start_ms), "end": instant_text(end_ms)}


def _party(details: BillingDetails) -> dict[str, str]:
    return {
        "name": details.name,
        "address": details.address,
        "email": details.email,
        "tax_id": details.tax_id,
    }


def _price_text(period: ServicePeriod) -> str:
    """Dollars for 1,000 credits, at least two decimals: "1.25"."""
    nanodollars = (period.nanodollars_per_millicredit or 0) * _MILLICREDITS_PER_1000_CREDITS
    whole, part = divmod(nanodollars, _NANODOLLARS_PER_DOLLAR)
    decimals = f"{part:09d}".rstrip("0").ljust(2, "0")
    return f"{whole}.{decimals}"


def _thousands(amount: str) -> str:
    whole, point, part = amount.partition(".")
    return f"{int(whole):,}{point}{part}"
