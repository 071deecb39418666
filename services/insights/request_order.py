"""The order of many requests for insights: a few go first, to learn from them what the others need not ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.insights.request import Breakdown, InsightsRequest

# So many requests go out at once. Code 1 for all of them, and one more try, leaves enough of what a request may spend
# on it for two halves and the smallest call.
FIRST_ROUND = 4

# Code 1 for a metric is spent on each request of the first round, on one more try and on each halving that finds the
# metric. This is what may be spent on all of that if something is to be left for the other metrics.
TO_FIND_A_METRIC = 7

SAMPLE = 8  # requests; if code 1 comes for all of them, a request has spent what it may


def rounds(requests: Sequence[InsightsRequest]) -> Iterator[Sequence[InsightsRequest]]:
    """Yield few requests together; of many, first the newest of each breakdown and form, then the others.

    Of very many, some others that lie apart go out with the first, the oldest among them: if these have a fault (code
    1), the rest is sent with care. Where none can go with them, because there are so many metrics or forms that a fault
    could no longer be found, a sample goes out after them.
    """
    if len(requests) <= FIRST_ROUND:
        yield requests
        return
    newest: dict[tuple[Breakdown, bool], InsightsRequest] = {}
    for request in requests:
        form = (request.breakdown, request.series)
        if form not in newest or request.window.last > newest[form].window.last:
            newest[form] = request
    first = list(newest.values())
    others = sorted((request for request in requests if request not in first), key=lambda request: request.window.last)
    if len(others) <= SAMPLE:
        yield first
        yield others
        return
    halvings = max(len(request.metrics) - 1 for request in requests).bit_length()
    spare = min(FIRST_ROUND, TO_FIND_A_METRIC - 1 - halvings) - len(first)
    sample = _apart(others, spare if spare > 0 else SAMPLE)
    if spare > 0:
        yield [*first, *sample]
    else:
        yield first
        yield sample
    yield [request for request in others if request not in sample]


def _apart(requests: Sequence[InsightsRequest], number: int) -> Sequence[InsightsRequest]:
    """Return some requests that lie apart, beginning with the first; not always an even number of days apart."""
    number = min(number, len(requests))
    return [requests[each * len(requests) // number] for each in range(number)]
