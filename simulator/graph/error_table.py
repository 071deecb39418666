"""Every refusal that is known of the Graph API, by a short name, as it is seen on graph.facebook.com."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from simulator.graph.dialect import in_instagrams_words
from simulator.graph.errors import (
    METHOD,
    REDUCE_DATA,
    UNKNOWN_ERROR,
    GraphError,
    cannot_parse,
    ids_are_gone,
    missing_object,
    nonexisting_field,
    parameter,
    throttled,
    unknown_path,
    wait_of,
)
from simulator.graph.metrics import ACCEPTED

OBJECT = re.compile(r"/(\d+)(?=/|$)")
NO_OBJECT = "0"  # where a path names no object
SESSION = "Error validating access token: "
TOKEN_TEXTS = {
    458: f"{SESSION}The user has not authorized application 200000000000000.",
    459: f"{SESSION}You cannot access the app till you log in to www.facebook.com and follow the instructions given.",
    460: f"{SESSION}The session has been invalidated because the user changed their password or Facebook has changed "
    "the session for security reasons.",
    463: f"{SESSION}Session has expired on Thursday, 01-Oct-26 00:00:00 PDT.",
    464: f"{SESSION}Sessions for the user are not allowed because the user is not confirmed.",
    467: f"{SESSION}The session is invalid because the user logged out.",
    492: f"{SESSION}The session does not match the role of the user on the Page.",
}
PERMISSION_TEXTS = {
    10: "(#10) Application does not have permission for this action",
    200: "(#200) Requires instagram_manage_insights permission to read the insights of the object",
}
BEFORE_CONVERSION = GraphError(
    "Invalid parameter",
    subcode=2108006,
    is_transient=False,
    title="Media posted before business account conversion",
    user_message="The media was posted before the most recent time that the user's account was converted to a business "
    "account from a personal account.",
    data={"blame_field_specs": [[""]]},
)


@dataclass(frozen=True)
class Row:
    """A refusal with what it is about; `{id}` and `{metrics}` in its text are filled in for each call."""

    about: str
    error: GraphError
    is_limit: bool = False  # whether it is a throttle, which demands a wait


def _limit(about: str, code: int, subcode: int | None = None) -> Row:
    return Row(about, replace(throttled(code), subcode=subcode), is_limit=True)


ROWS: Mapping[str, Row] = {
    "-1/2207086": Row("facebook_views of media not shared to Facebook", GraphError("Fatal", -1, subcode=2207086)),
    "1": Row("unknown; also a breakdown that does not fit", GraphError(UNKNOWN_ERROR, 1)),
    "1-400": Row("unknown, as some answer it", GraphError(UNKNOWN_ERROR, 1, status=400)),
    "1-reduce": Row("too much data at once", GraphError(REDUCE_DATA, 1)),
    "2": Row(
        "down for a moment",
        GraphError("An unexpected error has occurred. Please retry your request later.", 2, is_transient=True),
    ),
    "3": Row(
        "the app may not do this",
        GraphError("(#3) Application does not have the capability to make this API call.", 3),
    ),
    "4": _limit("limit of the app", 4),
    "4/1349210": _limit("limit of the app", 4, 1349210),
    "4/2108006": Row("media before conversion, as once seen", replace(BEFORE_CONVERSION, code=4)),
    "10-permission": Row("permission missing", GraphError(PERMISSION_TEXTS[10], 10)),
    "10-viewers": Row(
        "story with fewer than 5 viewers", GraphError("(#10) Not enough viewers for the media to show insights", 10)
    ),
    "17": _limit("limit of the user", 17),
    "32": _limit("limit of the Page", 32),
    "100": Row("a bad parameter", parameter("Invalid parameter")),
    "100/33": Row("missing, not permitted or unsupported", missing_object("{id}")),
    "100/2108006": Row("media before conversion", BEFORE_CONVERSION),
    "100-metric": Row(
        "unknown metric", parameter(f"metric[0] must be one of the following values: {', '.join(ACCEPTED)}")
    ),
    "100-impressions": Row(
        "a removed metric, in its first wording",
        parameter(
            "Starting from version 22 and above, the impressions metric is no longer supported for the queried user."
        ),
    ),
    "100-metric-type": Row(
        "a total asked without metric_type",
        parameter("The following metrics ({metrics}) should be specified with parameter metric_type=total_value"),
    ),
    "100-range": Row(
        "more than 30 days", parameter("There cannot be more than 30 days (2592000 s) between since and until")
    ),
    "100-since": Row(
        "since too old or in the future",
        parameter("since param is not valid. Metrics data is available for the last 2 years"),
    ),
    "100-follower-count": Row(
        "follower_count too old",
        parameter("(follower_count) metric only supports querying data for the last 30 days excluding the current day"),
    ),
    "100-period": Row(
        "period does not fit", parameter("The following periods (week) are incompatible with the metric ({metrics})")
    ),
    "100-breakdown": Row(
        "breakdown does not fit", parameter("Incompatible breakdowns (follow_type) for metric ({metrics})")
    ),
    "100-breakdown-name": Row(
        "unknown breakdown",
        parameter(
            "breakdown[0] must be one of the following values: "
            "follow_type, surface_type, action_type, story_navigation_action_type"
        ),
    ),
    "100-media-metric": Row(
        "metric not for this product type",
        parameter("The Media Insights API does not support the {metrics} metric for this media product type."),
    ),
    "100-insights-field": Row(
        "insights without metric", parameter("For field 'insights': The parameter metric is required")
    ),
    "100-field": Row("unknown field", nonexisting_field("x", "IGUser")),
    "100-ids": Row("?ids= is gone", ids_are_gone()),
    "100-method": Row("token call made wrongly", GraphError("Unsupported request - method type: get", 100, METHOD)),
    "100-proof": Row("wrong proof", GraphError("Invalid appsecret_proof provided in the API argument", 100, METHOD)),
    "102": Row("session gone", GraphError("Session key invalid or no longer valid", 102)),
    "104": Row("bad signature", GraphError("Incorrect signature", 104)),
    "110/2207013": Row("target private, personal or absent", GraphError("Invalid user id", 110, subcode=2207013)),
    "190": Row("no token of this host", cannot_parse()),
    "190-401": Row("no token of this host, as some answer it", replace(cannot_parse(), status=401)),
    **{
        f"190/{subcode}": Row("token no longer good", GraphError(text, 190, subcode=subcode))
        for subcode, text in TOKEN_TEXTS.items()
    },
    "200": Row("permission missing", GraphError(PERMISSION_TEXTS[200], 200)),
    "200-403": Row("permission missing, as some answer it", GraphError(PERMISSION_TEXTS[200], 200, status=403)),
    "299": Row("permission missing", GraphError("(#299) Permissions error", 299)),
    "341": _limit("limit of the app", 341),
    "368": Row(
        "blocked for policy",
        GraphError("(#368) The action attempted has been deemed abusive or is otherwise disallowed", 368),
    ),
    "506": Row("duplicate post", GraphError("(#506) Duplicate status message", 506)),
    "613": _limit("a limit of its own", 613),
    "803": Row("unknown alias", GraphError("(#803) Some of the aliases you requested do not exist: x", 803)),
    "2500": Row(
        "query syntax", GraphError('Syntax error "Field id specified more than once" at character 3: id,id', 2500)
    ),
    "2500-path": Row("path that leads nowhere", unknown_path("/x")),
    "9005/1452042": Row("no video to check", GraphError("Video content was not found.", 9005, subcode=1452042)),
    "36104": Row(
        "view_count outside Business Discovery",
        GraphError(
            "(#36104) You do not have permission to access this field outside of the Business Discovery API.", 36104
        ),
    ),
    "80001": _limit("limit of the Page's business use case", 80001),
    "80002": _limit("limit of the account", 80002),
}


def row_error(options: Mapping[str, Any], path: str) -> GraphError:
    """Return the refusal that an order asks for, for a call of a path."""
    row = ROWS[options["row"]]
    error = row.error
    ids = OBJECT.findall(path)
    text = error.message.replace("{id}", ids[-1] if ids else NO_OBJECT)
    text = text.replace("{metrics}", options.get("metrics", "profile_visits, follows"))
    if row.is_limit and (wait := wait_of(options)):
        limited = throttled(int(error.code), **wait)
        error = replace(error, minutes=limited.minutes, headers=limited.headers)
    return replace(error, message=text, status=options.get("status", error.status))


def described_rows(locale: str) -> dict[str, Any]:
    """Return every refusal with its HTTP status and its envelope in both dialects."""
    return {
        name: {
            "about": row.about,
            "status": row.error.http_status,
            "graph.facebook.com": _as_body(row.error),
            "graph.instagram.com": _as_body(in_instagrams_words(row.error, locale)),
        }
        for name, row in ROWS.items()
    }


def _as_body(error: GraphError) -> dict[str, Any]:
    return {name: value for name, value in error.envelope()["error"].items() if name != "fbtrace_id"}
