"""How a command ends: each failure in a sentence on standard error, and one rule for exit statuses."""

from __future__ import annotations

import sys
from collections.abc import Callable

from commands import FAILED, INTERRUPTED, USAGE, Refused, UsageError
from config import ConfigError
from services.errors import AccountUnknownError, InsightsError, InvalidRequestError, ProviderNotConfiguredError
from services.store.database import DatabaseUnavailableError

# What a service refuses of the arguments, and what it lacks in the settings.
UNUSABLE = (InvalidRequestError, AccountUnknownError, ProviderNotConfiguredError)


def end(work: Callable[[], int], *, again: str = "", stopped: str = "") -> int:
    """Do the work of a command and return its exit status, without a traceback for a failure that has a text.

    `again` follows the text about a database that is unavailable. `stopped` is printed after Ctrl-C; a command without
    one ends as `commands.end_without_traceback` says, which does not wait for calls that are under way.
    """
    try:
        return work()
    except InsightsError as error:
        _print(error.message, error.hint)
        if isinstance(error, UNUSABLE):
            return USAGE
    except DatabaseUnavailableError as error:
        _print(f"The database is unavailable: {error}", again)
    except Refused as error:
        _print(str(error))
    except (ConfigError, UsageError) as error:
        _print(str(error))
        return USAGE
    except KeyboardInterrupt:
        if not stopped:
            raise
        _print(f"\n{stopped}")
        return INTERRUPTED
    return FAILED


def kind_of(error: InsightsError) -> type[Exception]:
    """Return the class of a failure with other words for what a service has raised, so that the status is the same."""
    return UsageError if isinstance(error, UNUSABLE) else Refused


def _print(*sentences: str | None) -> None:
    print("\n".join(filter(None, sentences)), file=sys.stderr)
