"""Why a call was charged as it was, or refused, whosever it is: every step, in the words of `gateway explain`."""

from starlette.responses import Response
from starlette.routing import Route

from gateway.books.refusals import Refusal
from gateway.edges.cli.explain_words import sentences
from gateway.edges.dashboard.operator.overview import titled
from gateway.edges.dashboard.pages import Pages, Visit


def call_routes(pages: Pages) -> list[Route]:
    """`/admin/calls/{request_id}`."""
    desk = pages.parts.desk

    async def look(visit: Visit) -> Response:
        request_id: str = visit.request.path_params["request_id"]
        found = await desk.explain.of_anyone(request_id)
        refused = isinstance(found, Refusal)
        return visit.page(
            "admin/call.html",
            title="Call",
            it=found,
            refused=refused,
            why=titled(found.code) if isinstance(found, Refusal) else "",
            facts=found if isinstance(found, Refusal) else found.facts,
            request_id=request_id,
            steps=list(sentences(found)),
        )

    return [pages.get(f"{pages.door.home}/calls/{{request_id}}", look)]
