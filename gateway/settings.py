"""Settings: `gateway.yaml` as frozen values, for the roof and the edges.

Says where things are and how much of them is allowed. Deliberately holds no plan, price or route (`gateway.catalog`)
and opens nothing. Secrets are `SecretStr`: they print as asterisks.
"""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, SecretStr

from gateway.config_files.shape import (
    Bytes,
    Flag,
    HttpUrl,
    Network,
    OptionalHttpUrl,
    OptionalText,
    Port,
    Seconds,
    Secret,
    Shape,
    Text,
    Whole,
    must_be,
)


class Listen(Shape):
    """Where a listener binds. Port 0 lets the system choose one."""

    host: Text = "127.0.0.1"
    port: Port = 8080


class AdminListen(Listen):
    """Where the admin listener binds."""

    port: Port = 8081


def _scheme(*known: str) -> BeforeValidator:
    """A store's address; it may hold a password, so it is never quoted."""

    def check(value: object) -> object:
        if isinstance(value, str) and value and value.partition(":")[0] not in known:
            raise must_be(f"an address that begins with {', '.join(f'{name}://' for name in known)}", show=False)
        return value

    return BeforeValidator(check)


REDIS_SCHEMES: Final = (
    "redis",
    "rediss",
    "unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)


class RedisSettings(Shape):
    """The ledger's store. No url: the embedded Valkey server in the data folder."""

    url: Annotated[Secret, _scheme(*REDIS_SCHEMES)] = None
    """redis://host:port, unix:///path; redis+sentinel://host:port,host:port/name and redis+cluster://host:port,host:port
    name several servers. rediss instead of redis: TLS."""


class BooksSettings(Shape):
    """The billing store. No url: SQLite in the data folder."""

    url: Annotated[Secret, _scheme("postgresql", "postgres", "postgresql+asyncpg", "sqlite", "sqlite+aiosqlite")] = None
    """postgresql://user:password@host/database, or sqlite:///path/to/file."""


class AdminSettings(Shape):
    """The listener of metrics, the admin API and the operator's view. No token: the last two are off."""

    listen: AdminListen = AdminListen()
    token: Secret = None


class BackgroundSettings(Shape):
    """What `gateway background` listens on, with /healthz, /readyz and /metrics; None: on nothing."""

    listen: Listen | None = None


class IsolatesBy(StrEnum):
    """What an upstream keeps accounts apart by: they all share the gateway's one credential."""

    HEADERS = "headers"
    NOTHING = "nothing"


def _header_name(value: object) -> object:
    if isinstance(value, str) and value and not value.replace("-", "").isalnum():
        raise must_be("a header name, such as X-Forwarded-Account")
    return value


class DashboardSettings(Shape):
    """The pages for people, at /settings/billing. They sign in with an API key, or by a proxy in front."""

    trusted_header: Annotated[OptionalText, BeforeValidator(_header_name)] = None
    """A header such as X-Forwarded-Account in which a proxy of `trusted_proxies` names the account that it has signed
    in; the proxy must remove the header from what callers send. None: no proxy's word is taken."""


class Timeouts(Shape):
    """How long an upstream may take for each step."""

    connect_s: Seconds = 5.0
    first_byte_s: Seconds = 120.0
    """From the end of the request until the reply begins."""
    idle_s: Seconds = 120.0
    """Between two pieces of a body, in either direction."""


def _credential_header(value: object) -> object:
    name, _, scheme = str(value).partition(":")
    if not isinstance(value, str) or not name.replace("-", "").isalnum() or len(scheme.split()) > 1:
        raise must_be("a header name, or a name and a scheme, such as 'Authorization: Bearer'")
    return value


class Upstream(Shape):
    """A product service behind the gateway."""

    url: HttpUrl
    """Scheme, host, port; a path is put before every route's own."""
    credential: Secret = None
    """What the gateway shows this upstream, in place of the caller's key."""
    credential_header: Annotated[Text, BeforeValidator(_credential_header)] = "Authorization: Bearer"
    isolates_by: IsolatesBy = IsolatesBy.NOTHING
    """`headers`: keeps accounts apart by X-Account-Id and X-Project-Id. `nothing`: lists, files and other resources
    of this upstream are off, because one account would see another's."""
    webhook_secret: Secret = None
    """What this upstream signs its webhooks with. None: none are taken from it."""
    timeouts: Timeouts = Timeouts()
    max_connections: Annotated[Whole, Field(ge=1, le=65_536)] = 512
    """Per process; calls beyond it wait for a free one."""

    def credential_field(self) -> tuple[str, str] | None:
        """Name and value of the header that carries the credential; None where the upstream wants none."""
        if self.credential is None:
            return None
        name, _, scheme = self.credential_header.partition(":")
        return name.strip(), f"{scheme.strip()} {self.credential.get_secret_value()}".lstrip()


class KeySettings(Shape):
    """How API keys are kept."""

    pepper: Secret = None
    """Keyed into every stored hash. None: one is made at the first start and kept in the data folder."""


class Limits(Shape):
    """What one caller may make a process keep or wait for."""

    header_bytes: Annotated[Bytes, Field(ge=1_024, le=1_048_576)] = 65_536
    header_count: Annotated[Whole, Field(ge=10, le=10_000)] = 128
    target_bytes: Annotated[Bytes, Field(ge=256, le=1_048_576)] = 16_384
    header_s: Seconds = 10.0
    """From the first byte of a request until its headers are complete."""
    body_idle_s: Seconds = 60.0
    """Between two pieces of a request body."""
    send_idle_s: Seconds = 60.0
    """Of a caller who takes nothing of the reply."""
    keep_alive_s: Seconds = 75.0
    connections: Annotated[Whole, Field(ge=1, le=1_000_000)] = 10_000
    """Per process."""


class Spool(Shape):
    """Where long bodies go that must be read before they can be forwarded: a mode may come after its file."""

    directory: OptionalText = None
    """None: `spool` in the data folder."""
    max_bytes: Annotated[Bytes, Field(ge=1_048_576)] = 10 * 2**30
    """All spooled bodies of one process together."""


class WebhookSettings(Shape):
    """Webhooks that the gateway sends to addresses which accounts choose."""

    allow_private: Flag = False
    """Also to addresses that are not public, and by http. Only where whoever has an account may reach this network."""
    disable_after_days: Annotated[Whole, Field(ge=1, le=365)] = 5
    """An endpoint that took nothing for so long is put out of use."""
    keep_days: Annotated[Whole, Field(ge=4, le=365)] = 30
    """How long events and their delivery log are kept; retries go on for over three."""


class PaymentProvider(StrEnum):
    """Who takes payments."""

    MANUAL = "manual"
    FAKE = "fake"
    STRIPE = "stripe"


class StripeSettings(Shape):
    """Where `provider` is stripe."""

    api_key: Secret = None
    """A secret or, better, a restricted key: customers, payment methods, checkout, payment intents, refunds."""
    webhook_secret: Secret = None
    """What Stripe signs its webhooks with, whsec_…; None: none are taken, and the gateway asks by itself alone."""
    api_base: OptionalHttpUrl = None
    """Another address than Stripe's, for tests."""


class PaymentSettings(Shape):
    """How invoices are paid. `manual`: by transfer, noted by an admin. `fake`: test cards, for demos; no money."""

    provider: PaymentProvider = PaymentProvider.MANUAL
    stripe: StripeSettings = StripeSettings()


class LogLevel(StrEnum):
    """The least severe line that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """`auto`: for people on a terminal, JSON lines elsewhere."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class LogSettings(Shape):
    """What is logged, to standard error."""

    level: LogLevel = LogLevel.INFO
    format: LogFormat = LogFormat.AUTO


class Settings(Shape):
    """gateway.yaml. After `load`, every path is absolute: file names are relative to gateway.yaml, `data` to where
    the command runs.
    """

    listen: Listen = Listen()
    public_url: OptionalHttpUrl = None
    """The address callers know the gateway by, for links in replies; None: taken from the request's Host."""
    data: Path = Path(".gateway")
    redis: RedisSettings = RedisSettings()
    books: BooksSettings = BooksSettings()
    admin: AdminSettings = AdminSettings()
    background: BackgroundSettings = BackgroundSettings()
    dashboard: DashboardSettings = DashboardSettings()
    plans: Path = Path("plans.yaml")
    rate_card: Path = Path("rate_card.yaml")
    routes: Path = Path("routes.yaml")
    upstreams: Annotated[Mapping[str, Upstream], Field(min_length=1)]
    keys: KeySettings = KeySettings()
    workers: Annotated[Whole, Field(ge=1, le=256)] = 1
    drain_s: Annotated[Seconds, Field(le=3_600)] = 30.0
    """How long calls in flight may take to finish after SIGTERM."""
    limits: Limits = Limits()
    spool: Spool = Spool()
    webhooks: WebhookSettings = WebhookSettings()
    payments: PaymentSettings = PaymentSettings()
    log: LogSettings = LogSettings()
    trusted_proxies: tuple[Network, ...] = ()
    """Peers whose X-Forwarded-For and X-Forwarded-Proto are believed."""
    watch: Flag = True
    """Pick up changed files without a restart. SIGHUP always does."""

    @property
    def webhook_secrets(self) -> dict[str, SecretStr]:
        """Of the upstreams that may send webhooks, by name."""
        return {
            name: upstream.webhook_secret
            for name, upstream in self.upstreams.items()
            if upstream.webhook_secret is not None
        }
