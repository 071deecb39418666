"""Media insights: the numbers of one post or story, or the reason why there are none."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from simulator.graph.error_table import ROWS
from simulator.graph.errors import GraphError, missing_object, parameter
from simulator.graph.fields import Field, Node
from simulator.graph.media_flags import (
    had_impressions,
    has_profile_activity,
    is_before_conversion,
    is_on_facebook,
    is_without_views,
    numbers_of,
)
from simulator.graph.media_metrics import (
    ACCEPTED_FOR_MEDIA,
    AD,
    FACEBOOK_LOGIN_ONLY,
    FEED,
    LIFETIME,
    MEDIA_BREAKDOWNS,
    MEDIA_METRICS,
    OF_FACEBOOK,
    STORY,
    MediaMetric,
)
from simulator.graph.metrics import METRIC_TYPES, PERIODS
from simulator.graph.parameters import check_one_of, listed
from simulator.graph.permissions import are_insights_empty
from simulator.graph.scope import Scope
from simulator.world.media_numbers import MediaNumbers
from simulator.world.posts import Post

FEWEST = 5  # viewers, or of anything, below which a story shows nothing
Insights = Callable[[Field], dict[str, Any] | None]


def insights_of(media: Post, scope: Scope) -> Insights:
    """Return the field `insights` of a media; the modifiers of the field that asks are the parameters."""

    def insights(asked: Field) -> dict[str, Any] | None:
        scope.expansions.count()
        call = _MediaInsights(media, scope, asked.modifiers)
        try:
            return _with_fields(call.answer(), asked.children)
        except GraphError:
            is_edge = scope.request.path.rstrip("/").endswith("/insights")
            if is_edge or scope.switches["expansion_refusals"] == "page":
                raise
            return None

    return insights


def media_insights_edge(node: Node, scope: Scope, fields: Sequence[Field]) -> dict[str, Any]:
    """Answer `GET /<MEDIA_ID>/insights`; the pictures of an album have none."""
    insights: Insights | None = node.values.get("insights")
    if insights is None:
        if scope.switches["album_child_insights"] == "empty":
            return {"data": []}
        raise missing_object(node.values["id"])
    query = scope.request.query
    names = ("metric", "breakdown", "period", "metric_type")
    given = {name: query[name] for name in names if name in query}
    if not listed(given.get("metric")):
        raise parameter("The parameter metric is required")
    answer = insights(Field("insights", given, tuple(fields)))
    return {"data": []} if answer is None else answer


class _MediaInsights:
    """One call; the first wrong one of its parameters refuses it, in the order metric, period, breakdown."""

    def __init__(self, media: Post, scope: Scope, options: Mapping[str, str]) -> None:
        self._media, self._scope, self._options = media, scope, options
        is_ad_as_feed = media.media_product_type == AD and scope.switches["ad_insights"] == "feed"
        self._product = FEED if is_ad_as_feed else media.media_product_type
        self._asked = self._metrics()
        self._check_period(self._asked)
        self._broken_down_by = self._breakdowns()

    def answer(self) -> dict[str, Any]:
        """Return the values, or refuse what this media does not have."""
        metrics, breakdowns = self._asked, self._broken_down_by
        if is_before_conversion(self._media, self._scope.switches):
            raise ROWS["100/2108006"].error
        self._check_support(metrics)
        self._check_breakdowns(metrics, breakdowns)
        if are_insights_empty(self._scope):
            return {"data": []}
        numbers = numbers_of(self._media, self._scope.now, self._scope.switches)
        self._check_viewers(metrics, numbers)
        dropped = self._scope.dropped_metrics
        return {"data": [self._item(metric, breakdowns, numbers) for metric in metrics if metric.name not in dropped]}

    def _metrics(self) -> list[MediaMetric]:
        names = listed(self._options.get("metric"))
        if not names:
            raise parameter("For field 'insights': The parameter metric is required")
        accepted = [name for name in ACCEPTED_FOR_MEDIA if self._is_listed(name)]
        for place, name in enumerate(names):
            check_one_of(f"metric[{place}]", name, accepted)
        return [MEDIA_METRICS[name] for name in names]

    def _is_listed(self, name: str) -> bool:
        switches, is_total = self._scope.switches, self._options.get("metric_type") == "total_value"
        if name == "views" and switches["views_needs_metric_type"] and not is_total:
            return False
        is_unlisted = self._scope.by_instagram and switches["igl_facebook_metrics"] == "unlisted"
        return not (is_unlisted and name in FACEBOOK_LOGIN_ONLY)

    def _check_period(self, metrics: Sequence[MediaMetric]) -> None:
        if metric_type := self._options.get("metric_type"):
            check_one_of("metric_type", metric_type, METRIC_TYPES)
        for place, period in enumerate(listed(self._options.get("period"))):
            check_one_of(f"period[{place}]", period, PERIODS)
            if period != LIFETIME:
                raise parameter(
                    f"The following periods ({period}) are incompatible with the metric ({metrics[0].name})"
                )

    def _breakdowns(self) -> list[str]:
        breakdowns = listed(self._options.get("breakdown"))
        for place, name in enumerate(breakdowns):
            check_one_of(f"breakdown[{place}]", name, MEDIA_BREAKDOWNS)
        return breakdowns

    def _check_support(self, metrics: Sequence[MediaMetric]) -> None:
        """Refuse metrics that this media does not have; an Instagram login is given the names of all of them."""
        unsupported = [metric.name for metric in metrics if not self._is_supported(metric)]
        if unsupported:
            named = ", ".join(unsupported if self._scope.by_instagram else unsupported[:1])
            raise parameter(f"The Media Insights API does not support the {named} metric for this media product type.")
        names = {metric.name for metric in metrics}
        if "impressions" in names and not had_impressions(self._media):
            raise parameter(
                "Starting from version v22.0 and above, the impressions metric is no longer supported for the queried "
                "media. Please refer to the documentation at "
                "https://developers.facebook.com/docs/instagram-api/reference/ig-media/insights for a list of "
                "supported metrics."
            )
        if names & OF_FACEBOOK and not is_on_facebook(self._media, self._scope.switches):
            raise ROWS["-1/2207086"].error
        if "total_views" in names and self._scope.switches["total_views"] == "refused":
            raise ROWS["200"].error

    def _is_supported(self, metric: MediaMetric) -> bool:
        name, switches = metric.name, self._scope.switches
        if self._product not in metric.products or name in self._scope.refused_metrics:
            return False
        if name in FACEBOOK_LOGIN_ONLY and self._scope.by_instagram and switches["igl_facebook_metrics"] != "answered":
            return False
        if name == "views" and is_without_views(self._media, switches):
            return False
        if name == "profile_activity":
            return has_profile_activity(self._media, switches)
        # Of newer videos this text came live, of newer images the one about versions.
        return not (name == "impressions" and self._media.media_type == "VIDEO" and not had_impressions(self._media))

    def _check_breakdowns(self, metrics: Sequence[MediaMetric], breakdowns: Sequence[str]) -> None:
        for metric in metrics:
            foreign = [name for name in breakdowns if name != metric.breakdown]
            if foreign:
                raise parameter(f"Incompatible breakdowns ({', '.join(foreign)}) for metric ({metric.name})")
            if metric.breakdown and not breakdowns and self._scope.switches["plain_navigation"] == "refused":
                raise parameter(f"The metric ({metric.name}) should be specified with parameter breakdown")

    def _check_viewers(self, metrics: Sequence[MediaMetric], numbers: MediaNumbers) -> None:
        if self._product != STORY:
            return
        names = ("reach",) if self._scope.switches["story_minimum"] == "viewers" else [each.name for each in metrics]
        if any(numbers.metrics[name] < FEWEST for name in names):
            raise ROWS["10-viewers"].error

    def _item(self, metric: MediaMetric, breakdowns: Sequence[str], numbers: MediaNumbers) -> dict[str, Any]:
        value = numbers.metrics[metric.name]
        total: dict[str, Any] = {}
        if breakdowns:
            buckets = numbers.buckets[metric.name]
            results = [{"dimension_values": [name.lower()], "value": part} for name, part in buckets.items() if part]
            total = {"value": value, "breakdowns": [{"dimension_keys": list(breakdowns), "results": results}]}
        elif self._options.get("metric_type") == "total_value":
            total = {"value": value}
        return {
            "name": metric.name,
            "period": LIFETIME,
            "values": [{"value": value}],
            "title": metric.title,
            "description": metric.description,
            **({"total_value": total} if total else {}),
            "id": f"{self._media.id}/insights/{metric.name}/{LIFETIME}",
        }


def _with_fields(answer: dict[str, Any], fields: Sequence[Field]) -> dict[str, Any]:
    """Return an answer whose items have only some fields, and always their ids."""
    if not fields:
        return answer
    names = [field.name for field in fields]
    return {"data": [dict(_chosen(item, [*names, "id"])) for item in answer["data"]]}


def _chosen(item: Mapping[str, Any], names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    return ((name, item[name]) for name in dict.fromkeys(names) if name in item)
