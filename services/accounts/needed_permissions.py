"""The permissions (scopes) that a token needs, by the login that it comes from (Meta's pages of each endpoint)."""

from __future__ import annotations

from collections.abc import Mapping

BASIC, INSIGHTS, LIST_PAGES = "instagram_basic", "instagram_manage_insights", "pages_show_list"
READ_PAGES, BUSINESS = "pages_read_engagement", "business_management"
OF_FACEBOOK = (BASIC, INSIGHTS, READ_PAGES, LIST_PAGES)
OF_INSTAGRAM = ("instagram_business_basic", "instagram_business_manage_insights")
NEEDED_SCOPES: Mapping[str, tuple[str, ...]] = {"facebook": OF_FACEBOOK, "instagram": OF_INSTAGRAM}
ADS = ("ads_read", "ads_management")  # needed where the role on the Page was given in a business portfolio
