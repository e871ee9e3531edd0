"""Who asks the account API: endpoints that are given the caller, and whose faults become problem documents."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import structlog
from starlette.requests import Request
from starlette.responses import Response

from gateway.books.faults import BooksUnavailable
from gateway.edges.api.json_reply import new_request_id, problem_reply
from gateway.edges.proxy.walk import bearer
from gateway.flows.authenticate import Caller, Directory
from gateway.flows.faults import CallerFault, NoSuchThing, WrongParameter
from gateway.ledger.faults import StoreUnavailable
from gateway.wire.problems import Fault, problem

Answer: TypeAlias = Callable[[Request, Caller], Awaitable[Response]]

log = structlog.get_logger()


def for_callers(directory: Directory, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that looks the API key up first. Faults of caller and stores are answered, others logged and 500."""

    async def endpoint(request: Request) -> Response:
        request_id = new_request_id()
        detail: str | None = None
        loc: tuple[str, ...] = ("body",)
        try:
            caller = await directory.find(_key(request))
            if caller is not None:
                response = await answer(request, caller)
                response.headers["x-request-id"] = request_id
                return response
            fault = Fault.INVALID_API_KEY
        except NoSuchThing as missing:
            fault = Fault.NO_SUCH_CALL if missing.kind == "call" else Fault.NO_SUCH_PROJECT
            detail = f"{missing.kind.capitalize()} not found"
        except WrongParameter as wrong:
            fault, detail, loc = Fault.INVALID_QUERY, str(wrong), ("query", wrong.name)
        except CallerFault as wrong:
            fault, detail = Fault.BAD_REQUEST, str(wrong)
        except BooksUnavailable:
            fault, detail = Fault.BOOKS_UNAVAILABLE, "The account could not be looked up at the moment. Try again."
        except StoreUnavailable:
            fault, detail = Fault.CREDIT_STORE_UNAVAILABLE, "This cannot be told at the moment. Try again."
        except Exception:
            log.exception("an API call failed", request_id=request_id, path=request.url.path)
            fault = Fault.INTERNAL_ERROR
        return problem_reply(problem(fault, request_id=request_id, detail=detail, loc=loc))

    return endpoint


def _key(request: Request) -> bytes:
    """The key sent; nothing where several were, as none may be picked among them."""
    sent = [value for name, value in request.headers.raw if name == b"authorization"]
    return bearer(sent[0]) if len(sent) == 1 else b""
