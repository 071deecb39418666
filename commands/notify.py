"""`make notify`: tries the outgoing webhook, and lists or resends what it has not delivered."""

from __future__ import annotations

import argparse
import base64
import logging
import secrets as randomness
import sys
import uuid
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from http import HTTPStatus

from commands import FAILED, USAGE, UsageError
from commands.doctor import lines_of, say
from commands.exit_status import end
from commands.migrate import migrate_or_explain
from config import Config
from services.accounts.checks import Check
from services.clients.notification_receiver import SECRET_PREFIX, DeliveryOutcome
from services.clock import Clock
from services.days import our_time
from services.notifications.events import TEST
from services.notifications.notifications import body_of
from services.rendering.plurals import counted
from services.store.notifications import GIVEN_UP_KEPT_DAYS
from services.store.store import Store
from services.wiring.provider_clients import receiver_client

LISTED = 100  # events
WITHOUT_RECEIVER = "There is no receiver: nothing is delivered until NOTIFY_URL and NOTIFY_SECRET are set."
KEY_BYTES = 32
NEXT_STEPS: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "The receiver refuses the signature or a login: compare NOTIFY_SECRET with its own.",
    HTTPStatus.FORBIDDEN: "The receiver refuses the signature or a login: compare NOTIFY_SECRET with its own.",
    HTTPStatus.NOT_FOUND: "The receiver has no such path: check the path of NOTIFY_URL.",
    HTTPStatus.METHOD_NOT_ALLOWED: "The receiver takes no POST at this path: check the path of NOTIFY_URL.",
    HTTPStatus.GONE: "The receiver wants no more events. Events answered so are given up at once.",
}
EXAMPLE = """\
examples:
  make notify ARGS=secret          print a line for .env with a new NOTIFY_SECRET
  make notify ARGS=test            send a test event to NOTIFY_URL, and say what came of it
  make notify ARGS=list            the events that wait or were given up
  make notify ARGS=resend          let all of them be delivered again, now
  make notify ARGS="resend msg_3f2a..."
"""


def secret() -> int:
    """Print the line with a new secret for `.env`."""
    print("NOTIFY_SECRET=" + SECRET_PREFIX + base64.b64encode(randomness.token_bytes(KEY_BYTES)).decode())
    return 0


def send_test(config: Config) -> int:
    """Send a test event; return 1 if the receiver did not accept it."""
    if not config.notify_url:
        raise UsageError("There is no receiver. Set NOTIFY_URL and NOTIFY_SECRET in .env.")
    clock = Clock()
    data = {"message": "A test of the outgoing webhook."}
    body = body_of(TEST, data, mode=config.providers, at=clock.timestamp())
    event_id = f"msg_{uuid.uuid4().hex}"
    outcome = receiver_client(config, clock).post_event(event_id, body, at=clock.timestamp())
    if outcome.failure is None:
        say(Check("test event", True, f"{event_id} was accepted with HTTP {outcome.status}"))
        return 0
    failed = Check("test event", False, _what(outcome), _next_step(outcome))
    print("\n".join(lines_of(failed)), file=sys.stderr)
    return 1


def show(store: Store, *, has_receiver: bool) -> int:
    """Print the events that wait or were given up, the newest first."""
    counts = store.notifications.counts()
    print(f"{counted(counts.waiting, 'waits', 'wait')}, {counted(counts.given_up, 'was', 'were')} given up.")
    if counts.waiting and not has_receiver:
        print(f"{WITHOUT_RECEIVER} An event that has been due for {GIVEN_UP_KEPT_DAYS} days is given up.")
    for event in store.notifications.listed(LISTED):
        about = event.account or event.creator or ""
        state = "given up" if event.due_at is None else f"next at {our_time(event.due_at)}"
        failure = f", {event.failure}" if event.failure else ""
        attempts = counted(event.attempts, "attempt")
        print(f"{event.id}  {our_time(event.created_at)}  {event.event} {about}: {state}, {attempts}{failure}")
    if counts.waiting + counts.given_up > LISTED:
        print(f"The newest {LISTED} are shown.")
    return 0


def resend(store: Store, ids: Sequence[str], *, has_receiver: bool) -> int:
    """Let events be delivered again; return 1 if one of the ids is unknown, 2 if all of them are."""
    number = store.notifications.resend(ids, store.clock.timestamp())
    if has_receiver:
        print(f"{number} will be delivered within seconds by the worker. Each keeps its id.")
    else:
        print(f"{counted(number, 'waits', 'wait')}. {WITHOUT_RECEIVER}")
    if number < len(set(ids)):
        print("The other ids are unknown; `make notify ARGS=list` shows them.", file=sys.stderr)
        return FAILED if number else USAGE
    return 0


def _what(outcome: DeliveryOutcome) -> str:
    if outcome.status is None:
        return outcome.message
    if HTTPStatus.MULTIPLE_CHOICES <= outcome.status < HTTPStatus.BAD_REQUEST:
        return f"The receiver redirects to another address (HTTP {outcome.status}); redirects are not followed."
    return f"The receiver answers with HTTP {outcome.status}; accepted are 200 to 299."


def _next_step(outcome: DeliveryOutcome) -> str:
    if outcome.status is None:
        return "Check the host, the port and the certificate of NOTIFY_URL, and that it answers within 10 seconds."
    if HTTPStatus.MULTIPLE_CHOICES <= outcome.status < HTTPStatus.BAD_REQUEST:
        return "Set NOTIFY_URL to the address to which it redirects, if that is yours."
    return NEXT_STEPS.get(outcome.status, "Look at the log of the receiver; such events are sent again.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; print a failure as one sentence, without a traceback."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    if options.command == "secret":
        return secret()
    logging.disable(logging.WARNING)  # The output says the same.
    return end(partial(_run, options))


def _run(options: argparse.Namespace) -> int:
    config = Config.from_env()
    if options.command == "test":
        return send_test(config)
    migrate_or_explain(config)
    with closing(Store.open(config.database_url, config.instance_path, mode=config.providers)) as store:
        has_receiver = bool(config.notify_url)
        if options.command == "list":
            return show(store, has_receiver=has_receiver)
        return resend(store, options.ids, has_receiver=has_receiver)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make notify", description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    subcommands = parser.add_subparsers(dest="command", metavar="secret, test, list or resend")
    subcommands.add_parser("secret", help="print a new NOTIFY_SECRET")
    subcommands.add_parser("test", help="send a test event to NOTIFY_URL, and say what came of it")
    subcommands.add_parser("list", help="the events that wait or were given up")
    resending = subcommands.add_parser("resend", help="let events be delivered again, now")
    resending.add_argument("ids", nargs="*", help="ids of events; default: all that wait or were given up")
    return parser


if __name__ == "__main__":
    sys.exit(main())
