"""What the routes that change something take: strictly decoded, with bounds."""

from __future__ import annotations

import msgspec
import pytest

from shortlist.serve import change_schema


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (change_schema.ChangeRequest, '{"expire":[{"id":"a"}]}'),
        (change_schema.ChangeRequest, '{"expire":[{"id":"a","at":-1}]}'),
        (change_schema.EventsRequest, '{"events":[{"query":"a"}]}'),
        (change_schema.EventsRequest, '{"events":[{"query":null,"candidate":"a"}]}'),
    ],
)
def test_what_does_not_fit_is_refused(kind: type, text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=kind)


def test_the_ends_of_the_bounds_fit() -> None:
    msgspec.json.decode('{"expire":[{"id":"a","at":0}]}', type=change_schema.ChangeRequest)
    msgspec.json.decode("{}", type=change_schema.ChangeRequest)
