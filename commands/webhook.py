"""`make webhook`: subscribes accounts to Meta's webhooks, and checks the callback URL as Meta does."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from commands.doctor import say
from commands.exit_status import end
from commands.migrate import migrate_or_explain
from config import Config
from config_parsing import listed
from services.accounts.checks import Check
from services.clients.graph.client import GraphClient
from services.clients.graph.models import Account
from services.clock import Clock
from services.redaction import Redaction
from services.webhooks.handshake import WEBHOOK_PATH
from services.wiring.container import Services
from services.wiring.provider_clients import callback_checks, graph_client

# Of a page any field will do: it is the subscription that matters. Instagram's fields are chosen in the dashboard.
PAGE_FIELDS = ("feed",)
INSTAGRAM_FIELDS = ("comments", "mentions")  # The Instagram login has no story_insights.
EXAMPLE = """\
examples:
  make webhook ARGS="check https://gateway.example"   the handshake and a signed delivery, as Meta sends them
  make webhook ARGS=subscribe                         the account of .env, or the only one that was added
  make webhook ARGS="subscribe corner.bakery"
"""


def check(config: Config, options: argparse.Namespace) -> int:
    """Check the callback URL; return 1 if a check failed."""
    failed = False
    for result in callback_checks(config, Clock()).of(options.url):
        say(result)
        failed = failed or result.ok is False
    return 1 if failed else 0


def subscribe(config: Config, options: argparse.Namespace) -> int:
    """Subscribe the app to the changes of an account."""
    migrate_or_explain(config)
    redaction, clock = Redaction(config.secrets), Clock()
    services = Services.build(config, clock, redaction=redaction)
    try:
        account = services.accounts.find(options.account)
        graph = graph_client(config, clock, redaction=redaction)
        if account.login == "instagram":
            fields = listed(options.fields) or INSTAGRAM_FIELDS
            graph.subscribe(account, fields)
            print(f"Subscribed: account {account.id} (instagram) to {', '.join(fields)}.")
            print("The Instagram login has no story_insights; stories are read hourly instead.")
            return _compare_app(graph, account, "INSTAGRAM_APP_ID", config.instagram_app_id)
        fields = listed(options.fields) or PAGE_FIELDS
        page = _page(account, graph, redaction)
        graph.subscribe(page, fields)
        print(f"Subscribed: page {page.page_id} of account {account.id} (facebook) to {', '.join(fields)}.")
        print("Choose story_insights in the app's dashboard: Webhooks, Instagram.")
        return _compare_app(graph, page, "APP_ID", config.app_id)
    finally:
        services.close()


def _compare_app(graph: GraphClient, account: Account, setting: str, app_id: str) -> int:
    """Say whether the subscribed app is that of the settings, whose secret verifies the deliveries."""
    apps = graph.subscribed_apps(account)
    if not app_id or not apps or app_id in apps:
        return 0
    message = f"The token belongs to another app than {setting}: {', '.join(apps)} is subscribed."
    next_step = f"Take the token, {setting} and its secret from the same app; else its deliveries are refused."
    say(Check("app", False, message, next_step))
    return 1


def _page(account: Account, graph: GraphClient, redaction: Redaction) -> Account:
    """Return the account as its page: with the page's id and token."""
    page_id = account.page_id or graph.page_of(account)
    token = graph.page_token(page_id, token=account.token)
    redaction.learn(token)
    return replace(account, token=token, page_id=page_id)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; print a failure as one sentence, without a traceback."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    logging.disable(logging.WARNING)  # The output says the same.
    return end(partial(_run, options))


def _run(options: argparse.Namespace) -> int:
    config = Config.from_env()
    return check(config, options) if options.command == "check" else subscribe(config, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make webhook", description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    subcommands = parser.add_subparsers(dest="command", metavar="check or subscribe")
    checking = subcommands.add_parser(
        "check", help="check the callback URL as Meta does; its settings are those of .env"
    )
    checking.add_argument("url", help=f"https://<host>, with or without {WEBHOOK_PATH}")
    subscribing = subcommands.add_parser("subscribe", help="subscribe the app to the changes of an account")
    subscribing.add_argument("account", nargs="?", help="id or username; default: that of .env, or the only one")
    subscribing.add_argument("--fields", default="", help="other fields, comma-separated")
    return parser


if __name__ == "__main__":
    sys.exit(main())
