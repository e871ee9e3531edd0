"""What a closing would take, to the millicredit, from sums wherever they tell as much as the events do.

What an event is charged as depends on its place in the order of settlement, but a whole stretch of them that lies
between two ends of a grant, a tier or a ceiling is charged alike. Events are read one by one only where an end falls.
Stamps nothing: `closings` does, event by event.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from itertools import groupby
from typing import Final

from sqlalchemy import BigInteger, cast, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import period_usage, stretches
from gateway.books.splits import NOTHING, OpenUsage, Taken, place, split_events, sum_up
from gateway.books.stretches import STRETCH_SEQS, Stretch
from gateway.books.tables import closed_events, usage_events
from gateway.domain.rating import UsageSplit

# Ceilings that go up and down all the time: so many questions cost more than reading all events once.
_PIECES: Final = 64
_WIDER: Final = 8


class _Part(Enum):
    """Where a stretch lies. ACROSS: partly, so that its events must be read."""

    INCLUDED = auto()
    CHARGED = auto()
    WRITTEN_OFF = auto()
    ACROSS = auto()


@dataclass(slots=True)
class _Sums:
    """What was made of the stretches so far."""

    split: UsageSplit = NOTHING
    tiers: dict[int, Counter[tuple[str, str]]] = field(default_factory=dict)

    def add(self, taken: Taken) -> None:
        """What the next ones come to."""
        self.split += taken.split
        for tier, parts in taken.tier_parts.items():
            self.tiers.setdefault(tier, Counter()).update(parts)


async def foresee(conn: AsyncConnection, usage: OpenUsage) -> Taken:
    """What a closing would take now. Changes nothing."""
    if usage.up_to_seq is None:
        used = await period_usage.of_period(conn, usage.account_id, usage.period_start_ms)
        if used <= usage.granted_millicredits:
            return Taken(UsageSplit(used - usage.before_millicredits, 0, 0))
        if used == usage.before_millicredits:
            return Taken()
        if usage.before_millicredits:
            missing = used - usage.before_millicredits
            return await walk(conn, replace(usage, from_seq=await _first_open(conn, usage, missing)))
    elif usage.before_millicredits:
        return await walk(conn, usage)
    return await _by_stretches(conn, replace(usage, untouched=True))


async def walk(conn: AsyncConnection, usage: OpenUsage) -> Taken:
    """The same from the events alone."""
    return await sum_up(conn, place(split_events(usage), usage), usage)


async def _first_open(conn: AsyncConnection, usage: OpenUsage, missing_millicredits: int) -> int:
    """A sequence number before which closings have everything: they took all but the newest, and all is accounted for.

    Captures are above nothing, so the events from there on are all that are open as soon as they come to what is.
    """
    table = usage_events.c
    mine = (table.account_id == usage.account_id, table.period_start_ms == usage.period_start_ms)
    last = (await conn.execute(select(func.coalesce(func.max(table.seq), 0)).where(*mine))).scalar_one()
    length = STRETCH_SEQS
    while length < last:
        found = cast(func.coalesce(func.sum(table.captured_millicredits), 0), BigInteger)
        is_open = ~exists().where(closed_events.c.event_id == table.id)
        query = select(found).where(*mine, table.seq > last - length, table.captured_millicredits > 0, is_open)
        if (await conn.execute(query)).scalar_one() == missing_millicredits:
            return int(last - length + 1)
        length *= _WIDER
    return 0


async def _by_stretches(conn: AsyncConnection, usage: OpenUsage) -> Taken:
    """Of a period that no closing has anything of. Stretch by stretch, neighbours that are charged alike at once."""
    found = await stretches.of_period(conn, usage.account_id, usage.period_start_ms)
    if usage.up_to_seq is not None:
        found = [one for one in found if one.number <= usage.up_to_seq // STRETCH_SEQS]
    made, begins, pieces = _Sums(), 0, 0
    placed: list[tuple[_Part, int, Stretch]] = []
    for one in found:
        placed.append((_part(usage, one, begins), begins, one))
        begins += one.captured_millicredits
    for part, group in groupby(placed, key=lambda each: each[0]):
        run = [(begin, one) for _, begin, one in group]
        if part is _Part.CHARGED:
            pieces += await _charge(conn, usage, made, run)
        elif part is _Part.ACROSS:
            pieces += 1
            made.add(await _read(conn, usage, made, run))
        else:
            made.add(Taken(_whole(part, sum(one.captured_millicredits for _, one in run))))
        if pieces > _PIECES:
            return await walk(conn, usage)
    return Taken(made.split, {tier: dict(parts) for tier, parts in made.tiers.items()})


def _part(usage: OpenUsage, one: Stretch, begins: int) -> _Part:
    """Where a stretch lies that begins when so much was used."""
    granted, ends = max(0, usage.granted_millicredits), begins + one.captured_millicredits
    if usage.up_to_seq is not None and one.number == usage.up_to_seq // STRETCH_SEQS:
        return _Part.ACROSS
    if ends <= granted:
        return _Part.INCLUDED
    ceilings = _ceilings(usage, one)
    if begins >= granted and ends <= granted + min(ceilings):
        return _Part.CHARGED
    if begins >= granted + max(ceilings):
        return _Part.WRITTEN_OFF
    return _Part.ACROSS


def _ceilings(usage: OpenUsage, one: Stretch) -> list[int]:
    """Those under which its calls were admitted."""
    found, since_ms = [], None
    for step in usage.overage:
        begun = since_ms is None or since_ms <= one.last_admitted_ms
        if begun and (step.before_ms is None or one.first_admitted_ms < step.before_ms):
            found.append(step.millicredits)
        since_ms = step.before_ms
    return found


def _whole(part: _Part, millicredits: int) -> UsageSplit:
    if part is _Part.INCLUDED:
        return UsageSplit(millicredits, 0, 0)
    return UsageSplit(0, 0, millicredits)


async def _charge(conn: AsyncConnection, usage: OpenUsage, made: _Sums, run: Sequence[tuple[int, Stretch]]) -> int:
    """Stretches that are pay-as-you-go throughout: those within one tier at once, one with a tier's end by itself.

    How often the books were asked.
    """
    pieces: list[tuple[int | None, list[tuple[int, Stretch]]]] = []
    paid = made.split.pay_as_you_go_millicredits
    for begins, one in run:
        first, paid = bisect_right(usage.tier_ends, paid), paid + one.captured_millicredits
        within = first == len(usage.tier_ends) or paid <= usage.tier_ends[first]
        if within and pieces and pieces[-1][0] == first:
            pieces[-1][1].append((begins, one))
        else:
            pieces.append((first if within else None, [(begins, one)]))
    for tier, group in pieces[: _PIECES + 1]:
        if tier is None:
            made.add(await _read(conn, usage, made, group))
            continue
        first, last = group[0][1].number, group[-1][1].number
        parts = await stretches.by_mode(conn, usage.account_id, usage.period_start_ms, first, last)
        made.add(Taken(UsageSplit(0, sum(parts.values()), 0), {tier: parts}))
    return len(pieces)


async def _read(conn: AsyncConnection, usage: OpenUsage, made: _Sums, run: Sequence[tuple[int, Stretch]]) -> Taken:
    """What the events of neighbouring stretches come to."""
    end = (run[-1][1].number + 1) * STRETCH_SEQS - 1
    here = replace(
        usage,
        before_millicredits=run[0][0],
        before_paid_millicredits=made.split.pay_as_you_go_millicredits,
        from_seq=run[0][1].number * STRETCH_SEQS,
        up_to_seq=end if usage.up_to_seq is None else min(end, usage.up_to_seq),
    )
    return await walk(conn, here)
