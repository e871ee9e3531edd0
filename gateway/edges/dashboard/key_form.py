"""What is typed to make a key, as it was typed, and what it comes to. Makes nothing."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.domain.instant import DAY_MS
from gateway.edges.dashboard.forms import Form

LONGEST_NAME: Final = 200
# When a key ends, as it is sent and as it is said.
EXPIRIES: Final[Mapping[str, tuple[int | None, str]]] = {
    "never": (None, "Never"),
    "7d": (7 * DAY_MS, "In 7 days"),
    "30d": (30 * DAY_MS, "In 30 days"),
    "90d": (90 * DAY_MS, "In 90 days"),
    "365d": (365 * DAY_MS, "In a year"),
}


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that is wished for. `products` None: all; `project_id` None: the first."""

    name: str
    project_id: str | None
    products: frozenset[str] | None
    expires_ms: int | None


@dataclass(frozen=True, slots=True)
class KeyForm:
    """As it was typed. `limited`: only for `products`."""

    name: str = ""
    project: str = ""
    limited: bool = False
    products: tuple[str, ...] = ()
    expiry: str = "never"

    @classmethod
    def sent(cls, form: Form) -> "KeyForm":
        """What came. WrongParameter for no such form."""
        return cls(
            name=form["name"],
            project=form.get("project"),
            limited=form["good_for"] == "some",
            products=tuple(form.every("product")),
            expiry=form["expiry"],
        )

    @property
    def expiries(self) -> dict[str, str]:
        """The choices, as they are said."""
        return {value: said for value, (_, said) in EXPIRIES.items()}

    def read(self, known: Collection[str], now_ms: int) -> NewKey | dict[str, str]:
        """The wish, or what is wrong by field. `known` are the products that there are."""
        wrong: dict[str, str] = {}
        if len(self.name) > LONGEST_NAME or not self.name.isprintable():
            wrong["name"] = f"A name has at most {LONGEST_NAME} characters that can be printed."
        if self.limited and not self.products:
            wrong["products"] = "Tick what the key is for, or make it good for all products."
        elif self.limited and not set(self.products) <= set(known):
            wrong["products"] = "One of these products is not there any more; look at the list again."
        if self.expiry not in EXPIRIES:
            wrong["expiry"] = "Choose when the key ends."
        if wrong:
            return wrong
        lasts_ms = EXPIRIES[self.expiry][0]
        return NewKey(
            name=self.name,
            project_id=self.project or None,
            products=frozenset(self.products) if self.limited else None,
            expires_ms=None if lasts_ms is None else now_ms + lasts_ms,
        )
