"""What goes wrong, as a person at a terminal reads it: what it is and what to do, on standard error; exit code 1.

A usage error exits with 2, which typer does. Anything that is not expected keeps its traceback: it is our mistake.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer


def complain(sentence: str) -> None:
    """Tell the person; standard output belongs to what was asked for."""
    print(sentence, file=sys.stderr)


@contextmanager
def exit_for_faults() -> Iterator[None]:
    """Turns expected faults into a sentence and exit code 1."""
    # Late: these bring drivers along that `--help` has no use for.
    from gateway.books.faults import BooksUnavailable
    from gateway.config_files.problem import ConfigurationInvalid
    from gateway.edges.listeners import CannotListen
    from gateway.flows.faults import CallerFault
    from gateway.ledger.faults import StoreUnavailable
    from gateway.ledger.server_process import EmbeddedServerError
    from gateway.payments.provider import ProviderMissing, ProviderUnavailable

    try:
        yield
        return
    except ConfigurationInvalid as invalid:
        complain(str(invalid))
        problems = len(invalid.problems)
        complain(f"gateway: the configuration has {problems} problem{'s' if problems != 1 else ''}; nothing was done")
    except CallerFault as wrong:
        complain(f"gateway: {wrong}")
    except BooksUnavailable as away:
        complain(f"gateway: {away}. Check books.url, or the data folder; `gateway doctor` looks at each part.")
    except StoreUnavailable as away:
        complain(
            f"gateway: Redis is not available ({away.reason}). Check redis.url, or that the embedded server may run; "
            "`gateway doctor` looks at each part."
        )
    except (EmbeddedServerError, CannotListen, ProviderMissing, ProviderUnavailable) as broken:
        complain(f"gateway: {broken}")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        complain(f"gateway: {where}{error.strerror or error}. Check that the file or folder exists and is yours.")
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    raise typer.Exit(1)
