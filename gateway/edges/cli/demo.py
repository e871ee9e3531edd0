"""`gateway demo`: the whole product on loopback, with stand-in product services and four accounts that have a past."""

import asyncio
import os
import secrets
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import uvicorn

from gateway.configuration import Configuration, load
from gateway.edges.cli.options import DEFAULT_CONFIG
from gateway.edges.cli.serve import run
from gateway.edges.demo.accounts import DemoAccount, known_accounts, open_accounts
from gateway.edges.demo.services import sample_pdf, services_app
from gateway.edges.listeners import free_port
from gateway.edges.process import Server
from gateway.edges.serving import Role, serve
from gateway.observe import configure_logging
from gateway.settings import AdminListen
from gateway.stores import Stores

SAMPLE_PAGES: Final = 3
DEFAULT_DATA: Final = Path(".gateway/demo")
LOOPBACK: Final = "127.0.0.1"
UPSTREAMS: Final = ("PARSE", "EXTRACT", "CLASSIFY", "SPLIT", "INDEX")


def demo(*, data: Path | None, port: int | None) -> None:
    """Runs until a signal. Everything it makes is below `data`; nothing else on the machine is touched."""
    folder = (data or DEFAULT_DATA).absolute()
    if data is None:
        folder.parent.mkdir(mode=0o700, exist_ok=True)  # where `gateway serve` keeps its stores
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    run(_demo(DEFAULT_CONFIG, folder, port))


async def _demo(config: Path, data: Path, own_port: int | None) -> None:
    credential = secrets.token_urlsafe(24)
    async with _services(credential) as port:
        environ = _environment(data, credential, port, own_port)
        configuration = load(config, environ)
        configure_logging(configuration.settings.log)

        async def ready(stores: Stores) -> None:
            sample = data / "sample.pdf"
            await asyncio.to_thread(sample.write_bytes, sample_pdf(SAMPLE_PAGES))
            if not known_accounts(data):
                print("Making four accounts with more than ninety days of history …", file=sys.stderr)
            accounts = await open_accounts(stores, data)
            print(greeting(configuration, accounts, sample), flush=True)

        await serve(configuration, Role(), ready=ready, environ=environ)


def _environment(data: Path, credential: str, port: int, own_port: int | None) -> dict[str, str]:
    """What the shipped configuration reads, pointed at the stand-ins; the caller's own choices win where they may."""
    fixed = {"GATEWAY_DATA": str(data), "REDIS_URL": "", "DATABASE_URL": ""}
    for name in UPSTREAMS:
        fixed |= {f"{name}_URL": f"http://{LOOPBACK}:{port}", f"{name}_CREDENTIAL": credential}
    chosen = os.environ.get("GATEWAY_PORT", "") if own_port is None else str(own_port)
    if chosen:
        # Zero is any port, and must be known before it is printed.
        fixed["GATEWAY_PORT"] = str(free_port(LOOPBACK)) if chosen == "0" else chosen
    defaults = {
        "GATEWAY_LOG_LEVEL": "warning",
        "GATEWAY_PAYMENTS": "fake",
        "GATEWAY_ADMIN_TOKEN": secrets.token_urlsafe(24),
        # Nobody asked for this one, so that another demo beside this one is no reason to fail.
        "GATEWAY_ADMIN_PORT": str(free_port(LOOPBACK, wished=AdminListen().port)),
    }
    own = {name: value for name, value in os.environ.items() if value}
    return {**defaults, **own, **fixed}


@asynccontextmanager
async def _services(credential: str) -> AsyncIterator[int]:
    """The stand-in product services on a free port of loopback."""
    server = Server(
        uvicorn.Config(
            services_app(credential=credential),
            host=LOOPBACK,
            port=0,
            log_config=None,
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=1,
        )
    )
    running = asyncio.create_task(server.serve())
    try:
        while not server.started:
            if running.done():
                await running
            await asyncio.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await running


def greeting(configuration: Configuration, accounts: list[DemoAccount], sample: Path) -> str:
    """What a newcomer sees: the address, the keys, and lines to paste."""
    settings = configuration.settings
    url = f"http://{settings.listen.host}:{settings.listen.port}"
    admin = f"http://{settings.admin.listen.host}:{settings.admin.listen.port}"
    # One that its owner chose is theirs to know, and not to be printed.
    made_up = settings.admin.token is not None and not os.environ.get("GATEWAY_ADMIN_TOKEN")
    token = settings.admin.token.get_secret_value() if made_up and settings.admin.token else "that you set"
    by_plan = {account.plan_id: account for account in accounts}
    pro, free = by_plan["pro"], by_plan["free"]
    bearer = f"-H 'Authorization: Bearer {pro.key}'"
    keys = "\n".join(f"  {account.plan_id:<11} {account.key}" for account in accounts)
    json_body = "-H 'Content-Type: application/json' -d"
    retrieve = f"{url}/api/v1/retrieval/retrieve"
    upload = '-F \'configuration={"tier": "agentic", "version": "latest"}\''
    query = """'{"index_id": "idx-demo", "query": "invoice total"}'"""
    as_free = f"-H 'Authorization: Bearer {free.key}'"
    quiet = "curl -s -o /dev/null -w '%{http_code} '"
    return f"""
Credit Gateway is running at {url}
Operations, on a listener of their own: {admin}/admin, and its API {admin}/admin/v1, with the admin token {token}
Metrics: {admin}/metrics

Dashboard: {url}/settings/billing
Sign in there with one of these API keys, one for each plan:
{keys}

Paste these into another terminal:

# Parse a PDF of {SAMPLE_PAGES} pages: held at once, charged when the job's true cost is known
curl -s {url}/api/v2/parse/upload {bearer} {upload} -F {shlex.quote(f"file=@{sample.resolve()}")}

# One retrieval: one credit, and the headers that say so
curl -si {retrieve} {bearer} {json_body} {query}

# What the account has used, by product and mode
curl -s {url}/api/v1/projects/{pro.project_id}/usage {bearer}

# The Free plan takes 20 requests a minute: the 21st is told when to come back
for i in $(seq 21); do {quiet} {retrieve} {as_free} {json_body} {query}; done; echo

Point the official client here:  export LLAMA_CLOUD_BASE_URL={url} LLAMA_CLOUD_API_KEY={pro.key}
Use the other commands beside it:   export GATEWAY_DATA={shlex.quote(str(settings.data))}
Ctrl-C stops everything."""
