"""Korean particles that depend on the sound before them: "행을(를)" is "행을", "개이(가)" is "개가".

A catalogue writes both forms where a value comes before a particle. Behind Korean letters and digits the right one is chosen; behind
anything else, such as a Latin name, both stay.
"""

from __future__ import annotations

import re

__all__ = ["chosen_particles"]

PAIRS = {
    "이(가)": ("이", "가"),
    "을(를)": ("을", "를"),
    "은(는)": ("은", "는"),
    "과(와)": ("과", "와"),
    "(으)로": ("으로", "로"),
}
PAIRS |= {"(이)라는": ("이라는", "라는"), "(이)라고": ("이라고", "라고")}
FOUND = re.compile(rf"([가-힣0-9%])(['\"’”]?)({'|'.join(map(re.escape, PAIRS))})")
FIRST = ord("가")  # the letters are in rows of 28, by their last consonant; the first of a row has none
RIEUL = 8  # the place of ㄹ, behind which it is 로
DIGITS = dict(
    zip("0123456789%", (21, RIEUL, 0, 16, 0, 0, 1, RIEUL, RIEUL, 0, 0), strict=True)
)  # 영 일 이 삼 … 구, 퍼센트


def chosen_particles(text: str) -> str:
    """The text with the particle that fits where both forms are written.

    Example:
        >>> chosen_particles("표 3개이(가) 없고 'user'이(가) 있습니다")
        "표 3개가 없고 'user'이(가) 있습니다"
    """
    return FOUND.sub(_chosen, text) if "(" in text else text


def _chosen(found: re.Match[str]) -> str:
    letter, quote, both = found.groups()
    last = DIGITS[letter] if letter in DIGITS else (ord(letter) - FIRST) % 28
    closed, other = PAIRS[both]
    return f"{letter}{quote}{other if last == 0 or (last == RIEUL and both == '(으)로') else closed}"
