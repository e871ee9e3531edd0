"""A small stateful stand-in for Stripe, served on loopback: customers, cards, checkout for set-up, payment intents,
refunds, idempotency keys, and signed webhooks. It knows the parameters that the gateway sends, and refuses others.

Cards do what their names say: `pm_ok`, `pm_declined`, `pm_3ds` (asks its owner on session, fails off session).
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.edges.process import Server

KEY = "sk_test_gateway"
INTENT_PARAMS = {
    *("amount", "currency", "customer", "payment_method", "allowed_payment_method_types[0]", "confirm", "description"),
    *("metadata[attempt]", "metadata[account]", "off_session", "return_url"),
    "payment_method_options[card][request_three_d_secure]",
}
SETUP_PARAMS = {
    *("mode", "customer", "allowed_payment_method_types[0]", "success_url", "cancel_url"),
    *("payment_method_options[card][request_three_d_secure]", "setup_intent_data[metadata][account]"),
}


@dataclass
class FakeStripe:
    """Its state, and what a test does to it. `lose`: do what is asked and then answer 500."""

    customers: dict[str, dict[str, Any]] = field(default_factory=dict)
    cards: dict[str, dict[str, Any]] = field(default_factory=dict)
    intents: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, str] = field(default_factory=dict)
    sessions: list[dict[str, str]] = field(default_factory=list)
    replies: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    lose: bool = False
    asked: list[str] = field(default_factory=list)
    numbers: Callable[[], int] = field(default_factory=lambda: itertools.count(1).__next__)

    def add_card(self, customer: str, kind: str) -> str:
        """What the owner does on Stripe's page."""
        ref = f"pm_{kind}_{self.numbers()}"
        card = {"brand": "visa", "last4": "4242", "exp_month": 4, "exp_year": 2031}
        self.cards[ref] = {"id": ref, "object": "payment_method", "type": "card", "card": card, "customer": customer}
        return ref

    def confirm(self, intent: str, *, agreed: bool) -> None:
        """What the owner answers to 3-D Secure."""
        found = self.intents[intent]
        found["next_action"] = None
        found["status"] = "succeeded" if agreed else "requires_payment_method"
        if not agreed:
            found["last_payment_error"] = {"code": "payment_intent_authentication_failure", "type": "card_error"}

    @property
    def kept_cents(self) -> int:
        """What was taken and not given back."""
        paid = [one for one in self.intents.values() if one["status"] == "succeeded"]
        return sum(one["amount"] for one in paid if one["id"] not in self.refunds)

    def event(self, kind: str, about: dict[str, Any], event_id: str | None = None) -> bytes:
        """The body of a webhook."""
        named = event_id or f"evt_{self.numbers()}"
        return json.dumps({"id": named, "object": "event", "type": kind, "data": {"object": about}}).encode()

    def app(self) -> Starlette:
        """Its endpoints."""
        routes = [
            Route("/v1/customers", self._keyed(self._create_customer), methods=["POST"]),
            Route("/v1/customers/{id}", self._keyed(self._update_customer), methods=["POST"]),
            Route("/v1/customers/{id}/payment_methods", self._list_cards),
            Route("/v1/payment_methods/{id}/detach", self._keyed(self._detach), methods=["POST"]),
            Route("/v1/checkout/sessions", self._keyed(self._create_session), methods=["POST"]),
            Route("/v1/payment_intents", self._keyed(self._create_intent), methods=["POST"]),
            Route("/v1/payment_intents", self._list_intents),
            Route("/v1/payment_intents/{id}", self._get_intent),
            Route("/v1/payment_intents/{id}/cancel", self._keyed(self._cancel), methods=["POST"]),
            Route("/v1/refunds", self._keyed(self._create_refund), methods=["POST"]),
        ]
        return Starlette(routes=routes)

    def _keyed(self, act: Callable[[Request, dict[str, str]], tuple[int, dict[str, Any]]]) -> Any:
        """A repeated idempotency key gets the first reply again, whatever that was."""

        async def answer(request: Request) -> Response:
            if request.headers["authorization"] != f"Bearer {KEY}":
                return JSONResponse({"error": {"type": "invalid_request_error"}}, 401)
            form = dict(parse_qsl((await request.body()).decode()))
            key = request.headers.get("idempotency-key", "")
            self.asked.append(f"{request.method} {request.url.path}")
            if key and key in self.replies:
                status, document = self.replies[key]
                return JSONResponse(document, status, {"idempotent-replayed": "true"})
            status, document = act(request, form)
            if self.lose:
                status, document = 500, {"error": {"type": "api_error", "message": "lost"}}
            if key:
                self.replies[key] = status, document
            return JSONResponse(document, status)

        return answer

    def _create_customer(self, _request: Request, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        assert set(form) == {"metadata[account]"}
        made = {"id": f"cus_{self.numbers()}", "object": "customer", "default": None}
        self.customers[made["id"] or ""] = made
        return 200, made

    def _update_customer(self, request: Request, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        found = self.customers[request.path_params["id"]]
        found["default"] = form["invoice_settings[default_payment_method]"]
        return 200, found

    async def _list_cards(self, request: Request) -> Response:
        mine = [one for one in self.cards.values() if one["customer"] == request.path_params["id"]]
        return JSONResponse({"object": "list", "data": mine[::-1], "has_more": False, "url": request.url.path})

    def _detach(self, request: Request, _form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        found = self.cards[request.path_params["id"]]
        if found["customer"] is None:
            return 400, {"error": {"type": "invalid_request_error", "message": "not attached"}}
        found["customer"] = None
        return 200, found

    def _create_session(self, _request: Request, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        assert set(form) == SETUP_PARAMS
        self.sessions.append(form)
        made = {"id": f"cs_{self.numbers()}", "object": "checkout.session", "url": "https://checkout.stripe.test/c/1"}
        return 200, made

    def _create_intent(self, _request: Request, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        assert set(form) <= INTENT_PARAMS
        card = self.cards.get(form["payment_method"])
        if card is None or card["customer"] != form["customer"]:
            return 400, {"error": {"type": "invalid_request_error", "code": "resource_missing"}}
        made: dict[str, Any] = {
            "id": f"pi_{self.numbers()}",
            "object": "payment_intent",
            "amount": int(form["amount"]),
            "customer": form["customer"],
            "metadata": {"attempt": form["metadata[attempt]"], "account": form["metadata[account]"]},
            "status": "succeeded",
            "next_action": None,
            "last_payment_error": None,
        }
        self.intents[made["id"]] = made
        kind = form["payment_method"].split("_")[1]
        if kind == "3ds" and form.get("off_session") != "true":
            made["status"] = "requires_action"
            url = f"https://hooks.stripe.test/3ds/{made['id']}"
            made["next_action"] = {"type": "redirect_to_url", "redirect_to_url": {"url": url}}
        elif kind != "ok":
            code, decline = ("authentication_required",) * 2 if kind == "3ds" else ("card_declined", "generic_decline")
            error = {"type": "card_error", "code": code, "decline_code": decline, "message": "no"}
            made["status"], made["last_payment_error"] = "requires_payment_method", dict(error)
            return 402, {"error": {**error, "payment_intent": dict(made)}}
        return 200, made

    async def _list_intents(self, request: Request) -> Response:
        self.asked.append("GET /v1/payment_intents")
        mine = [one for one in self.intents.values() if one["customer"] == request.query_params["customer"]]
        return JSONResponse({"object": "list", "data": mine[::-1], "has_more": False, "url": request.url.path})

    async def _get_intent(self, request: Request) -> Response:
        return JSONResponse(self.intents[request.path_params["id"]])

    def _cancel(self, request: Request, _form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        found = self.intents[request.path_params["id"]]
        if found["status"] == "succeeded":
            return 400, {"error": {"type": "invalid_request_error", "code": "payment_intent_unexpected_state"}}
        found["status"] = "canceled"
        return 200, found

    def _create_refund(self, _request: Request, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        intent = form["payment_intent"]
        if intent in self.refunds:
            return 400, {"error": {"type": "invalid_request_error", "code": "charge_already_refunded"}}
        self.refunds[intent] = f"re_{self.numbers()}"
        return 200, {"id": self.refunds[intent], "object": "refund"}


@asynccontextmanager
async def served(fake: FakeStripe) -> AsyncIterator[str]:
    """Its address."""
    config = uvicorn.Config(fake.app(), host="127.0.0.1", port=0, log_config=None, access_log=False)
    server = Server(config)
    running = asyncio.create_task(server.serve())
    try:
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await running
