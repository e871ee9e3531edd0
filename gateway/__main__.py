"""`python -m gateway` is the `gateway` command."""

from gateway.edges.cli import main

main()
