"""Errors: what came and what to do in one text, through pickling too, and the nearest of known names."""

from __future__ import annotations

import pickle

import pytest

from shortlist import errors
from shortlist.errors import (
    BundleError,
    DownloadError,
    MissingExtraError,
    ShortlistError,
    UnknownQueryError,
    did_you_mean,
)

KINDS = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not MissingExtraError])
def test_message_and_hint_are_one_text_and_survive_pickling(kind: type[ShortlistError]) -> None:
    error = kind("k is 0; 1 was expected.", hint="give more")
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert type(one) is kind
        assert isinstance(one, ShortlistError)
        assert (one.message, one.hint) == ("k is 0; 1 was expected.", "give more")
        assert str(one) == "k is 0; 1 was expected.\nhint: give more"


def test_without_a_hint_the_kinds_remedy_stands_in() -> None:
    assert str(ShortlistError("no.")) == "no."
    assert "save it again" in str(BundleError("torn."))
    assert "data_dir=" in str(DownloadError("gone."))
    assert str(UnknownQueryError("who?")) == "who?"  # not in quotes, as a KeyError's text is


def test_a_missing_package_names_its_extra() -> None:
    error = MissingExtraError("faiss-cpu", "faiss", "Faiss()")
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert one.message == "Faiss() needs the package 'faiss-cpu', which is not installed."
        assert one.hint == 'pip install "shortlist[faiss]"'
    assert isinstance(error, ImportError)


def test_the_nearest_name_or_all_of_them() -> None:
    assert did_you_mean("sofmax", ["softmax", "bpr"]) == "did you mean 'softmax'?"
    assert did_you_mean("xyz", ["softmax", "bpr"]) == "known: bpr, softmax"


def test_another_case_is_the_nearest() -> None:
    assert did_you_mean("USER_ID", ["user_id", "USER_NAME"]) == "did you mean 'user_id'?"
    assert did_you_mean("부류", ["가격", "분류"]) == "did you mean '분류'?"  # a letter of one syllable
    assert did_you_mean("그림", ["가격", "분류"]) == "known: 가격, 분류"
    assert did_you_mean("U", ["i", "t", "u"]) == "did you mean 'u'?"
