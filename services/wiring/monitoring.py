"""What `GET /metrics` answers with."""

from __future__ import annotations

from config import Config
from services.accounts.resolver import AccountResolver
from services.accounts.token_states import TokenStates
from services.monitoring.exposition import Monitoring
from services.monitoring.measurements import Measurements
from services.monitoring.readiness import Readiness
from services.monitoring.shared_counts import Exchange
from services.monitoring.state import GatewayState, breaker_values
from services.quota import Quota
from services.reports.balance import CreditBalance
from services.store.store import Store
from services.wiring.provider_clients import (
    purchase_policy,
)
from services.wiring.reports import report_source_of


def monitoring_of(
    config: Config,
    measurements: Measurements,
    *,
    store: Store,
    quota: Quota,
    balance: CreditBalance,
    tokens: TokenStates,
    accounts: AccountResolver,
) -> Monitoring:
    """Build what GET /metrics answers with."""
    measurements.register_gauges(lambda: breaker_values(quota.breakers()))
    state = GatewayState(
        store,
        readiness=Readiness(store, quota, clock=store.clock),
        quota=quota,
        balance=balance,
        policy=purchase_policy(config),
        tokens=tokens,
        accounts=accounts,
        source=report_source_of(config),
        clock=store.clock,
    )
    build = {"mode": config.providers, "graph_api_version": config.graph_api_version}
    return Monitoring(Exchange(measurements, store.counters, clock=store.clock), state, build=build)
