"""Bundles on the Hugging Face Hub: a recommender pushed as one commit, and loaded again by name."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shortlist.data.cache import default_cache
from shortlist.errors import BundleError, MissingExtraError
from shortlist.recommender import bundle
from shortlist.recommender.card import model_card
from shortlist.recommender.folder import verified
from shortlist.recommender.served import Served
from shortlist.store import new_folder

__all__ = ["fetched", "push"]

FOLDER = "bundle"  # of the repository
COMMIT = re.compile(r"[0-9a-f]{40}")
HINTS = {
    401: "log in with `hf auth login`, or set HF_TOKEN to a token that may do this",
    403: "the token may not do this; make one with the right to write",
    404: "look for a typing error; a private repository needs a token (HF_TOKEN)",
}
NO_OWNER = "a repository is written as owner/name, such as 'someone/{name}'; {name!r} has no owner"


def push(served: Served, repo: str, private: bool, message: str, token: str | None) -> str:
    """Write the bundle and its card to a repository, in one commit; return the address of the commit.

    Args:
        served: the bundle.
        repo: "owner/name", or "name" for the one who is logged in; made where it does not exist.
        private: whether a new repository is private.
        message: of the commit.
        token: with the right to write; by default the one that is logged in.

    Raises:
        BundleError: where the Hub refuses or cannot be reached; the repository is then as it was.
        MissingExtraError: without huggingface_hub.
    """
    api = _api(token)
    with _in_words(f"pushing to {repo!r}"), tempfile.TemporaryDirectory(prefix="shortlist-") as scratch:
        folder = Path(scratch)
        bundle.save(served, folder / FOLDER, False, served.metadata, False)
        whole = api.create_repo(repo, private=private, exist_ok=True).repo_id  # with the owner, where none was given
        (folder / "README.md").write_text(model_card(served, whole), encoding="utf-8")
        done = api.upload_folder(
            repo_id=whole, folder_path=folder, commit_message=message, delete_patterns=[f"{FOLDER}/*"]
        )
    return str(done.commit_url)


def fetched(repo: str, revision: str | None, token: str | None) -> Path:
    """The bundle's folder, downloaded unless this commit was downloaded before.

    Args:
        repo: "owner/name".
        revision: a branch, a tag or a commit; by default the latest commit. A full commit that was downloaded needs no network.
        token: for a private repository; by default the one that is logged in.

    Raises:
        BundleError: where the repository or its bundle is missing or cannot be reached.
        MissingExtraError: without huggingface_hub.
    """
    api = _api(token)
    at = f" at {revision!r}" if revision else ""
    with _in_words(f"loading from {repo!r}{at}", repo):
        commit = revision if revision and COMMIT.fullmatch(revision) else None
        place = _place(repo, commit) if commit else None
        if place is None or not place.is_dir():
            commit = str(api.repo_info(repo, revision=revision).sha)
            place = _place(repo, commit)
        if not place.is_dir():
            place.parent.mkdir(parents=True, exist_ok=True)
            with new_folder(place) as scratch:
                api.snapshot_download(repo, revision=commit, allow_patterns=f"{FOLDER}/*", local_dir=scratch)
                shutil.rmtree(scratch / ".cache", ignore_errors=True)
                if not (scratch / FOLDER).is_dir():
                    raise BundleError(
                        f"repository {repo!r} has no folder {FOLDER!r}.",
                        hint="Recommender.push_to_hub writes one; this repository holds something else",
                    )
                verified(scratch / FOLDER)  # a damaged download takes no place
    return place / FOLDER


def _place(repo: str, commit: str) -> Path:
    return default_cache() / "hub" / repo.replace("/", "--") / commit


def _api(token: str | None) -> Any:
    try:
        from huggingface_hub import HfApi
    except ModuleNotFoundError as missing:
        raise MissingExtraError("huggingface_hub", "hub", "the Hugging Face Hub") from missing
    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token, library_name="shortlist")


@contextmanager
def _in_words(doing: str, asked: str = "owner/name") -> Iterator[None]:
    """Turn errors of the Hub and of the network into a BundleError.

    Args:
        doing: what is done.
        asked: the name of the repository that is read; without an owner it is behind the Hub's answer 401 or 404.
    """
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, LocalTokenNotFoundError  # type: ignore[attr-defined]

    try:
        yield
    except HFValidationError as error:
        raise BundleError(
            f"{doing}: {error}", hint="a repository is written as owner/name, without an address"
        ) from error
    except LocalTokenNotFoundError as error:
        raise BundleError(f"{doing}: nobody is logged in.", hint=HINTS[401]) from error
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        said = (error.server_message or str(error)).strip().splitlines()[0]
        hint = NO_OWNER.format(name=asked) if status in (401, 404) and "/" not in asked else HINTS.get(status or 0)
        raise BundleError(f"{doing}: the Hub answered {status}: {said}", hint=hint) from error
    except (HTTPError, ConnectionError) as error:
        raise BundleError(
            f"{doing}: the Hub cannot be reached: {error}",
            hint="check the network (and HF_ENDPOINT, where it is set), and try again",
        ) from error
    except OSError as error:
        raise BundleError(f"{doing}: {error}") from error
