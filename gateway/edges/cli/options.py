"""The options and arguments that several verbs share, each spelled and explained once."""

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[
    Path,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar="GATEWAY_CONFIG",
        help="The gateway.yaml that names all other files.",
    ),
]
DEFAULT_CONFIG = Path("config/gateway.yaml")

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, and nothing else.")]
AccountId = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's id, acc_…")]
OfAccount = Annotated[str, typer.Option("--account", metavar="ACCOUNT", help="The account's id, acc_…")]
