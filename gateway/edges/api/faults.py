"""What an answer raised, as a problem document. Our own mistakes are logged with their trace, and are a 500."""

import structlog

from gateway.books.faults import BooksUnavailable
from gateway.domain.admission import RefusalCode
from gateway.edges.api.endpoint import READS, Answered, Code, Refuse
from gateway.flows.faults import CallerFault, NoSuchThing, PaymentNeeded, WrongParameter
from gateway.flows.first_change import EditedByAnother
from gateway.ledger.faults import StoreUnavailable
from gateway.wire.problems import Fault, ProblemReply, problem

log = structlog.get_logger()

_OWN_CODES = {
    "project": Fault.NO_SUCH_PROJECT,
    "organization": Fault.NO_SUCH_PROJECT,
    "call": Fault.NO_SUCH_CALL,
}


def fault_reply(error: Exception, *, request_id: str, method: str, path: str) -> ProblemReply:
    """The answer. What a change cannot do as things stand is a 409, what a read cannot understand a 400."""
    change = method not in READS
    match error:
        case Refuse():
            return problem(error.code, request_id=request_id, detail=error.detail, found=error.found)
        case Answered():
            return error.reply
        case NoSuchThing():
            detail = f"{error.kind.capitalize()} not found"
            code: Code = _OWN_CODES.get(error.kind, Fault.NO_SUCH_RESOURCE)
            about = {"resource": error.kind} if code is Fault.NO_SUCH_RESOURCE else None
            return problem(code, request_id=request_id, detail=detail, extra=about)
        case WrongParameter():
            place = "body" if change else "query"
            code = Fault.INVALID_BODY if change else Fault.INVALID_QUERY
            return problem(code, request_id=request_id, detail=str(error), loc=(place, error.name))
        case PaymentNeeded(reason="provider_unavailable"):
            return problem(Fault.PAYMENT_PROVIDER_UNAVAILABLE, request_id=request_id, detail=str(error))
        case PaymentNeeded():
            extra = {"reason": error.reason, "action_url": error.action_url}
            return problem(RefusalCode.PAYMENT_REQUIRED, request_id=request_id, detail=str(error), extra=extra)
        case CallerFault():
            code = Fault.NOT_POSSIBLE if change else Fault.BAD_REQUEST
            return problem(code, request_id=request_id, detail=str(error))
        case EditedByAnother():
            return problem(Fault.STALE_EDIT, request_id=request_id)
        case BooksUnavailable():
            detail = "The account could not be looked up at the moment. Try again."
            return problem(Fault.BOOKS_UNAVAILABLE, request_id=request_id, detail=detail)
        case StoreUnavailable():
            detail = "This cannot be told at the moment. Try again."
            return problem(Fault.CREDIT_STORE_UNAVAILABLE, request_id=request_id, detail=detail)
        case _:
            log.error("an API call failed", request_id=request_id, path=path, exc_info=error)
            return problem(Fault.INTERNAL_ERROR, request_id=request_id)
