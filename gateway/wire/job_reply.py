"""Reads replies about jobs by the pointers of a job kind: the id, the status, the cost.

Takes parsed documents and decides nothing: what a cost means is `domain.job`'s, when to look again is the follower's.
"""

import re
from typing import Final

from gateway.domain.credits import MAX_MILLICREDITS, reported_millicredits
from gateway.domain.job import JobCost, JobReport, JobStatus, NoCost
from gateway.wire import json_pointer
from gateway.wire.route import CostSource, Delivery, JobKind, Pointer, ReplyCondition

# Dots alone would be dot segments in the poll's path.
_JOB_ID: Final = re.compile(r"(?!\.+\Z)[A-Za-z0-9._-]{1,200}")
_STATUS: Final = {
    Delivery.CHARGED: JobStatus.CHARGED,
    Delivery.STOPPED: JobStatus.STOPPED,
    Delivery.FREE: JobStatus.FREE,
}
_LONGEST_MODE: Final = 100
# Jobs that one reply opens are kept as one text, which also becomes a key of the books: long lists are not followed.
_BETWEEN_IDS: Final = ","
_MAX_IDS_TEXT: Final = 2_000
MAX_EACH: Final = 1_000


def valid_job_id(job_id: str) -> bool:
    """Whether this can be a job's id: it becomes a path segment and part of a Redis key."""
    return _JOB_ID.fullmatch(job_id) is not None


def read_job_id(document: object, kind: JobKind) -> str | None:
    """The id of the job that a reply has opened; None where there is none that can be followed.

    Of a reply that opens several, all their ids in one text: see `job_ids`.
    """
    several = json_pointer.EVERY in kind.id
    found = json_pointer.find(document, kind.id, most=_MAX_IDS_TEXT if several else 1)
    if isinstance(found, json_pointer.Misfit) or not found:
        return None
    ids = [one for one in found if isinstance(one, str) and valid_job_id(one)]
    text = _BETWEEN_IDS.join(ids)
    return text if len(ids) == len(found) and len(text) <= _MAX_IDS_TEXT else None


def job_ids(text: str) -> tuple[str, ...]:
    """The ids of the jobs that share a hold: of most holds, one."""
    return tuple(text.split(_BETWEEN_IDS))


def read_each(document: object, pointer: Pointer) -> tuple[str, ...] | NoCost:
    """The ids of further jobs that a poll's reply names; none where it names none, such as an empty list or a null.

    NOT_THERE where it does not say, or says what cannot be asked for.
    """
    until = pointer.index(json_pointer.EVERY) if json_pointer.EVERY in pointer else len(pointer)
    said = json_pointer.find(document, pointer[:until], most=1)
    if isinstance(said, json_pointer.Misfit) or not said or (said == [None] and until < len(pointer)):
        return NoCost.NOT_THERE
    found = json_pointer.find(document, pointer, most=MAX_EACH)
    if isinstance(found, json_pointer.Misfit):
        return NoCost.NOT_THERE
    ids = dict.fromkeys(one for one in found if one is not None)
    if not all(isinstance(one, str) and valid_job_id(one) for one in ids):
        return NoCost.NOT_THERE
    return tuple(str(one) for one in ids)


def last_job(kind: JobKind) -> Pointer | None:
    """Where the poll of a kind names the one job that its thing saw last, which may be another call's; None: nowhere.

    That is where `each` leads to one id, not to a list of them.
    """
    return next((source.each for source in kind.costs if source.each and json_pointer.EVERY not in source.each), None)


def naming(pointer: Pointer, job_id: str) -> object:
    """A document that names this job and says nothing else."""
    document: object = job_id
    for part in reversed(pointer):
        document = {part: document}
    return document


def read_job_report(document: object, kind: JobKind) -> JobReport:
    """What a poll's reply tells. A status that is not on the list of final ones means that the job still runs.

    The cost is read only where the most trusted source is the poll's own reply. The caller may have asked for a part
    of the reply, so that counting in it may find too little.
    """
    status = _status(document, kind)
    if status in {JobStatus.RUNNING, JobStatus.FREE}:
        return JobReport(status)
    cost: JobCost | NoCost = NoCost.NOT_THERE
    sources = cost_sources(document, kind)
    if sources and sources[0].path is None:
        cost = read_cost(document, sources[0])
    return JobReport(status, cost, read_billed_mode(document, kind))


def read_billed_mode(document: object, kind: JobKind) -> str | None:
    """The mode that a job ran in, where its kind says where that stands and the reply has it."""
    if kind.billed_mode is None:
        return None
    found = json_pointer.find(document, kind.billed_mode, most=1)
    if isinstance(found, json_pointer.Misfit) or len(found) != 1:
        return None
    mode = found[0]
    return mode if isinstance(mode, str) and 0 < len(mode) <= _LONGEST_MODE and mode.isprintable() else None


def cost_sources(poll: object, kind: JobKind) -> tuple[CostSource, ...]:
    """The places that may tell this job's cost, in order of trust, by what the poll's reply says of the job."""
    return tuple(
        source
        for source in kind.costs
        if (source.only_if is None or _holds(poll, source.only_if))
        and not (source.unless is not None and _holds(poll, source.unless))
    )


def read_cost(document: object, source: CostSource) -> JobCost | NoCost:
    """The cost at one place of a reply: the sum of credits found, or the number of units."""
    if source.free_if is not None and _holds(document, source.free_if):
        return JobCost(0, None, f"free by {_text(source.free_if.pointer)}")
    cost: JobCost | NoCost = NoCost.NOT_THERE
    if source.credits is not None:
        cost = _credits(document, source.credits)
    elif source.units is not None:
        cost = _units(document, source.units)
    elif source.free_if_zero is not None:
        return _nothing(document, source.free_if_zero)
    return NoCost.NOT_YET if source.wait and cost is NoCost.NOT_THERE else cost


def fill(path: str, *, job_id: str, account_id: str) -> str:
    """A poll or cost path of the configuration with its `{job_id}` and `{account_id}` filled in."""
    return path.replace("{account_id}", account_id).replace("{job_id}", job_id)


def _holds(poll: object, condition: ReplyCondition) -> bool:
    found = json_pointer.find(poll, condition.pointer)
    if isinstance(found, json_pointer.Misfit):
        return False
    return any(word is not None and word.startswith(condition.starts_with) for word in map(_word, found))


def _word(value: object) -> str | None:
    """A text, or JSON's true and false as those words."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else None


def _status(document: object, kind: JobKind) -> JobStatus:
    found = json_pointer.find(document, kind.status, most=1)
    word = None if isinstance(found, json_pointer.Misfit) or len(found) != 1 else _word(found[0])
    if word is None:
        return JobStatus.RUNNING
    delivery = kind.statuses.get(word.upper())
    return JobStatus.RUNNING if delivery is None else _STATUS[delivery]


def _credits(document: object, pointer: Pointer) -> JobCost | NoCost:
    found = json_pointer.find(document, pointer)
    if isinstance(found, json_pointer.Misfit) or not found:
        return NoCost.NOT_THERE
    if any(value is None for value in found):
        return NoCost.NOT_YET
    amounts = [reported_millicredits(value) for value in found]
    total = sum(amount for amount in amounts if amount is not None)
    if None in amounts or total > MAX_MILLICREDITS:
        return NoCost.NOT_THERE
    return JobCost(total, None, f"credits reported at {_text(pointer)}")


def _units(document: object, pointer: Pointer) -> JobCost | NoCost:
    """A pointer with `*` counts what it finds; one without leads to the number, or to a list that is counted."""
    found = json_pointer.find(document, pointer)
    if isinstance(found, json_pointer.Misfit) or not found:
        return NoCost.NOT_THERE
    if json_pointer.EVERY in pointer:
        return JobCost(None, sum(value is not None for value in found), f"units counted at {_text(pointer)}")
    match found[0]:
        case None:
            return NoCost.NOT_YET
        case bool():
            return NoCost.NOT_THERE
        case int(units) if 0 <= units <= MAX_MILLICREDITS:
            return JobCost(None, units, f"units reported at {_text(pointer)}")
        case [_, *_] as listed:
            return JobCost(None, len(listed), f"units counted at {_text(pointer)}")
        case _:
            return NoCost.NOT_THERE


def _nothing(document: object, pointer: Pointer) -> JobCost | NoCost:
    """Free where the number there is 0, or the list empty; else this place tells no cost."""
    found = json_pointer.find(document, pointer, most=1)
    if isinstance(found, json_pointer.Misfit) or len(found) != 1 or isinstance(found[0], bool):
        return NoCost.NOT_THERE
    return JobCost(0, 0, f"nothing delivered at {_text(pointer)}") if found[0] in (0, []) else NoCost.NOT_THERE


def _text(pointer: Pointer) -> str:
    return "/" + "/".join(pointer)
