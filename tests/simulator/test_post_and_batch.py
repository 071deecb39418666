"""Parameters in the body of a POST, and many calls in one batch."""

import json

import pytest

from tests.simulator.caller import ACCOUNT, PAGE_TOKEN, TOKEN, error

FIELDS = "id,username"
EXPECTED = {"id": ACCOUNT, "username": "corner.bakery"}


@pytest.fixture
def post(caller):
    """Send a POST to graph.facebook.com."""

    def send(path="/", *, host="graph.facebook.com/v25.0", **options):
        return caller.session.post(f"{caller.simulator.url}/{host}{path}", timeout=10, **options)

    return send


@pytest.fixture
def batch(post):
    """Send items as a batch, and return what came of each."""

    def send(*items, **more):
        reply = post(data={"access_token": TOKEN, "batch": json.dumps(items), **more})
        assert reply.status_code == 200, reply.text
        return reply.json()

    return send


# Bodies

PARAMETERS = {"access_token": TOKEN, "fields": FIELDS, "method": "get"}


@pytest.mark.parametrize(
    "body",
    [
        {"data": PARAMETERS},
        {"data": PARAMETERS | {"method": "GET"}},
        {"json": PARAMETERS},
        {"files": {name: (None, value) for name, value in PARAMETERS.items()}},
        {"params": {"access_token": TOKEN, "method": "get"}, "data": {"fields": FIELDS}},
        {"params": {"fields": "name", "method": "get"}, "data": {"access_token": TOKEN, "fields": FIELDS}},
    ],
    ids=["form", "upper case", "json", "multipart", "query and form", "the body wins"],
)
def test_a_post_with_the_method_get_reads_with_the_parameters_of_its_body(post, body):
    reply = post(f"/{ACCOUNT}", **body)

    assert (reply.status_code, reply.json()) == (200, EXPECTED)


def test_lists_and_numbers_in_json_are_read(post):
    body = {"access_token": TOKEN, "metric": ["reach", "views"], "period": "day", "metric_type": "total_value"}

    reply = post(f"/{ACCOUNT}/insights", json=body | {"method": "get", "since": 1762848000, "until": 1762934399})

    assert [entry["name"] for entry in reply.json()["data"]] == ["reach", "views"]


def test_a_post_without_the_method_is_a_write_which_no_object_takes(post):
    reply = post(f"/{ACCOUNT}", data={"access_token": TOKEN})

    assert (error(reply)["code"], error(reply)["error_subcode"]) == (100, 33)
    assert error(reply)["message"].startswith("Unsupported post request.")


def test_a_get_with_the_method_post_is_a_write(caller):
    assert error(caller.graph("/me", method="post"))["message"].startswith("Unsupported post request.")


def test_json_that_is_none_is_refused(post):
    reply = post("/me", data="{", headers={"Content-Type": "application/json"})

    assert error(reply)["code"] == 100


def test_the_instagram_login_reads_bodies_too(post, caller):
    data = {"access_token": caller.instagram_token, "fields": "username", "method": "get"}

    reply = post("/me", host="graph.instagram.com/v25.0", data=data)

    assert reply.json()["username"] == "corner.bakery"


# Batches


def test_each_item_is_answered_as_if_it_had_come_alone(batch, caller):
    caller.simulator.calls.reset()

    first, second, third = batch(
        {"method": "GET", "relative_url": f"{ACCOUNT}?fields={FIELDS}"},
        {"method": "GET", "relative_url": f"v25.0/{ACCOUNT}/media?limit=2"},
        {"relative_url": "nothing.of.the.kind"},
    )

    assert (first["code"], json.loads(first["body"])) == (200, EXPECTED)
    assert {"name": "facebook-api-version", "value": "v25.0"} in first["headers"]
    assert len(json.loads(second["body"])["data"]) == 2
    assert (third["code"], json.loads(third["body"])["error"]["code"]) == (400, 803)
    assert caller.own("/calls")["instagram"]["total"] == 3
    assert TOKEN not in json.dumps(caller.own("/calls"))


def test_items_may_have_tokens_and_bodies_of_their_own(batch):
    page, posted = batch(
        {"relative_url": f"me?fields=id&access_token={PAGE_TOKEN}"},
        {"method": "POST", "relative_url": ACCOUNT, "body": f"fields={FIELDS}&method=get"},
    )

    assert json.loads(page["body"])["id"] != json.loads(posted["body"])["id"]
    assert json.loads(posted["body"]) == EXPECTED


def test_headers_and_bodies_can_be_left_out(batch):
    (item,) = batch({"relative_url": "me", "omit_response_on_success": True}, include_headers="false")

    assert item == {"code": 200, "body": None}


def test_items_that_time_out_are_null(batch, caller):
    caller.switch(batch_answers=1)
    caller.simulator.calls.reset()

    first, *rest = batch(*[{"relative_url": "me"}] * 3)

    assert (first["code"], rest) == (200, [None, None])
    assert caller.own("/calls")["instagram"]["total"] == 1


def test_each_item_counts_against_the_limits(batch, caller):
    for _ in range(3):
        batch(*[{"relative_url": ACCOUNT}] * 50)

    header = caller.graph(f"/{ACCOUNT}").headers["x-business-use-case-usage"]

    assert json.loads(header)[ACCOUNT][0]["call_count"] == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "must be an array"),
        ("{}", "must be an array"),
        ("[]", "must be an array"),
        ('[{"method": "GET"}]', "must have a relative_url"),
        (json.dumps([{"relative_url": "me"}] * 51), "Maximum batch size is 50"),
    ],
)
def test_a_batch_that_is_none_is_refused(post, text, words):
    reply = post(data={"access_token": TOKEN, "batch": text})

    assert (reply.status_code, error(reply)["code"]) == (400, 100)
    assert words in error(reply)["message"]


def test_the_instagram_login_takes_no_batch(post, caller):
    items = json.dumps([{"relative_url": "me"}])

    reply = post(host="graph.instagram.com", data={"access_token": caller.instagram_token, "batch": items})

    assert (error(reply)["code"], error(reply)["type"]) == (200, "IGApiException")
    assert "on behalf of user 0" in error(reply)["message"]


# A field


def test_some_posts_have_advertisements_and_the_others_leave_the_field_out(caller):
    posts = caller.media(fields="id,boost_ads_list", limit=100).json()["data"]

    boosted = [post for post in posts if "boost_ads_list" in post]
    assert 0 < len(boosted) < len(posts)
    assert all(ad.keys() == {"ad_id", "ad_status"} for post in boosted for ad in post["boost_ads_list"])


def test_the_instagram_login_has_no_advertisements(caller):
    assert "nonexisting field" in error(caller.instagram("/me/media", fields="boost_ads_list"))["message"]
