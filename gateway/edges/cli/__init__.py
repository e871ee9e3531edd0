"""The door for operators at a terminal: the `gateway` command.

Owns: its verbs, tables and JSON on standard output, sentences on standard error, exit codes.
Does not own: what a verb does (flows), or how parts are put together (wiring).
"""

import atexit
import gc


def main() -> None:
    """The `gateway` command; does not return. What a verb needs is imported when it runs."""
    from gateway.edges.cli.commands import app

    # The interpreter's last act is to look for garbage in all it has imported: longer than most verbs take.
    atexit.register(gc.freeze)
    app()
