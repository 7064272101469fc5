"""``shortlist export``: a bundle's towers to ONNX, so that a server without torch can run them."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from shortlist.cli.console import print_json, say

__all__ = ["command"]


@click.command("export")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Bundle to write (default: replace BUNDLE).")
@click.option("--overwrite", is_flag=True, help="Replace an existing bundle at --out.")
@click.option(
    "--sign",
    type=click.Path(path_type=Path),
    metavar="KEYFILE",
    help="Sign the bundle with the key in this file, for `shortlist serve --require-signature`.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(bundle: Path, out: Path | None, overwrite: bool, sign: Path | None, as_json: bool) -> None:
    """Add the towers of BUNDLE as ONNX, checked against torch to 1e-5.

    A server can then answer requests with features or a history, and take new candidates, without torch.
    """
    import shortlist as sl
    from shortlist.recommender import signing
    from shortlist.recommender.folder import check_place

    target = bundle if out is None else out
    overwrite = overwrite or out is None
    key = None if sign is None else signing.read_key(sign)
    recommender = sl.Recommender.load(bundle)
    check_place(target, overwrite)
    recommender.export()
    recommender.save(target, overwrite=overwrite)
    if key is not None:
        signing.sign(target, key)
    size = sum(file.stat().st_size for file in target.glob("model/*.onnx"))
    say(f"wrote {target}: query and candidate tower as ONNX ({size / 1e6:.2f} MB), the same as torch to 1e-5")
    if key is not None:
        say(f"signed with the key in {sign}; sign it again after every change")
    if as_json:
        print_json({"bundle": str(target), "onnx_bytes": size})
