"""What `python -m benchmarks all` runs, about how long it takes, and what an interrupted run has done already."""

import json
from pathlib import Path

import shortlist
from benchmarks import datasets, machine

RACES = {  # arguments of `python -m benchmarks.index` by the name of their result
    "index_5e4": ("--n", "5e4"),
    "index_5e4_outside": ("--n", "5e4", "--outside"),
    "index_2e5": ("--n", "2e5"),
    "index_2e5_outside": ("--n", "2e5", "--outside"),
    "index_1e6": ("--n", "1e6"),
    "index_1e6_outside": ("--n", "1e6", "--outside"),
    "index_1e7": ("--n", "1e7"),
}
QUICK_RACES = {"index": (), "index_outside": ("--outside",)}  # small data are the same for every size
MINUTES = {
    "fit": 10,
    "fit_metrics": 5,
    "evaluate": 4,
    "evaluate_large": 2,
    "zipf": 2,
    "distinct": 2,
    "huge_batch": 1,
    "features": 3,
    "ingest": 5,
    "startup": 1,
    "als": 2,
    "sequence": 6,
    "neighbours": 1,
    "train": 2,
    "limits": 2,
    "curve_batch": 4,
    "curve_dim": 4,
    "curve_vocabulary": 3,
    "curve_catalogue": 3,
    "curve_interactions": 2,
    "curve_evaluate": 5,
    "index_exact": 1,
    "index_filters": 1,
    "index_congruence": 2,
    "index_load": 1,
    "index_bundle": 3,
    "index_mutations": 2,
    "index_5e4": 3,
    "index_5e4_outside": 1,
    "index_2e5": 6,
    "index_2e5_outside": 2,
    "index_1e6": 35,
    "index_1e6_outside": 9,
    "index_1e7": 6,
}  # on two quiet cores, where no result of this processor says how long it took


def announced(names: list[str], results: Path) -> str:
    """Returns what is to come, one name a line, with minutes: those of this processor's results, or of `MINUTES`."""
    folder = results / machine.folder_of(machine.environment())
    lines, total = [], 0.0
    for name in names:
        kept = folder / f"{name}.json"
        seconds = json.loads(kept.read_text()).get("seconds") if kept.exists() else None
        minutes = MINUTES[name] if seconds is None else seconds / 60
        total += minutes
        lines.append(f"  {name:20} {minutes:4.0f} min" + ("" if seconds is None else ", as the last time"))
    return "\n".join([f"{len(names)} benchmarks, about {total:.0f} minutes on two quiet cores:", *lines])


def quick(names: list[str]) -> str:
    """Returns what is to come of a quick run."""
    return f"{len(names)} benchmarks on small data: {', '.join(names)}"


class Done:
    """The names that a run of `all` has measured, kept until all are; a result of another version or processor is not counted."""

    def __init__(self) -> None:
        self.path = datasets.DATA / "done.json"
        self._of = [shortlist.__version__, machine.folder_of(machine.environment())]

    def names(self) -> set[str]:
        """Returns the names that need not be run again."""
        if not self.path.exists():
            return set()
        kept = json.loads(self.path.read_text())
        return set(kept["names"]) if kept["of"] == self._of else set()

    def add(self, name: str) -> None:
        """Notes a name."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps({"of": self._of, "names": sorted({*self.names(), name})}))

    def clear(self) -> None:
        """Forgets all of them."""
        self.path.unlink(missing_ok=True)
