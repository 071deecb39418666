"""What Instagram refuses of media, remembered so that it is not asked for again: metrics by type, and whole media."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from services.cache.cache import Cache
from services.cache.entries import CacheEntry
from services.cache.failure_text import deserialize, serialize
from services.cache.policies import (
    ANSWERED_MEDIA,
    FEW_BEFORE,
    FEW_OF_METRIC,
    FEW_VIEWERS,
    REFUSED_MEDIA,
    REFUSED_MEDIA_METRIC,
    REFUSED_ONCE,
    UNKNOWN_MEDIA,
    FixedTTL,
    FreshnessPolicy,
    Json,
)
from services.errors import InsufficientViewersError, MediaTooOldError, ObjectNotFoundError, ProviderError
from services.store.cache_entries import CacheKey

FEW = "insufficient_viewers"


class AlbumChildError(ProviderError):
    """The media is a picture or video within an album; only the album has insights."""

    status = 422
    code = "album_child"


OF_WHOLE_MEDIA = (MediaTooOldError, ObjectNotFoundError)
OF_ONE_MEDIA = (InsufficientViewersError, *OF_WHOLE_MEDIA)  # The first may be about a metric.

OF_MEDIA: Mapping[type[ProviderError], FixedTTL] = {
    MediaTooOldError: REFUSED_MEDIA,
    AlbumChildError: REFUSED_MEDIA,
    InsufficientViewersError: FEW_VIEWERS,
    ObjectNotFoundError: UNKNOWN_MEDIA,
}
"""The failures that are about one media as a whole, and for how long each is remembered."""


@dataclass(frozen=True)
class MediaRefusal:
    """That Instagram refuses a metric: why, in its own words where there are some, since when and until when.

    Both moments are Unix seconds; when the second is over, it is asked for again.
    """

    reason: str
    message: str
    since: float
    until: float


@dataclass(frozen=True)
class RefusedMedia:
    """That Instagram refuses all insights of one media: the failure, since when and until when (Unix seconds)."""

    failure: ProviderError
    since: float
    until: float


@dataclass(frozen=True)
class AnsweredMetrics:
    """The metrics that Instagram answers for a type of media, and those of them that it answers as totals only."""

    metrics: frozenset[str] = frozenset()
    as_totals: frozenset[str] = frozenset()


class MediaRefusals:
    """The refusals of all accounts; a metric is refused for a product type, or for one media only."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def of_metrics(
        self, account: str, product_type: str, metrics: Collection[str], *, media_id: str | None = None
    ) -> dict[str, MediaRefusal]:
        """Return which of the metrics are refused for a type of media, or for this one media."""
        keys = {_type_key(product_type, metric): metric for metric in metrics}
        policies: dict[CacheKey, FreshnessPolicy] = dict.fromkeys(keys, REFUSED_MEDIA_METRIC)
        if media_id is not None:
            own = {_metric_key(media_id, metric): metric for metric in metrics}
            few = {_few_key(media_id, metric): metric for metric in metrics}
            keys |= own | few
            policies |= dict.fromkeys(own, REFUSED_MEDIA_METRIC) | dict.fromkeys(few, FEW_OF_METRIC)
        found = self._cache.peek(account, policies)
        # In this order: what is said of the media itself counts before what is said of its type.
        return {keys[key]: _refusal(found[key]) for key in policies if key in found}

    def of_single_media(self, account: str, media_ids: Collection[str], metrics: Collection[str]) -> set[str]:
        """Return which of the media refuse one of the metrics that others of their type have."""
        keys = {_metric_key(media_id, metric): media_id for media_id in media_ids for metric in metrics}
        few = {_few_key(media_id, metric): media_id for media_id in media_ids for metric in metrics}
        policies: dict[CacheKey, FreshnessPolicy] = dict.fromkeys(keys, REFUSED_MEDIA_METRIC)
        policies |= dict.fromkeys(few, FEW_BEFORE)
        return {(keys | few)[key] for key in self._cache.peek(account, policies)} if policies else set()

    def few_before(self, account: str, media_id: str, metrics: Collection[str]) -> set[str]:
        """Return of which metrics a story had too little within the last day; they are asked for alone."""
        keys = {_few_key(media_id, metric): metric for metric in metrics}
        found = self._cache.peek(account, dict.fromkeys(keys, FEW_BEFORE))
        return {keys[key] for key in found}

    def of_many(
        self, account: str, types: Mapping[str, str], metrics: Collection[str]
    ) -> dict[tuple[str, str], MediaRefusal]:
        """Return which metrics are refused for which of many media, whose product types are given by their ids."""
        of_types = {_type_key(type_, metric): (type_, metric) for type_ in set(types.values()) for metric in metrics}
        own = {_metric_key(media_id, metric): (media_id, metric) for media_id in types for metric in metrics}
        few = {_few_key(media_id, metric): (media_id, metric) for media_id in types for metric in metrics}
        of_ids = own | few
        policies: dict[CacheKey, FreshnessPolicy] = dict.fromkeys([*of_types, *own], REFUSED_MEDIA_METRIC)
        policies |= dict.fromkeys(few, FEW_OF_METRIC)
        peeked = self._cache.peek(account, policies)
        found = {key: _refusal(peeked[key]) for key in policies if key in peeked}
        by_type = {of_types[key]: refusal for key, refusal in found.items() if key in of_types}
        by_id = {of_ids[key]: refusal for key, refusal in found.items() if key in of_ids}
        inherited = {
            (media_id, metric): by_type[type_, metric]
            for media_id, type_ in types.items()
            for metric in metrics
            if (type_, metric) in by_type
        }
        return inherited | by_id

    def note_metrics(
        self, account: str, product_type: str, refused: Mapping[str, tuple[str, str]], *, media_id: str | None = None
    ) -> None:
        """Remember the reason and the words of each refused metric, for a type of media or for one media only."""
        noted: dict[CacheKey, tuple[Json, FreshnessPolicy]] = {}
        for metric, (reason, message) in refused.items():
            value = {"reason": reason, "message": message}
            if media_id is None:
                noted[_type_key(product_type, metric)] = (value, REFUSED_MEDIA_METRIC)
            elif reason == FEW:
                noted[_few_key(media_id, metric)] = (value, FEW_OF_METRIC)
            else:
                noted[_metric_key(media_id, metric)] = (value, REFUSED_MEDIA_METRIC)
        if noted:
            self._cache.put(account, noted)

    def of_media(self, account: str, media_ids: Collection[str]) -> dict[str, RefusedMedia]:
        """Return which of the media have no insights: never, or not at the moment."""
        keys = {_media_key(media_id, error): media_id for media_id in media_ids for error in OF_MEDIA}
        policies: dict[CacheKey, FreshnessPolicy] = {
            _media_key(media_id, error): policy for media_id in media_ids for error, policy in OF_MEDIA.items()
        }
        return {
            keys[key]: RefusedMedia(deserialize(str(entry.value["failure"])), entry.fetched_at, entry.expires_at)
            for key, entry in self._cache.peek(account, policies).items()
        }

    def note_media(self, account: str, media_id: str, failure: ProviderError) -> None:
        """Remember that a media has no insights, if the failure says so (`OF_MEDIA`)."""
        if (policy := OF_MEDIA.get(type(failure))) is not None:
            self._cache.put(account, {_media_key(media_id, type(failure)): ({"failure": serialize(failure)}, policy)})

    def answered(self, account: str, product_type: str) -> AnsweredMetrics:
        """Return what Instagram has answered for a type of media."""
        key = _answered_key(product_type)
        entry = self._cache.peek(account, {key: ANSWERED_MEDIA}).get(key)
        if entry is None:
            return AnsweredMetrics()
        return AnsweredMetrics(_names(entry.value, "metrics"), _names(entry.value, "as_totals"))

    def refused_by_others(self, account: str, product_type: str, metrics: Collection[str], media_id: str) -> set[str]:
        """Note that a media refuses metrics of its type; return those that another one has refused since any had them.

        One media may be odd. If two refuse what no media has answered between them, Meta has withdrawn the metric.
        """
        keys = {_once_key(product_type, metric): metric for metric in metrics}
        found = self._cache.peek(account, dict.fromkeys(keys, REFUSED_ONCE))
        others = {keys[key] for key, entry in found.items() if entry.value["media"] not in {None, media_id}}
        self._note_once(account, product_type, set(metrics) - others, media_id)
        return others

    def _note_once(self, account: str, product_type: str, metrics: Collection[str], media_id: str | None) -> None:
        if metrics:
            value = {"media": media_id}
            self._cache.put(account, {_once_key(product_type, metric): (value, REFUSED_ONCE) for metric in metrics})

    def note_answered(
        self, account: str, product_type: str, metrics: Collection[str], *, as_totals: Collection[str] = ()
    ) -> None:
        """Remember that Instagram has answered metrics for a type of media.

        A refusal of such a metric by another media of the type is then about that media alone.
        """
        keys = {_once_key(product_type, metric): metric for metric in metrics}
        once = self._cache.peek(account, dict.fromkeys(keys, REFUSED_ONCE))
        self._note_once(account, product_type, {keys[key] for key, each in once.items() if each.value["media"]}, None)
        known = self.answered(account, product_type)
        if known.metrics >= set(metrics) and known.as_totals >= set(as_totals):
            return
        value = {
            "metrics": sorted(known.metrics | set(metrics)),
            "as_totals": sorted(known.as_totals | set(as_totals)),
        }
        self._cache.put(account, {_answered_key(product_type): (value, ANSWERED_MEDIA)})


def _refusal(entry: CacheEntry) -> MediaRefusal:
    return MediaRefusal(str(entry.value["reason"]), str(entry.value["message"]), entry.fetched_at, entry.expires_at)


def _names(value: Json, name: str) -> frozenset[str]:
    names = value.get(name)
    return frozenset(map(str, names)) if isinstance(names, list) else frozenset()


def _type_key(product_type: str, metric: str) -> CacheKey:
    return CacheKey(f"refused media/{product_type}", metric)


def _metric_key(media_id: str, metric: str) -> CacheKey:
    return CacheKey(f"refused media/id/{media_id}", metric)


def _once_key(product_type: str, metric: str) -> CacheKey:
    return CacheKey(f"refused media/{product_type}", f"once/{metric}")


def _few_key(media_id: str, metric: str) -> CacheKey:
    return CacheKey(f"refused media/id/{media_id}", f"few/{metric}")


def _media_key(media_id: str, error: type[ProviderError]) -> CacheKey:
    return CacheKey(f"refused media/id/{media_id}", f"all/{error.code}")


def _answered_key(product_type: str) -> CacheKey:
    return CacheKey(f"answered media/{product_type}")
