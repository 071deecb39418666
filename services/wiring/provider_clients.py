"""The clients of the providers, and the policy of buying reports, as the settings say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from config import Config
from services.accounts.current_tokens import CurrentTokens
from services.accounts.health_recorder import HealthRecorder
from services.accounts.next_steps import TokenSteps
from services.accounts.resolver import AccountResolver
from services.accounts.token_encryption import TokenEncryption
from services.accounts.token_notices import TokenNotices
from services.accounts.token_refresh import TokenRefresh
from services.accounts.token_states import TokenStates
from services.clients.graph.client import GraphClient, OnListed, ignore_listed
from services.clients.graph.errors import INSTAGRAM
from services.clients.graph.reads import GraphReads, TokenGate
from services.clients.graph.tokens import App, TokenClient
from services.clients.guard.guard import Guard
from services.clients.http import CALLBACK, RECEIVER, UNREACHED_HINT, OnCall, Transport, ignore_call
from services.clients.modash.client import ModashClient
from services.clients.modash.error_codes import MODASH
from services.clients.notification_receiver import ReceiverClient
from services.clients.rate_limiter import RateLimiter
from services.clients.retries import Retries
from services.clock import Clock
from services.notifications.events import EVENTS
from services.notifications.notifications import Notifications
from services.quota import SharedThrottles, shared_rate_limit
from services.redaction import Redaction
from services.reports.price import THOUSAND
from services.reports.purchase_policy import PurchasePolicy, longest_call, longest_wait
from services.request_context import patience
from services.store.account_tokens import AccountTokens
from services.store.store import Store
from services.webhooks.callback_checks import CallbackChecks

REPORT_SOURCES = ("modash", "sandbox")
RECEIVER_TIMEOUT = 10.0  # seconds, as its documentation promises, whatever providers have
SIMULATOR_HINT = "Sandbox: check that the simulator runs (make run starts it) on SIMULATOR_PORT, which is {port}"


def graph_client(
    config: Config,
    clock: Clock,
    *,
    guard: Guard | None = None,
    redaction: Redaction | None = None,
    on_listed: OnListed = ignore_listed,
    gate: TokenGate | None = None,
    on_call: OnCall = ignore_call,
) -> GraphClient:
    """Build the client of the Graph API; without a `gate` also tokens are tried that were refused before."""
    reads = _graph_reads(
        config, clock, guard=guard, redaction=redaction or Redaction(config.secrets), gate=gate, on_call=on_call
    )
    return GraphClient(reads, on_listed=on_listed)


def token_client(
    config: Config,
    clock: Clock,
    *,
    guard: Guard | None = None,
    redaction: Redaction | None = None,
    on_call: OnCall = ignore_call,
) -> TokenClient:
    """Build the client that exchanges, refreshes and inspects tokens; `redaction` learns each of them."""
    redaction = redaction or Redaction(config.secrets)
    return TokenClient(
        _graph_reads(config, clock, guard=guard, redaction=redaction, on_call=on_call),
        apps={login: App(*app) for login, app in apps_of(config).items()},
        code_url=f"{config.instagram_login_url}/oauth/access_token",
        learn=redaction.learn,
        clock=clock,
    )


def apps_of(config: Config) -> Mapping[str, tuple[str, str]]:
    """Return the id and the secret of the app of each login; both may be empty."""
    return {
        "facebook": (config.app_id, config.app_secret),
        "instagram": (config.instagram_app_id, config.instagram_app_secret),
    }


class AccountTokenParts(NamedTuple):
    """What every user of the tokens of accounts shares."""

    encryption: TokenEncryption
    current: CurrentTokens
    client: TokenClient
    states: TokenStates
    notices: TokenNotices
    table: AccountTokens

    def refresh(self, accounts: AccountResolver, clock: Clock, *, tries_refused: bool) -> TokenRefresh:
        """Build what checks and refreshes the tokens of accounts."""
        return TokenRefresh(
            accounts,
            self.current,
            self.table,
            self.client,
            encryption=self.encryption,
            states=self.states,
            notices=self.notices,
            tries_refused=tries_refused,
            clock=clock,
        )


def account_tokens(
    config: Config,
    clock: Clock,
    *,
    store: Store,
    notifications: Notifications,
    guard: Guard,
    redaction: Redaction,
    on_call: OnCall = ignore_call,
) -> AccountTokenParts:
    """Build the parts that hold, try and replace the tokens of accounts."""
    table, encryption = store.account_tokens, TokenEncryption(config.token_keys, learn=redaction.learn)
    notices = TokenNotices(table, notifications, store.clock)
    current = CurrentTokens(
        table,
        encryption,
        clock,
        configured=config.access_long_lived_token,
        calls_with=_calls_with(config),
        steps=TokenSteps([login for login, (app_id, secret) in apps_of(config).items() if app_id and secret]),
        on_refused=notices.refused,
    )
    client = token_client(config, clock, guard=guard, redaction=redaction, on_call=on_call)
    states = TokenStates(table, current, store.clock)
    return AccountTokenParts(encryption, current, client, states, notices, table)


def _calls_with(config: Config) -> str:
    """Return the settings on which it depends whether Instagram accepts a token, in one text, which is a secret."""
    urls = " ".join(f"{login} {url}" for login, url in sorted(config.graph_base_urls.items()))
    return f"{urls} {config.graph_auth_in} {config.graph_api_version} {config.app_id} {config.app_secret}"


def _graph_reads(
    config: Config,
    clock: Clock,
    *,
    guard: Guard | None,
    redaction: Redaction,
    on_call: OnCall,
    gate: TokenGate | None = None,
) -> GraphReads:
    return GraphReads(
        _transport("instagram", config, clock, on_call),
        base_urls=config.graph_base_urls,
        auth_in=config.graph_auth_in,
        version=config.graph_api_version,
        app_secret=config.app_secret,
        retries=Retries(budget=config.retry_budget, clock=clock),
        redaction=redaction,
        guard=guard or Guard(INSTAGRAM, clock, places=config.provider_parallel),
        gate=gate,
    )


def callback_checks(config: Config, clock: Clock) -> CallbackChecks:
    """Build the checks of the webhook's address on the internet."""
    return CallbackChecks(
        _transport(CALLBACK, config, clock, ignore_call),
        verify_token=config.webhook_verify_token,
        secrets=app_secrets(config),
        is_rehearsal=config.sandbox,
    )


def receiver_client(config: Config, clock: Clock, *, on_call: OnCall = ignore_call) -> ReceiverClient:
    """Build the client of the receiver of the outgoing webhook, with a time to answer of its own."""
    transport = Transport(
        RECEIVER,
        connect_timeout=3.05,
        read_timeout=RECEIVER_TIMEOUT,
        answer_timeout=RECEIVER_TIMEOUT,
        connections=1,
        clock=clock,
        on_call=on_call,
    )
    return ReceiverClient(transport, config.notify_url, config.notify_secrets)


def notified_events(config: Config) -> tuple[str, ...]:
    """Return the events that the outgoing webhook announces; none without a receiver."""
    return (config.notify_events or EVENTS) if config.notify_url else ()


def app_secrets(config: Config) -> Mapping[str, str]:
    """Return the secrets with which Meta signs deliveries, by login."""
    return {"facebook": config.app_secret, "instagram": config.instagram_app_secret}


def modash_client(
    config: Config,
    clock: Clock,
    *,
    guard: Guard | None = None,
    rate_limiter: RateLimiter | None = None,
    redaction: Redaction | None = None,
    on_call: OnCall = ignore_call,
) -> ModashClient:
    """Build the client of Modash; `rate_limiter` is for a guard that is made here."""
    return ModashClient(
        _transport("modash", config, clock, on_call),
        base_url=config.modash_base_url,
        key=config.modash_api_key,
        retries=Retries(budget=config.retry_budget, clock=clock),
        redaction=redaction or Redaction(config.secrets),
        guard=guard
        or Guard(
            MODASH,
            clock,
            places=config.provider_parallel,
            rate_limiter=rate_limiter or RateLimiter("modash", config.modash_rate, clock),
        ),
    )


def _transport(provider: str, config: Config, clock: Clock, on_call: OnCall) -> Transport:
    return Transport(
        provider,
        connect_timeout=config.connect_timeout,
        read_timeout=config.read_timeout,
        connections=config.provider_parallel,
        clock=clock,
        on_call=on_call,
        unreached_hint=SIMULATOR_HINT.format(port=config.simulator_port) if config.sandbox else UNREACHED_HINT,
    )


def purchase_policy(config: Config) -> PurchasePolicy:
    """Return what the settings say about buying reports."""
    return PurchasePolicy(
        fresh_for=config.performance_ttl,
        hold=config.uncertain_charge_hold,
        limit=round(config.modash_credit_limit * THOUSAND),
        retry_after=config.report_retry_after,
        max_retries=config.modash_max_retries,
        longest_call=longest_call(
            connect_timeout=config.connect_timeout, read_timeout=config.read_timeout, retry_budget=config.retry_budget
        ),
        longest_wait=longest_wait(retry_budget=config.retry_budget),
    )


def graceful_timeout(config: Config) -> int:
    """Return the seconds that the requests of a gateway which is stopped have to end.

    Enough for the longest call that may be charged: killed, it would be uncertain, and its creator could not be bought
    for UNCERTAIN_CHARGE_HOLD.
    """
    return max(30, math.ceil(purchase_policy(config).longest_call))


def may_refresh(guards: Mapping[str, Guard], account: str) -> bool:
    """Return whether the provider of an account, or of a source of reports, may be called in the background now."""
    return guards["modash" if account in REPORT_SOURCES else "instagram"].may_refresh(account)


def guards_of(config: Config, clock: Clock, store: Store, health: HealthRecorder) -> Mapping[str, Guard]:
    """Build the guard of each provider, whose limits all processes share."""
    places = config.provider_parallel
    throttles = {name: SharedThrottles(name, store.throttles, clock) for name in ("instagram", "modash")}
    shared = shared_rate_limit("modash", store.provider_turns)
    rate_limiter = RateLimiter("modash", config.modash_rate, clock, shared=shared, patience=patience)
    return {
        "instagram": Guard(INSTAGRAM, clock, places=places, throttles=throttles["instagram"], on_end=health.ended),
        "modash": Guard(MODASH, clock, places=places, rate_limiter=rate_limiter, throttles=throttles["modash"]),
    }
