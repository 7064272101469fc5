"""Text: the pieces of a text, worked by hand."""

from __future__ import annotations

import polars as pl
import pytest

from shortlist import ConfigError, DataError, Text
from shortlist.features.stable_hash import hash_strings

BUCKETS = 1_000_003


def codes_of(*pieces: str) -> list[int]:
    return [number % BUCKETS + 1 for number in hash_strings(pl.Series(pieces, dtype=pl.String)).tolist()]


def bags(values: list[str | None], ngrams: int | None = 3) -> list[list[int]]:
    encoded = Text("title", BUCKETS, ngrams=ngrams).encode(pl.Series(values))
    assert encoded.cardinality == BUCKETS + 1
    return [encoded.values[encoded.offsets[i] : encoded.offsets[i + 1]].tolist() for i in range(len(values))]


def test_a_word_and_its_trigrams():
    assert bags(["Heat"]) == [codes_of("<heat>", "<he", "hea", "eat", "at>")]


def test_a_word_no_longer_than_a_piece_stands_alone():
    assert bags(["a", "in"]) == [codes_of("<a>"), codes_of("<in>", "<in", "in>")]
    assert bags(["heat"], ngrams=6) == [codes_of("<heat>")]
    assert bags(["heat"], ngrams=5) == [codes_of("<heat>", "<heat", "heat>")]


def test_words_alone():
    assert bags(["Toy Story (1995)", "toy, TOY!"], ngrams=None) == [
        codes_of("<toy>", "<story>", "<1995>"),
        codes_of("<toy>", "<toy>"),
    ]


def test_texts_without_words_are_empty():
    assert bags(["", None, " … !?", "x"], ngrams=None) == [[], [], [], codes_of("<x>")]


def test_other_scripts_are_cut_by_character_not_by_byte():
    assert bags(["Élan"], ngrams=5) == [codes_of("<élan>", "<élan", "élan>")]
    assert bags(["映画 映"], ngrams=None) == [codes_of("<映画>", "<映>")]


def test_an_unseen_word_shares_pieces_with_its_kin():
    (first,), (second,) = bags(["adventure"]), bags(["adventurous"])
    assert set(codes_of("<ad", "adv", "dve", "ven", "ent", "ntu", "tur")) <= set(first) & set(second)


def test_it_takes_categories_and_refuses_numbers():
    encoded = Text("title", BUCKETS).encode(pl.Series(["Heat"], dtype=pl.Categorical))
    assert encoded.values.tolist() == bags(["Heat"])[0]
    with pytest.raises(DataError, match=r"Text\('title'\) got a column of type Int64; it takes strings"):
        Text("title").fit(pl.Series([1]))


@pytest.mark.parametrize("options", [{"buckets": 0}, {"buckets": None}, {"ngrams": 0}, {"ngrams": 2.0}])
def test_options_must_be_positive_whole_numbers(options: dict[str, object]):
    ((name, value),) = options.items()
    with pytest.raises(ConfigError, match=f"{name}={value}"):
        Text("title", **options)
