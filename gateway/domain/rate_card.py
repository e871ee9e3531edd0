"""The rate card: the versioned price list in credits that drives quote, capture, docs and dashboard alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True, slots=True)
class ProductRates:
    """The prices of one product: credits per unit by mode.

    `add_ons` are further prices per unit; `aliases` are other spellings of a mode (`FAST` for `fast`); `units` are the
    modes that count something else than `unit`. A mode `lvm/*` is the price of every `lvm/…` without one of its own.
    """

    product: str
    unit: str
    rates_millicredits: Mapping[str, int]
    default_mode: str | None = None
    add_ons_millicredits: Mapping[str, int] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)

    def mode(self, sent: str | None) -> str | None:
        """The mode a caller means: the default where none was sent, None where it is not on the card."""
        if sent is None:
            return self.default_mode
        known = self.aliases.get(sent, sent)
        if known in self.rates_millicredits:
            return known
        family, _, variant = known.partition("/")
        any_other = f"{family}/*"
        return any_other if variant and any_other in self.rates_millicredits else None

    def unit_of(self, mode: str) -> str:
        """What the price of a mode on the card counts."""
        return self.units.get(mode, self.unit)


@dataclass(frozen=True, slots=True)
class RateCard:
    """One version of the price list, in force from its effective date (UTC)."""

    version: str
    effective: date
    products: Mapping[str, ProductRates]
