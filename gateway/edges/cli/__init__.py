"""The door for operators at a terminal: the `gateway` command.

Owns: its verbs, tables and JSON on standard output, sentences on standard error, exit codes.
Does not own: what a verb does (flows), or how parts are put together (wiring).
"""


def main() -> None:
    """The `gateway` command; does not return. What a verb needs is imported when it runs."""
    from gateway.edges.cli.commands import app

    app()
