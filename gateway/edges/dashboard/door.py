"""The two places people come in by: the owners' pages and, on the admin listener, the operator's.

They differ in address, cookie and navigation; everything else is shared. Cookies know no port, so each has a name of
its own.
"""

from dataclasses import dataclass, replace
from typing import Final

from gateway.flows.sign_in import Role


@dataclass(frozen=True, slots=True)
class Section:
    """An entry of the navigation. `name` is what a page says it belongs to; `icon` is drawn by icons.html."""

    name: str
    label: str
    path: str
    icon: str


@dataclass(frozen=True, slots=True)
class Door:
    """`root` is where sign-in and static files are, `home` where people land, `layout` the template of its pages."""

    root: str
    home: str
    cookie: str
    layout: str
    roles: frozenset[Role]
    sections: tuple[Section, ...]
    looks_in_from: str = ""
    """Where an operator came from who looks at an account's pages; empty: nobody does."""

    @property
    def sign_in(self) -> str:
        """Where one signs in."""
        return f"{self.root}/sign-in"


BILLING: Final = "/settings/billing"
# Who may ask for the page of a change; members only see what there is.
OWNERS: Final = frozenset({Role.OWNER})
ACCOUNT_DOOR: Final = Door(
    root="/settings",
    home=BILLING,
    cookie="session",
    layout="account.html",
    roles=frozenset({Role.OWNER, Role.MEMBER}),
    sections=(
        Section("plan", "Plan", BILLING, "gauge"),
        Section("pricing", "Pricing", f"{BILLING}/pricing", "tag"),
        Section("usage", "Usage", f"{BILLING}/usage", "chart"),
        Section("invoices", "Invoices", f"{BILLING}/invoices", "receipt"),
        Section("keys", "API keys", f"{BILLING}/keys", "key"),
        Section("limits", "Limits and alerts", f"{BILLING}/limits", "bell"),
        Section("webhooks", "Webhooks", f"{BILLING}/webhooks", "hook"),
    ),
)
ADMIN_DOOR: Final = Door(
    root="/admin",
    home="/admin",
    cookie="admin-session",
    layout="admin.html",
    roles=frozenset({Role.ADMIN}),
    sections=(
        Section("overview", "Overview", "/admin", "gauge"),
        Section("accounts", "Accounts", "/admin/accounts", "people"),
        Section("invoices", "Invoices", "/admin/invoices", "receipt"),
        Section("audit", "Audit log", "/admin/audit", "clock"),
    ),
)


def as_owner_door(account_id: str) -> Door:
    """The account's own pages for an operator: below the operator's address, for eyes that change nothing."""
    account = f"{ADMIN_DOOR.home}/accounts/{account_id}"
    home = f"{account}/as-owner"
    return Door(
        root=ADMIN_DOOR.root,
        home=home,
        cookie=ADMIN_DOOR.cookie,
        layout=ACCOUNT_DOOR.layout,
        roles=frozenset({Role.MEMBER}),
        sections=tuple(replace(one, path=f"{home}{one.path.removeprefix(BILLING)}") for one in ACCOUNT_DOOR.sections),
        looks_in_from=account,
    )
