"""What the gateway tells about itself: structured logs on standard error, one canonical line a call, and metrics.

Recording is off the hot path: a call is put on a bounded list, and a thread turns the list into lines and numbers.
Holds no rule, and never sees a key, a body or a header.
"""

import asyncio
import logging
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sized
from contextlib import suppress
from typing import Final, NoReturn, Protocol

import orjson
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gateway.domain.credits import MILLICREDITS_PER_CREDIT, credits_text
from gateway.domain.webhook import TryOutcome
from gateway.edges.proxy.call import Call
from gateway.flows.follow_job import JobAlert
from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.outbox import OutboxLag
from gateway.settings import LogFormat, LogLevel, LogSettings

FLUSH_EVERY_S: Final = 0.25
GAUGES_EVERY_S: Final = 2.0
# At 2,000 calls a second: two seconds of a blocked log. What is beyond is counted, not kept.
MOST_WAITING: Final = 4_096
SLOW_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)

log = structlog.get_logger()


def configure_logging(settings: LogSettings) -> None:
    """Sets structlog and the standard library's logging up, both on standard error."""
    level = logging.getLevelNamesMapping()[settings.level.value.upper()]
    console = settings.format is LogFormat.CONSOLE or (settings.format is LogFormat.AUTO and sys.stderr.isatty())
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    )
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=max(level, logging.INFO), handlers=[handler], force=True)
    # It would write down whole addresses of webhooks, which are their receivers' secrets.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # A line for each of its own parts, before the first migration.
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)


def process_registry() -> CollectorRegistry:
    """Where this process counts. With PROMETHEUS_MULTIPROC_DIR set its numbers go to files that all workers share."""
    return CollectorRegistry()


class Metrics:
    """The numbers of a process, for Prometheus. All labels come from the configuration, so their number is bounded."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.calls = Counter("gateway_calls", "Calls answered.", ["route", "status", "code"], registry=registry)
        self.seconds = Histogram(
            "gateway_call_seconds", "Time from the first byte to the end.", ["route"], buckets=SLOW_S, registry=registry
        )
        self.credits = Counter(
            "gateway_credits_captured",
            "Credits captured by calls that ended here.",
            ["product", "mode"],
            registry=registry,
        )
        self.dropped = Counter("gateway_log_lines_dropped", "Lines that a blocked log did not take.", registry=registry)
        self.refusals_dropped = Counter(
            "gateway_refusals_not_kept", "Refused calls that `explain` cannot tell of.", registry=registry
        )
        # The modes say what several worker processes come to together.
        self.in_flight = Gauge(
            "gateway_holds_in_flight", "Calls with an open hold.", registry=registry, multiprocess_mode="livesum"
        )
        self.lag_records = Gauge(
            "gateway_outbox_records", "Records not booked yet.", registry=registry, multiprocess_mode="livemostrecent"
        )
        self.lag_seconds = Gauge(
            "gateway_outbox_lag_seconds",
            "Age of the oldest record that is not booked yet.",
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self.configuration_problems = Gauge(
            "gateway_configuration_problems",
            "What is wrong with changed configuration files, which are not in force therefore.",
            registry=registry,
            multiprocess_mode="livemax",
        )

        self.job_alerts = Counter(
            "gateway_job_alerts", "Jobs that an operator should look at.", ["kind", "alert"], registry=registry
        )
        self.mode_mismatches = Counter(
            "gateway_mode_mismatches",
            "Jobs that ran in another mode than was asked for.",
            ["product", "requested"],
            registry=registry,
        )

        self.webhook_tries = Counter(
            "gateway_webhook_tries", "Webhooks to accounts, by what came of each try.", ["outcome"], registry=registry
        )

    def webhook_tried(self, outcome: TryOutcome) -> None:
        """One try came to this."""
        self.webhook_tries.labels(outcome.value).inc()

    def job_alert(self, kind: str, alert: JobAlert) -> None:
        """One job of this kind did not go as it should."""
        self.job_alerts.labels(kind, alert.value).inc()

    def mode_mismatch(self, product: str, requested: str) -> None:
        """One job ran in another mode than was asked for."""
        self.mode_mismatches.labels(product, requested).inc()

    def count(self, calls: list[Call]) -> None:
        """Adds calls that have ended; finding a number by its labels is dear, so it is done once for all of a kind."""
        answered: defaultdict[tuple[str, int, str], int] = defaultdict(int)
        took_s: defaultdict[str, list[float]] = defaultdict(list)
        captured: defaultdict[tuple[str, str], int] = defaultdict(int)
        for call in calls:
            answered[call.route, call.status, call.code] += 1
            took_s[call.route].append(call.took_s)
            if call.charged_millicredits:
                captured[call.product, call.mode] += call.charged_millicredits
        for (route, status, code), number in answered.items():
            self.calls.labels(route, str(status), code).inc(number)
        for route, times in took_s.items():
            observe = self.seconds.labels(route).observe
            for time_s in times:
                observe(time_s)
        for (product, mode), millicredits in captured.items():
            self.credits.labels(product, mode).inc(millicredits / MILLICREDITS_PER_CREDIT)


class CallLog:
    """Takes calls as they end. `run` writes them; nothing here ever waits for a slow disk on the event loop."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        write: Callable[[bytes], object] | None,
        refused: Callable[[list[Call]], None] | None = None,
    ) -> None:
        """`write` None: no lines, numbers only (a log level above info). `refused` is shown refused calls, in batches.

        It is called on the event loop and must not wait.
        """
        self._refused = refused
        self._metrics = metrics
        self._write = write
        self._waiting: list[Call] = []
        self._dropped = 0

    def record(self, call: Call) -> None:
        """One call has ended."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(call)
        else:
            self._dropped += 1

    async def run(self) -> None:
        """Writes until cancelled, and what is left then."""
        try:
            while True:
                await asyncio.sleep(FLUSH_EVERY_S)
                if self._waiting:
                    refused = await asyncio.to_thread(self._flush)
                    if refused and self._refused is not None:
                        self._refused(refused)
        finally:
            self._flush()

    def _flush(self) -> list[Call]:
        """Writes and counts what waits; returns the refused ones."""
        calls, self._waiting = self._waiting, []
        self._metrics.count(calls)
        if self._dropped:
            self._metrics.dropped.inc(self._dropped)
            self._dropped = 0
        if self._write is not None and calls:
            self._write(b"".join(map(_line, calls)))
        return [] if self._refused is None else [call for call in calls if call.is_refused]


class Configured(Protocol):
    """The part of a reload that is needed here."""

    @property
    def problems(self) -> Sized:
        """What is wrong with the files."""
        ...


async def keep_gauges(
    metrics: Metrics, live: Callable[[], int], lag: Callable[[], Awaitable[OutboxLag]], configured: Configured
) -> NoReturn:
    """Keeps the gauges that no call moves, until cancelled."""
    while True:
        metrics.in_flight.set(live())
        metrics.configuration_problems.set(len(configured.problems))
        with suppress(StoreUnavailable):
            waiting = await lag()
            metrics.lag_records.set(waiting.records)
            metrics.lag_seconds.set(waiting.oldest_ms / 1000)
        await asyncio.sleep(GAUGES_EVERY_S)


def _line(call: Call) -> bytes:
    """The canonical line: what was asked, by whom, what came of it, what it cost."""
    fields: dict[str, object] = {
        "event": "call",
        "request_id": call.request_id,
        "method": call.method,
        "route": call.route,
        "status": call.status,
        "ms": round(call.took_s * 1000, 2),
    }
    for name in ("code", "account_id", "project_id", "key_id", "plan_id", "product", "mode", "end"):
        value = getattr(call, name)
        if value:
            fields[name] = value
    if call.held_millicredits:
        fields["held"] = orjson.Fragment(credits_text(call.held_millicredits))
    if call.charged_millicredits is not None:
        fields["charged"] = orjson.Fragment(credits_text(call.charged_millicredits))
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def call_log(
    metrics: Metrics, settings: LogSettings, *, refused: Callable[[list[Call]], None] | None = None
) -> CallLog:
    """The call log that the settings ask for."""
    wanted = settings.level in {LogLevel.DEBUG, LogLevel.INFO}
    return CallLog(metrics, write=_to_stderr if wanted else None, refused=refused)


def _to_stderr(lines: bytes) -> None:
    sys.stderr.buffer.write(lines)
    sys.stderr.buffer.flush()
