"""`GET …/alerts`: which thresholds of credits and spending were crossed, in this period and before."""

from gateway.edges.api.endpoint import Area, Ask, Document, Endpoint
from gateway.edges.api.replies.webhooks import Alerts
from gateway.edges.desk import Desk
from gateway.flows.alerts import alert_data
from gateway.wire.problems import Fault

MOST_LISTED = 200


def alert_endpoints(desk: Desk, area: Area) -> list[Endpoint]:
    """The newest of an account's."""

    async def listed(ask: Ask) -> Document:
        raised = await desk.alerts.history(area.account_of(ask), limit=MOST_LISTED)
        return {"items": [alert_data(alert) for alert in raised]}

    return [
        Endpoint(
            "GET",
            f"{area.base}/alerts",
            listed,
            "Thresholds that were crossed, the newest first",
            "limits and alerts",
            reply=Alerts,
            problems=(Fault.NO_SUCH_RESOURCE,),
        )
    ]
