"""The parameters of an insights call, checked in the order metric, period, metric_type, range, breakdown."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from simulator.graph.errors import UNKNOWN_ERROR, GraphError, parameter
from simulator.graph.metrics import (
    ACCEPTED,
    AUDIENCE,
    BREAKDOWNS,
    CURRENT_TIMEFRAMES,
    METRIC_TYPES,
    METRICS,
    PERIODS,
    TIMEFRAMES,
    Metric,
)
from simulator.graph.parameters import check_one_of, listed, moment
from simulator.graph.scope import Scope
from simulator.world.audience import is_online_known
from simulator.world.days import day_of

DAY_SECONDS = 86_400
WIDEST = 30 * DAY_SECONDS
LOOK_BACK = timedelta(days=729)
FOLLOWERS_LOOK_BACK = timedelta(days=30)


@dataclass(frozen=True)
class InsightQuery:
    """A call that can be answered."""

    metrics: tuple[Metric, ...]
    period: str
    is_total: bool
    breakdowns: tuple[str, ...]
    since: int
    until: int
    timeframe: str


def insight_query(scope: Scope) -> InsightQuery:
    """Read the parameters, or refuse the whole call for the first that is wrong."""
    query = scope.request.query
    metrics = _metrics(listed(query.get("metric")), scope.refused_metrics)
    period = _period(next(iter(listed(query.get("period"))), None), metrics)
    is_total = _is_total(query.get("metric_type"), period, metrics)
    since, until = _range(scope, metrics)
    breakdowns = _breakdowns(listed(query.get("breakdown")), metrics) if is_total else ()
    return InsightQuery(metrics, period, is_total, breakdowns, since, until, _timeframe(scope, metrics))


def _metrics(names: Sequence[str], refused: Collection[str]) -> tuple[Metric, ...]:
    if not names:
        raise parameter("The parameter metric is required")
    accepted = [name for name in ACCEPTED if name not in refused]
    for place, name in enumerate(names):
        check_one_of(f"metric[{place}]", name, accepted)
    return tuple(METRICS.get(name) or Metric(name, name, "", periods=PERIODS, has_series=True) for name in names)


def _period(period: str | None, metrics: Sequence[Metric]) -> str:
    if not period:
        raise parameter("The parameter period is required")
    check_one_of("period", period, PERIODS)
    for metric in metrics:
        if period not in metric.periods:
            raise _incompatible(period, metric)
    return period


def _is_total(metric_type: str | None, period: str, metrics: Sequence[Metric]) -> bool:
    if metric_type:
        check_one_of("metric_type", metric_type, METRIC_TYPES)
    is_total = metric_type == "total_value"
    unfit = [metric.name for metric in metrics if not (metric.has_total if is_total else metric.has_series)]
    if unfit:
        wanted = "time_series" if is_total else "total_value"
        names = ",".join(unfit)
        raise parameter(f"The following metrics ({names}) should be specified with parameter metric_type={wanted}")
    if is_total and period not in ("day", "lifetime"):
        raise _incompatible(period, metrics[0])
    return is_total


def _range(scope: Scope, metrics: Sequence[Metric]) -> tuple[int, int]:
    since, until, now = scope.request.query.get("since"), scope.request.query.get("until"), scope.now
    end = moment("until", until, scope) if until else int(now)
    start = moment("since", since, scope) if since else end - DAY_SECONDS
    if all(metric.is_audience for metric in metrics):
        return start, end
    if end - start > WIDEST and (not scope.by_instagram or scope.switches["igl_range_limit"]):
        raise parameter("There cannot be more than 30 days (2592000 s) between since and until")
    today = day_of(now)
    if start > now or day_of(start) < today - LOOK_BACK:
        raise parameter("since param is not valid. Metrics data is available for the last 2 years")
    for metric in metrics:
        if metric.name not in ("follower_count", "online_followers"):
            continue
        is_recent = (
            metric.name == "online_followers"
            and scope.switches["online_followers_recent"] == "refused"
            and not is_online_known(day_of(end), now)
        )
        if is_recent or day_of(start) < today - FOLLOWERS_LOOK_BACK:
            raise parameter(
                f"({metric.name}) metric only supports querying data for the last 30 days excluding the current day"
            )
    if start > end:
        raise parameter("The since parameter must be before the until parameter")
    return start, end


def _breakdowns(names: Sequence[str], metrics: Sequence[Metric]) -> tuple[str, ...]:
    for place, name in enumerate(names):
        check_one_of(f"breakdown[{place}]", name, BREAKDOWNS)
    for metric in metrics:
        if metric.breakdowns == AUDIENCE and not names:
            raise parameter(f"The parameter breakdown is required for metric ({metric.name})")
        if not set(names) <= set(metric.breakdowns) or (len(names) > 1 and not metric.crosses):
            raise GraphError(UNKNOWN_ERROR, 1)
    return tuple(names)


def _timeframe(scope: Scope, metrics: Sequence[Metric]) -> str:
    timeframe = scope.request.query.get("timeframe") or CURRENT_TIMEFRAMES[0]
    check_one_of("timeframe", timeframe, TIMEFRAMES)
    if timeframe in CURRENT_TIMEFRAMES:
        return timeframe
    for metric in metrics:
        # Meta's page still lists the withdrawn ones for follower_demographics; whether they work there is not known.
        is_listed = metric.name == "follower_demographics" and scope.switches["old_timeframes"] == "answered"
        if metric.is_audience and not is_listed:
            raise parameter(f"The following timeframes ({timeframe}) are incompatible with the metric ({metric.name})")
    return timeframe


def _incompatible(period: str, metric: Metric) -> GraphError:
    return parameter(f"The following periods ({period}) are incompatible with the metric ({metric.name})")
