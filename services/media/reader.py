"""The insights of one media as values: from the cache, from what was kept of a story, else from Instagram."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

from services import request_context
from services.cache.cache import Cache
from services.cache.entries import CacheEntry
from services.cache.fetch_request import FetchResult, Keep
from services.cache.policies import DAY, MEDIA_NODE, FreshnessPolicy, Json
from services.clients.error_mapping import provider_error
from services.clients.graph.client import GraphClient
from services.clients.graph.error_codes import INSTAGRAM_RULES
from services.clients.graph.models import Account, Item, media_id_of
from services.clock import Clock
from services.errors import Charge, InsufficientViewersError, ObjectNotFoundError, ProviderError, reason_of
from services.executors import Executor
from services.media.caching import MediaValuePolicy, media_keys, node_key
from services.media.catalogue import FEED, MEDIA_METRICS, STORY
from services.media.errors import no_such_media, story_expired
from services.media.fetcher import SPLIT_FOR, UNKNOWN_TYPE, MediaFetch, MediaFetcher, note_refusals
from services.media.index import MediaIndex, media_row
from services.media.kept_stories import KeptStories
from services.media.known_refusals import FEW, OF_MEDIA, AlbumChildError, MediaRefusals, RefusedMedia
from services.media.live_story import LiveStory
from services.media.story_values import STORY_LIFE, StoryValue, ends_at, polled, values_of
from services.media.too_few_viewers import ViewersCheck
from services.media.values import MediaValue, media_value_as_json, media_value_of
from services.store.cache_entries import CacheKey
from services.store.database import DatabaseUnavailableError
from services.store.media import MediaRow

NODE_FIELDS = ("id", "media_type", "media_product_type", "permalink", "timestamp")
NODE_SHOWN = frozenset({"media_type", "media_product_type", "timestamp"})  # a media that is shown has one at least


class LastingEntry(NamedTuple):
    """What a later request finds again for a metric until it expires: a fresh value, or that the metric is refused."""

    entry: CacheEntry
    is_refusal: bool = False


@dataclass(frozen=True)
class MediaInsights:
    """A value for each requested metric, the cache entries they were made of, and whether something is missing.

    `failures` are those of metrics that could not be read, `waits` the seconds until one is asked for again of which
    there was too little. `has_ended` says that the media is a story that is over. `kept` has what was kept of such a
    story, also under names of metrics that Meta removed. `lasting` is empty where a failure is about the whole media.
    """

    values: Mapping[str, MediaValue]
    entries: Sequence[CacheEntry]
    failures: Mapping[str, ProviderError] = field(default_factory=dict)
    has_ended: bool = False
    kept: Mapping[str, StoryValue] = field(default_factory=dict)
    waits: Mapping[str, int] = field(default_factory=dict)
    lasting: Mapping[str, LastingEntry] = field(default_factory=dict)

    def answered_by(self, metric: str) -> str | None:
        """Return the metric whose number answers a requested one that was never read."""
        return self.kept[metric].answered_by if metric in self.kept else None


class MediaReader:
    """Reads what services request of single media."""

    def __init__(
        self,
        graph: GraphClient,
        executor: Executor,
        *,
        cache: Cache,
        index: MediaIndex,
        refusals: MediaRefusals,
        kept_stories: KeptStories,
        viewers: ViewersCheck,
        clock: Clock,
    ) -> None:
        self._graph = graph
        self._executor = executor
        self._cache = cache
        self._index = index
        self._refusals = refusals
        self._kept_stories = kept_stories
        self._viewers = viewers
        self._clock = clock

    def media(self, account: Account, media_id: str) -> MediaRow:
        """Return what a media is: from the index, else from Instagram. Raises the failure where neither knows it.

        A caller of some accounts gets one and the same failure for a media that does not exist and for one of an
        account that it may not see: both are asked for with the token of `account`, which is one that it may see.
        """
        try:
            return self._media(account, media_id)
        except ObjectNotFoundError:
            if request_context.caller().accounts is None:
                raise
            raise no_such_media() from None

    def _media(self, account: Account, media_id: str) -> MediaRow:
        known = self._index.find(media_id)
        if known is not None and known.account != account.id:
            raise _not_here("The media belongs to another account.")
        if known is not None and known.product_type is not None and known.created_at is not None:
            return known
        story = self._kept_stories.known(account.id, media_id) if known is None else None
        if story is not None and story.numbers:  # No list has shown it; mostly, only a webhook has reported it.
            return MediaRow(media_id, account.id, STORY, story.media_type, story.created_at)
        refused = self._refusals.of_media(account.id, [media_id]).get(media_id)
        if known is None and refused is not None:
            raise self._remembered(refused)
        try:
            node = self._cache.get_or_fetch(
                account.id, node_key(media_id), MEDIA_NODE, partial(self._node, account, media_id), provider="instagram"
            ).value
        except ObjectNotFoundError as error:
            if known is not None:
                return known
            self._refusals.note_media(account.id, media_id, error)
            raise
        return media_row(node, account.id) or MediaRow(media_id, account.id)

    def read(self, account: Account, media: MediaRow, metrics: Sequence[str]) -> MediaInsights:
        """Return a value for each metric, which must be current ones.

        What could not be fetched has a failure; where nothing was found at all, a failure is raised.
        """
        if self._has_ended(account, media):
            return self._kept(account, media, metrics)
        policies = self._policies(media, metrics)
        refusals = self._refusals.of_metrics(account.id, _type_of(media), metrics, media_id=media.id)
        ruled_out = {name: MediaValue(None, each.reason, each.message or None) for name, each in refusals.items()}
        refused = self._refusals.of_media(account.id, [media.id]).get(media.id)
        found: dict[str, CacheEntry] = {}
        failures: dict[str, ProviderError] = {}
        rest = [metric for metric in metrics if metric not in ruled_out]
        if refused is not None:
            failures = dict.fromkeys(rest, self._remembered(refused))
        elif rest:
            keys = media_keys(media.id, rest)
            fetch = partial(self._fetch, account, media)
            wanted = {key: policies[key] for key in keys}
            for key, each in self._cache.get_or_fetch_many(account.id, wanted, fetch, provider="instagram").items():
                if isinstance(each, ProviderError):
                    failures[keys[key]] = each
                else:
                    found[keys[key]] = each
        found |= self._known(account, media, [*ruled_out, *failures], policies)
        failures = {metric: error for metric, error in failures.items() if metric not in found}
        of_media = [each for each in failures.values() if isinstance(each, tuple(OF_MEDIA))]
        of_media += [refused.failure] if refused is not None and metrics else []
        if of_media and not any(media_value_of(entry.value).is_known for entry in found.values()):
            raise of_media[0]  # It says more than what the type of media lacks.
        if failures and not found and not ruled_out:
            raise next(iter(failures.values()))
        values = ruled_out | {metric: media_value_of(entry.value) for metric, entry in found.items()}
        values |= {metric: _failed(error) for metric, error in failures.items()}
        # What is refused for good says nothing of the age of the numbers, where there are some.
        lasting = {
            metric: LastingEntry(CacheEntry({}, each.since, each.until), is_refusal=True)
            for metric, each in refusals.items()
        }
        entries = list(found.values()) or [each.entry for each in lasting.values()]
        requested = {metric: values[metric] for metric in metrics}
        waits = self._waits(account, media, requested)
        lasting = {metric: each for metric, each in lasting.items() if metric not in waits and metric not in found}
        lasting |= {metric: LastingEntry(entry) for metric, entry in found.items() if _is_lasting(entry)}
        return MediaInsights(requested, entries, failures, waits=waits, lasting=lasting if refused is None else {})

    def _waits(self, account: Account, media: MediaRow, values: Mapping[str, MediaValue]) -> dict[str, int]:
        """Return after how many seconds metrics are asked for again of which a story has too little."""
        few = [metric for metric, value in values.items() if value.reason == FEW]
        refusals = self._refusals.of_metrics(account.id, _type_of(media), few, media_id=media.id) if few else {}
        return {metric: self._seconds_until(refusal.until) for metric, refusal in refusals.items()}

    def _seconds_until(self, moment: float) -> int:
        return max(1, math.ceil(moment - self._clock.timestamp()))

    def _node(self, account: Account, media_id: str, _cached: CacheEntry | None) -> Json:
        """Read what a media is, and note it."""
        is_shared_token = account.login == "facebook"  # It may read the media of several accounts.
        fields = (*NODE_FIELDS, "owner") if is_shared_token else NODE_FIELDS
        if request_context.caller().accounts is not None:
            check = partial(_check_is_shown, account)
            node = self._graph.media(account, media_id, fields, check=check)
        else:
            node = self._graph.media(account, media_id, fields)
        if not node.keys() & NODE_SHOWN:
            raise _not_here("Instagram shows nothing of the media; a story that is over is one reason.")
        owner = node.get("owner")
        owner_id = media_id_of(owner) if isinstance(owner, dict) else None
        if is_shared_token and owner_id is not None and owner_id != account.id:
            self._index.saw(replace(account, id=owner_id), [node])
            raise _not_here("The media belongs to another account.")
        self._index.saw(account, [node])
        return {name: node[name] for name in NODE_FIELDS if name in node} | {"id": media_id}

    def _remembered(self, refused: RefusedMedia) -> ProviderError:
        """Return a failure that is remembered, with the time until the media is asked for again if it may change."""
        if isinstance(refused.failure, InsufficientViewersError):
            refused.failure.retry_after = self._seconds_until(refused.until)
        return refused.failure

    def _policies(self, media: MediaRow, metrics: Collection[str]) -> dict[CacheKey, FreshnessPolicy]:
        return dict.fromkeys(media_keys(media.id, metrics), MediaValuePolicy(media.created_at))

    def _has_ended(self, account: Account, media: MediaRow) -> bool:
        if media.product_type != STORY:
            return False
        if media.created_at is not None:
            return self._clock.timestamp() >= media.created_at + STORY_LIFE
        story = self._kept_stories.known(account.id, media.id)
        return story is not None and self._clock.timestamp() >= ends_at(story)

    def _kept(self, account: Account, media: MediaRow, metrics: Sequence[str]) -> MediaInsights:
        """Return what is known of a story that is over; Instagram is not asked for it any more."""
        kept = self._kept_values(account, media)
        found = self._known(account, media, metrics, self._policies(media, metrics), kept)
        values = {metric: media_value_of(entry.value) for metric, entry in found.items()}
        values |= self._unread(account, media, [metric for metric in metrics if metric not in found], kept)
        gone = [metric for metric, value in values.items() if value.reason == "story_expired"]
        if gone and not found:
            raise story_expired(gone)
        now = self._clock.timestamp()
        read_at = min((entry.fetched_at for entry in found.values()), default=now)
        return MediaInsights(
            {metric: values[metric] for metric in metrics},
            [CacheEntry({}, read_at, now + DAY)],
            has_ended=True,
            kept={name: each for name, each in kept.items() if each.value.is_known},
        )

    def _kept_values(self, account: Account, media: MediaRow) -> Mapping[str, StoryValue]:
        """Return what was kept of a story; nothing of another media."""
        story = self._kept_stories.known(account.id, media.id) if media.product_type == STORY else None
        return {} if story is None else values_of(story.numbers)

    def _unread(
        self, account: Account, media: MediaRow, metrics: Sequence[str], kept: Mapping[str, StoryValue]
    ) -> dict[str, MediaValue]:
        """Return why metrics of a story that is over are unknown: for the reason a live one would give, if any."""
        refusals = self._refusals.of_metrics(account.id, STORY, metrics, media_id=media.id)
        answered = self._refusals.answered(account.id, STORY).metrics
        values: dict[str, MediaValue] = {}
        for metric in metrics:
            reason = None if metric in answered else MEDIA_METRICS[metric].why_not(STORY, account.login)
            if metric in kept:
                values[metric] = kept[metric].value
            elif metric in refusals:
                values[metric] = MediaValue(None, refusals[metric].reason, refusals[metric].message or None)
            else:
                values[metric] = MediaValue(None, reason or "story_expired")
        return values

    def _known(
        self,
        account: Account,
        media: MediaRow,
        metrics: Collection[str],
        policies: Mapping[CacheKey, FreshnessPolicy],
        kept: Mapping[str, StoryValue] | None = None,
    ) -> dict[str, CacheEntry]:
        """Return what is known of metrics that cannot be read now: a known number never becomes unknown.

        It is cached, or kept of a story; of both the newer one counts.
        """
        keys = media_keys(media.id, metrics)
        cached = self._cache.known(account.id, {key: policies[key] for key in keys}) if keys else {}
        found = {
            keys[key]: replace(entry, stale=True)
            for key, entry in cached.items()
            if media_value_of(entry.value).is_known
        }
        if kept is None:
            kept = self._kept_values(account, media) if metrics else {}
        for key, metric in keys.items():
            story_value = kept.get(metric)
            if story_value is None or not story_value.value.is_known:
                continue
            read_at, older = story_value.read_at, found.get(metric)
            if older is None or (story_value.answered_by is None and read_at >= older.fetched_at):
                value = media_value_as_json(story_value.value)
                expires_at = policies[key].expires_at(value, read_at) or read_at
                found[metric] = CacheEntry(value, read_at, expires_at, stale=True)
        return found

    def _fetch(
        self,
        account: Account,
        media: MediaRow,
        cache_keys: Collection[CacheKey],
        _cached: Mapping[CacheKey, CacheEntry],
        _keep: Keep,
    ) -> Mapping[CacheKey, FetchResult]:
        """Fetch what the cache has no fresh value of, and remember what is refused."""
        self._check_child(account, media)
        metrics = [key.part for key in cache_keys]
        fetcher = MediaFetcher(
            self._graph,
            self._executor,
            account,
            media.id,
            product_type=media.product_type,
            known=self._refusals.answered(account.id, _type_of(media)),
            viewers=self._viewers,
            apart=self._refusals.few_before(account.id, media.id, metrics),
        )
        read_at = self._clock.timestamp()
        found = fetcher.fetch(metrics)
        note_refusals(self._refusals, account, media.id, media.product_type, found)
        self._keep_story(account, media, found, read_at)
        results: dict[CacheKey, FetchResult] = {}
        for key in cache_keys:
            value = found.values.get(key.part)
            if isinstance(value, MediaValue):
                results[key] = media_value_as_json(value)
            else:
                results[key] = value or found.failure or _not_here("Instagram does not answer for this media.")
        return results

    def _keep_story(self, account: Account, media: MediaRow, found: MediaFetch, read_at: float) -> None:
        """Keep what was read of a story for ever; it is one reading more beside those of the worker."""
        values = {name: each for name, each in found.values.items() if isinstance(each, MediaValue) and each.is_known}
        if media.product_type == STORY and values:
            story = LiveStory(media.id, media.created_at, media.media_type, None, values)
            with suppress(DatabaseUnavailableError):
                self._kept_stories.keep(account.id, [polled(story, read_at)])

    def _check_child(self, account: Account, media: MediaRow) -> None:
        """Raise the failure of a picture within an album: it has no link of its own, and no insights."""
        if media.has_link or media.media_type is None or media.product_type not in {FEED, None}:
            return
        try:
            if self._graph.media_insights(account, media.id, ("reach",)):
                return
        except ProviderError as error:
            if error.retry_strategy not in SPLIT_FOR and not isinstance(error, ObjectNotFoundError):
                raise
        failure = AlbumChildError(
            "The media is a part of an album, and Instagram has no insights of parts.",
            provider="instagram",
            hint="Ask for the album itself.",
            charge=Charge.NONE,
        )
        self._refusals.note_media(account.id, media.id, failure)
        raise failure


def _is_lasting(entry: CacheEntry) -> bool:
    """Return whether a later request finds a value again; one that was just refused is then ruled out instead."""
    value = media_value_of(entry.value)
    return not entry.stale and (value.is_known or value.reason == "not_answered")


def _type_of(media: MediaRow) -> str:
    return media.product_type or UNKNOWN_TYPE


def _failed(error: ProviderError) -> MediaValue:
    return MediaValue(None, reason_of(error), error.message)


def _check_is_shown(account: Account, node: Item) -> None:
    """Raise, for a media that a caller of some accounts may not see, what Instagram refuses one with that is nowhere.

    As a refusal it is tried as often, takes as long and is counted alike, so that both look alike to the caller.
    """
    owner = node.get("owner")
    is_own = account.login != "facebook" or (isinstance(owner, dict) and media_id_of(owner) == account.id)
    if not is_own or not node.keys() & NODE_SHOWN:
        raise provider_error(INSTAGRAM_RULES[100, 33], "instagram")


def _not_here(message: str) -> ObjectNotFoundError:
    return ObjectNotFoundError(
        message,
        provider="instagram",
        hint="Check the id, and `account`. Insights of a post, also of a collaboration, are for its owner only.",
        reached=False,
        charge=Charge.NONE,
    )
