"""A link that is turned in one step, and back: by hand, after kills, and what is refused."""

from __future__ import annotations

import os
import shutil
from contextvars import Context
from pathlib import Path

import pytest

import shortlist as sl
from shortlist.recommender import promotion
from shortlist.recommender.promotion import previous, promote, promotions, rollback


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = {"reader": [n // 3 for n in range(30)], "book": [n % 7 for n in range(30)]}
    data = sl.Dataset(rows, "reader", "book")
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("reader"), dim=2), sl.Tower(sl.IntegerLookup("book"), dim=2))
    sl.fit(model, data, epochs=1)
    path = tmp_path_factory.mktemp("promotion") / "one"
    sl.Recommender(model).save(path)
    return path


@pytest.fixture
def days(bundle: Path, tmp_path: Path) -> list[Path]:
    """The same bundle under three names."""
    return [Path(shutil.copytree(bundle, tmp_path / name)) for name in ("monday", "tuesday", "wednesday")]


def test_forwards_and_back(days: list[Path], tmp_path: Path) -> None:
    link = tmp_path / "current"
    for day in days:
        promote(day, link)
        assert link.resolve() == day
        sl.Recommender.load(link)
    assert os.readlink(link) == "wednesday"
    assert [one.bundle for one in promotions(link)] == ["monday", "tuesday", "wednesday"]
    assert rollback(link).bundle == "tuesday"
    assert rollback(link).bundle == "monday"
    assert os.readlink(link) == "monday"
    with pytest.raises(sl.BundleError, match=r"nothing was promoted to .* before 'monday'"):
        rollback(link)
    promote(days[2], link)
    assert rollback(link).bundle == "monday"  # tuesday was left behind
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [
        "current", "current.promoted.json", "monday", "tuesday", "wednesday"
    ]  # fmt: skip


def test_the_folder_can_be_moved(days: list[Path], tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    for day in days[:2]:
        promote(day, tmp_path / "live" / "current")
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    tmp_path.rename(moved)
    assert rollback(moved / "live" / "current").bundle == "../monday"
    assert (moved / "live" / "current").resolve() == moved / "monday"


def test_a_link_that_was_made_by_hand_can_be_gone_back_to(days: list[Path], tmp_path: Path) -> None:
    link = tmp_path / "current"
    link.symlink_to("monday")
    promote(days[1], link)
    assert rollback(link).bundle == "monday"


def test_a_link_that_was_turned_by_hand_goes_back_to_the_last_promotion(days: list[Path], tmp_path: Path) -> None:
    link = tmp_path / "current"
    for day in days[:2]:
        promote(day, link)
    link.unlink()
    link.symlink_to("wednesday")
    assert rollback(link).bundle == "tuesday"
    assert rollback(link).bundle == "monday"


def test_the_previous_promotion_is_where_a_rollback_goes(days: list[Path], tmp_path: Path) -> None:
    link = tmp_path / "current"
    assert previous(link) is None  # no link
    told = []
    for day in (days[0], days[0], days[1], days[2]):
        promote(day, link)
        told.append(previous(link))
    assert [one and one.bundle for one in told] == [None, None, "monday", "tuesday"]
    shutil.rmtree(days[1])
    found = previous(link)
    assert found is not None
    assert rollback(link) == found
    assert found.bundle == "monday"
    assert previous(link) is None
    promote(days[2], link)
    shutil.rmtree(days[0])
    assert previous(link) is None
    with pytest.raises(sl.BundleError, match="has been removed"):
        rollback(link)


def test_promoting_the_same_again_is_no_step(days: list[Path], tmp_path: Path) -> None:
    link = tmp_path / "current"
    for day in (days[0], days[1], days[1]):
        promote(day, link)
    assert rollback(link).bundle == "monday"


def test_what_a_killed_process_leaves(days: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between record and link in either direction: the link is the truth, and the way back is known."""
    link = tmp_path / "current"
    promote(days[0], link)
    promote(days[1], link)
    with monkeypatch.context() as context:
        context.setattr(promotion, "_turn", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            promote(days[2], link)
    assert link.resolve() == days[1]
    assert [one.bundle for one in promotions(link)] == ["monday", "tuesday"]
    promote(days[2], link)
    with monkeypatch.context() as context:
        context.setattr(promotion, "_write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            rollback(link)
    assert link.resolve() == days[1]
    assert rollback(link).bundle == "monday"


def test_a_full_disk_leaves_the_link(days: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = tmp_path / "current"
    promote(days[0], link)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(os, "replace", full)
        with pytest.raises(sl.BundleError, match="No space left"):
            promote(days[1], link)
    assert link.resolve() == days[0]
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(".")]


def test_a_full_disk_keeps_nobody_from_going_back(
    days: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "current"
    for day in days:
        promote(day, link)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(promotion, "write_file", full)
        for number in (1, 0):
            with pytest.warns(
                sl.ShortlistWarning, match=r"current\.promoted\.json' could not be written.*No space left"
            ):
                assert rollback(link).bundle == days[number].name
            assert link.resolve() == days[number]
            assert [one.bundle for one in promotions(link)] == [day.name for day in days[: number + 1]]
    promote(days[2], link)
    assert rollback(link).bundle == "monday"


def test_refusals(days: list[Path], tmp_path: Path) -> None:
    link = tmp_path / "current"
    with pytest.raises(sl.BundleError, match="no link"):
        rollback(link)
    with pytest.raises(sl.BundleError, match="no bundle"):
        promote(tmp_path / "sunday", link)
    with pytest.raises(sl.BundleError, match="exists and is not a link"):
        promote(days[0], days[1])
    with pytest.raises(sl.BundleError, match="does not exist"):
        promote(days[0], tmp_path / "nowhere" / "current")
    promote(days[0], link)
    weights = days[1] / "model" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(sl.BundleError, match="altered"):
        promote(days[1], link)
    assert link.resolve() == days[0]
    promote(days[2], link)
    shutil.rmtree(days[0])
    with pytest.raises(sl.BundleError, match="no bundle"):
        rollback(link)
    assert link.resolve() == days[2]
    (tmp_path / "current.promoted.json").write_text("[{")
    with pytest.raises(sl.BundleError, match="record of promotions"):
        rollback(link)


def test_bundles_that_were_removed_are_stepped_over(days: list[Path], tmp_path: Path) -> None:
    link = tmp_path / "current"
    for day in days:
        promote(day, link)
    shutil.rmtree(days[1])
    assert rollback(link).bundle == "monday"
    assert [one.bundle for one in promotions(link)] == ["monday"]
    with pytest.raises(sl.BundleError, match="nothing was promoted"):
        rollback(link)


def test_a_link_that_serves_another_bundle_than_expected_is_not_turned(days: list[Path], tmp_path: Path) -> None:
    link = tmp_path / "current"
    promote(days[0], link)
    with pytest.raises(promotion.MovedError, match="not compared with"):
        promote(days[1], link, lambda: False)
    assert link.resolve() == days[0]
    promote(days[1], link, lambda: promotion.fingerprint_of(link) == sl.Recommender.load(days[0]).fingerprint)
    assert promotion.served_by(link) == days[1]
    assert promotion.served_by(days[1]) is None  # a bundle is not a link
    assert promotion.fingerprint_of(tmp_path / "other") is None


def test_one_run_of_a_link_at_a_time(days: list[Path], tmp_path: Path) -> None:
    """The lock is that of the link, which may not exist yet; whoever holds it may ask for it again."""
    link = tmp_path / "current"
    with promotion.alone(link):
        with promotion.alone(link):
            promote(days[0], link)
        with pytest.raises(promotion.BusyError, match=r"another run for .* is in progress \(process "):
            Context().run(lambda: promotion.alone(link).__enter__())
        with promotion.alone(tmp_path / "other"):
            pass
    with promotion.alone(link):
        pass
    with pytest.raises(sl.BundleError, match="exists and is not a link"), promotion.alone(days[0]):
        pytest.fail("locked a bundle")
