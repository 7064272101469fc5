"""Particles that fit the letter before them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shortlist.language import shown, speaking
from shortlist.language.catalogue import catalogue
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


PARTICLE = re.compile(r"([가-힣]*)([가-힣])(은|을|과|으로|를|와)(?=[\s,.;:!?)\"'`*]|$)")
VERBS = ("나은", "모은", "지은", "나을", "이을", "모을", "부은", "그은", "이은", "지을", "고를", "다를", "누를", "모를", "부를", "흐를", "오를", "서를", "따를",
         "결과", "효과", "경과", "통과", "초과", "사과", "마을", "가을", "노을", "빠를", "이를", "치를", "가를")  # fmt: skip
"""Words that end in the letters of a particle."""


def misfits(text: str) -> list[str]:
    """Particles in the form for another sound, each with its word."""
    found = []
    for stem, letter, particle in PARTICLE.findall(text):
        last = (ord(letter) - ord("가")) % 28
        wrong = last != 0 if particle in ("를", "와") else last in ((0, 8) if particle == "으로" else (0,))
        word = f"{stem}{letter}{particle}"
        if wrong and not word.endswith(VERBS):
            found.append(word)
    return found


def test_a_wrong_particle_is_found() -> None:
    assert misfits("정보은 키을 표으로 수과 행를 값와 길으로") == [
        "정보은",
        "키을",
        "표으로",
        "수과",
        "행를",
        "값와",
        "길으로",
    ]
    assert misfits("정보는 행을 표로 값과 길로 더 나은 결과 를 모은") == []


def test_the_catalogue_and_the_korean_pages_have_the_right_particles() -> None:
    said = [one.translation for one in catalogue("ko").entries.values()]
    docs = Path(__file__).parents[2] / "docs" / "ko"
    pages = [path.read_text(encoding="utf-8") for path in sorted(docs.rglob("*.md"))]
    assert len(pages) > 30
    assert [word for text in (*said, *pages) for word in misfits(text)] == []


@pytest.mark.parametrize("name", ["popularity", "ALS + long transitions", "co-occurrence, cosine"])
def test_a_models_name_stays_whole(name: str) -> None:
    with speaking("ko"):
        for english, rest in (
            ("ahead of", "보다 앞섭니다"),
            ("behind", "보다 뒤집니다"),
            ("level with", "과(와) 비슷합니다"),
        ):
            assert shown(f"{english} {name} (+0.0087 ± 0.0272)") == f"{name}{rest} (+0.0087 ± 0.0272)"
