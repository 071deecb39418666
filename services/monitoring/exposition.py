"""GET /metrics: everything that is counted, in the text format of Prometheus."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from services.monitoring import metric_families
from services.monitoring.measurements import Key
from services.monitoring.metric_families import BUCKETS, FAMILIES
from services.monitoring.shared_counts import Exchange
from services.monitoring.state import GatewayState, Sample, is_visible
from services.store.counters import ProcessGauges

BOUNDS = (*(f"{bound:g}" for bound in BUCKETS), "+Inf")
OF_BREAKERS = frozenset({metric_families.BREAKER_STATE, metric_families.ACCOUNTS_PAUSED})


class Monitoring:
    """Writes the metrics of all processes; each of them writes the same ones."""

    def __init__(self, exchange: Exchange, state: GatewayState, *, build: dict[str, str]) -> None:
        """Build it; `build` are the labels of the metric that names this release."""
        self._exchange = exchange
        self._state = state
        self._build = build

    def share(self) -> None:
        """Add what this process has counted to the common counts; raises `DatabaseUnavailableError`."""
        self._exchange.share()

    def close(self) -> None:
        """Add what this process has counted last."""
        self._exchange.close()

    def exposition(self, *, version: str, accounts: Collection[str] | None) -> bytes:
        """Return the metrics of a release in the text format; without the database what this process knows.

        For a caller of some `accounts` there is no series of other ones, and none that counts them.
        """
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collected(list(self._collect(version, accounts))))
        return generate_latest(registry)

    def _collect(self, version: str, accounts: Collection[str] | None) -> Iterator[Metric]:
        counts = {key: value for key, value in self._exchange.counts().items() if _fits(*key)}
        build = self._build | {"version": version}
        found = [
            *self._state.samples(accounts),
            *_of_processes(self._exchange.gauges()),
            Sample(
                metric_families.BUILD_INFO,
                tuple(build[name] for name in FAMILIES[metric_families.BUILD_INFO].labels),
                1,
            ),
        ]
        samples = [sample for sample in found if is_visible(sample, accounts)]
        for name, family in FAMILIES.items():
            if family.kind == "counter":
                yield _counter(name, counts)
            elif family.kind == "histogram":
                yield _histogram(name, counts)
            else:
                yield _gauge(name, [sample for sample in samples if sample.family == name])


class _Collected(Collector):
    """Families that were collected before, in the form in which the library takes them."""

    def __init__(self, collected: Sequence[Metric]) -> None:
        self._collected = collected

    def collect(self) -> Sequence[Metric]:
        return self._collected


def _fits(name: str, labels: tuple[str, ...]) -> bool:
    """Return whether a count has the labels of its family; a row that was written by another program need not."""
    family = FAMILIES.get(name)
    return family is not None and len(labels) == len(family.labels) + (family.kind == "histogram")


def _counter(name: str, counts: Mapping[Key, float]) -> Metric:
    family = CounterMetricFamily(name, FAMILIES[name].help, labels=FAMILIES[name].labels)
    if not FAMILIES[name].labels:  # Prometheus sees no increase where a series begins.
        counts = {(name, ()): 0, **counts}
    for (of, labels), value in sorted(counts.items()):
        if of == name:
            family.add_metric(labels, value)
    return family


def _gauge(name: str, samples: Iterable[Sample]) -> Metric:
    family = GaugeMetricFamily(name, FAMILIES[name].help, labels=FAMILIES[name].labels)
    for sample in samples:
        family.add_metric(sample.labels, sample.value)
    return family


def _histogram(name: str, counts: Mapping[Key, float]) -> Metric:
    """Return a family whose buckets are cumulative, as the format wants them; they are counted one by one."""
    found: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for (of, labels), value in counts.items():
        if of == name:
            found[labels[:-1]][labels[-1]] = value
    family = HistogramMetricFamily(name, FAMILIES[name].help, labels=FAMILIES[name].labels)
    for labels, values in sorted(found.items()):
        total, buckets = 0.0, []
        for bound in BOUNDS:
            total += values.get(bound, 0.0)
            buckets.append((bound, total))
        family.add_metric(labels, buckets, sum_value=values.get("sum", 0.0))
    return family


def _of_processes(processes: Sequence[ProcessGauges]) -> Iterator[Sample]:
    """Yield what is added up over all processes, and of the breakers the worst."""
    yield Sample(metric_families.PROCESSES, (), len(processes))
    name = metric_families.RESPONSE_CACHE_BYTES
    yield Sample(name, (), sum(process.values.get(name, 0) for process in processes))
    worst: dict[str, float] = {}
    for process in processes:
        for key, value in process.values.items():
            if key.partition(" ")[0] in OF_BREAKERS:
                worst[key] = max(value, worst.get(key, 0))
    for key, value in sorted(worst.items()):
        family, _, provider = key.partition(" ")
        yield Sample(family, (provider,), value)
