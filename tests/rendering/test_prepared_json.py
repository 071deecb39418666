"""JSON text of replies: the same from both writers, whatever a provider's report holds."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from services.rendering.prepared_json import json_text


@pytest.mark.parametrize("more", [{}, {"large": 2**70}], ids=["fast", "beyond 64 bits"])
def test_fields_keep_their_order_and_texts_their_letters(more):
    value = {"z": "caf\u00e9 \U0001f1e9", "a": [None, True, 1.5, -7], **more, "nested": {"y": 1, "b": "\n"}}

    assert json_text(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def test_a_date_in_a_reply_is_a_mistake():
    with pytest.raises(TypeError):
        json_text({"at": datetime(2026, 6, 15, tzinfo=UTC)})
