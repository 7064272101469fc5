"""A bundle as a checked folder: what may be replaced, what is compared, and a manifest changed in place."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
from tests.recommender.saved import files_of

from shortlist.errors import BundleError
from shortlist.recommender.folder import amend, check_place, require_folder, verified


def test_a_folder_must_exist(tmp_path: Path) -> None:
    require_folder(tmp_path)
    with pytest.raises(BundleError, match="does not exist"):
        require_folder(tmp_path / "missing")


def test_places_where_a_bundle_can_be_put(bundle: Path, tmp_path: Path) -> None:
    check_place(tmp_path / "new.shortlist", overwrite=False)
    check_place(bundle, overwrite=True)
    assert not (tmp_path / "new.shortlist").exists()


def test_places_where_none_can_be_put(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(bundle)
    for place, overwrite, words in (
        (bundle, False, "already exists"),
        (tmp_path / "text", True, "exists and is not a bundle"),
        (tmp_path / "folder", True, "exists and is not a bundle"),
        (tmp_path / "link", True, "is a link and not a bundle"),
        (tmp_path / "missing" / "new", True, "does not exist"),
        (tmp_path / ("x" * 300), False, "no bundle can be written to"),
    ):
        with pytest.raises(BundleError, match=words):
            check_place(place, overwrite)
    assert (tmp_path / "text").read_text() == "mine"


def test_the_manifest_is_changed_and_nothing_else(bundle: Path) -> None:
    before = {name: (bundle / name).read_bytes() for name in files_of(bundle)}
    amend(bundle, lambda manifest: msgspec.structs.replace(manifest, reason="by hand"))
    after = {name: (bundle / name).read_bytes() for name in files_of(bundle)}
    assert {name for name in after if after[name] != before.get(name)} == {"manifest.json"}
    assert after.keys() == before.keys()
    assert verified(bundle).reason == "by hand"


def test_a_change_that_fails_leaves_the_manifest(bundle: Path) -> None:
    def fail(manifest: object) -> None:
        raise KeyError

    before = (bundle / "manifest.json").read_bytes()
    with pytest.raises(KeyError):
        amend(bundle, fail)  # type: ignore[arg-type]
    assert (bundle / "manifest.json").read_bytes() == before


def test_every_file_is_compared_unless_it_is_left_unread(bundle: Path) -> None:
    name = "vectors.safetensors"
    content = bytearray((bundle / name).read_bytes())
    content[-1] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(BundleError, match=r"vectors\.safetensors"):
        verified(bundle)
    assert name in verified(bundle, lambda one: one == name).files
    (bundle / name).write_bytes(content[:-1])
    with pytest.raises(BundleError, match=r"vectors\.safetensors"):
        verified(bundle, lambda one: True)


def test_a_file_that_the_manifest_does_not_name_is_refused(bundle: Path) -> None:
    (bundle / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"holds 'notes\.txt'"):
        verified(bundle)


def test_other_work_has_turns_between_files(bundle: Path) -> None:
    pauses: list[int] = []
    verified(bundle, pause=lambda: pauses.append(1))
    assert len(pauses) >= len(files_of(bundle)) - 1


def test_a_save_that_was_cut_off_is_pointed_at(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="there is no bundle at") as error:
        verified(tmp_path / "missing")
    assert error.value.hint == "check the path"
    shutil.move(bundle, bundle.with_name(f".{bundle.name}.old-0123456789ab"))
    with pytest.raises(BundleError, match="there is no bundle at") as error:
        verified(bundle)
    assert "a save was cut off" in str(error.value.hint)


def test_an_address_is_no_folder() -> None:
    with pytest.raises(BundleError, match="there is no bundle at") as error:
        verified(Path("s3://bucket/my.shortlist"))
    assert error.value.hint == "a bundle is a folder on this machine; download it first"
