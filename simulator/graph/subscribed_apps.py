"""The edge `subscribed_apps`: the app subscribes to what happens to a Page, or to an account that logged in itself.

https://developers.facebook.com/docs/graph-api/reference/page/subscribed_apps
"""

from collections.abc import Mapping, Sequence
from typing import Any

from simulator.graph.errors import GraphError, missing_object, parameter
from simulator.graph.parameters import check_one_of, listed
from simulator.graph.scope import Scope
from simulator.webhooks.subscriptions import Subscriptions
from simulator.world.accounts import APP_ID, INSTAGRAM_APP_ID, Account

# Of a Page. Instagram's own fields are no fields of a Page: they are chosen in the app's dashboard.
PAGE_FIELDS = (
    *("affiliation", "attire", "awards", "bio", "birthday", "category", "checkins", "company_overview"),
    *("conversations", "culinary_team", "current_location", "description", "email", "feed", "founded"),
    *("general_info", "general_manager", "hometown", "hours", "leadgen", "leadgen_fat", "live_videos", "location"),
    *("members", "mention", "message_deliveries", "message_echoes", "message_edits", "message_mention"),
    *("message_reactions", "message_reads", "messages", "messaging_account_linking", "messaging_handovers"),
    *("messaging_optins", "messaging_postbacks", "messaging_referrals", "mission", "name", "page_about_story"),
    *("page_change_proposal", "page_upcoming_change", "parking", "payment_options", "personal_info", "phone"),
    *("picture", "price_range", "product_review", "products", "public_transit", "ratings", "registration"),
    *("standby", "videos", "website"),
)
INSTAGRAM_FIELDS = (
    *("comment_poll_response", "comments", "creator_marketplace_invited_creator_onboarding"),
    *("creator_marketplace_projects", "delta", "follow", "live_comments", "mentions", "message_edit"),
    *("message_reactions", "messages", "messaging_handover", "messaging_optins", "messaging_postbacks"),
    *("messaging_referral", "messaging_seen", "onboarding_welcome_message_series", "share_to_story", "standby"),
    *("story_insights", "story_poll_response", "story_reactions"),
)
LOGIN_OF = {"Page": "facebook", "IGUser": "instagram"}

Json = Mapping[str, Any]


def subscribed_apps(node_type: str, account: Account, scope: Scope, subscriptions: Subscriptions) -> Json:
    """Answer GET, POST and DELETE of the edge."""
    is_page = node_type == "Page"
    if is_page and not scope.caller.is_page:
        raise GraphError("(#210) A page access token is required to request this resource.", 210)
    login = LOGIN_OF[node_type]
    match scope.request.method:
        case "GET" | "HEAD":
            return {"data": _described(login, account, subscriptions)}
        case "POST":
            fields = _fields(scope, PAGE_FIELDS if is_page else INSTAGRAM_FIELDS)
            subscriptions.subscribe(login, account, fields, now=scope.now)
        case "DELETE":
            subscriptions.unsubscribe(login, account)
        case method:
            raise missing_object(account.id, method=method.lower())
    return {"success": True}


def _fields(scope: Scope, accepted: Sequence[str]) -> list[str]:
    fields = listed(scope.request.query.get("subscribed_fields"))
    if not fields:
        raise parameter("The parameter subscribed_fields is required.")
    for place, field in enumerate(fields):
        check_one_of(f"Param subscribed_fields[{place}]", field, accepted)
    return fields


def _described(login: str, account: Account, subscriptions: Subscriptions) -> list[Json]:
    subscription = subscriptions.of(login, account)
    if subscription is None:
        return []
    fields = list(subscription.fields)
    if login == "instagram":
        return [{"id": INSTAGRAM_APP_ID, "subscribed_fields": fields}]
    app = {"category": "Business", "link": "https://sandbox.example/", "name": "Sandbox", "id": APP_ID}
    return [{**app, "subscribed_fields": fields}]
