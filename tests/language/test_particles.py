"""Particles that fit the letter before them."""

from __future__ import annotations

import pytest

from shortlist.language import shown, speaking
from shortlist.language.particles import chosen_particles


@pytest.mark.parametrize(
    ("both", "one"),
    [
        ("책이(가)", "책이"),
        ("표이(가)", "표가"),
        ("물을(를)", "물을"),
        ("쿼리을(를)", "쿼리를"),
        ("후보은(는)", "후보는"),
        ("값과(와) 표과(와)", "값과 표와"),
        ("물(으)로", "물로"),  # ㄹ
        ("표(으)로", "표로"),
        ("값(으)로", "값으로"),
        ("'표'(이)라는", "'표'라는"),
        ("3을(를) 2을(를) 10을(를) 7(으)로 6(으)로 50%을(를)", "3을 2를 10을 7로 6으로 50%를"),
        ("'user'이(가)", "'user'이(가)"),  # no way to know how it is read
        ("f(x)을(를)", "f(x)을(를)"),
        ("", ""),
    ],
)
def test_the_particle_that_fits(both: str, one: str) -> None:
    assert chosen_particles(both) == one


def test_messages_have_it() -> None:
    with speaking("ko"):
        assert shown("there is no metric '정확도'.") == "'정확도'라는 지표가 없습니다."
    assert shown("there is no metric '정확도'.") == "there is no metric '정확도'."
