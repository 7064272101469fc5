"""The worked estimate of docs/scale.md: a billion interactions through every phase, from what was measured."""

from benchmarks.scale.units import gb
from shortlist.data import Shards
from shortlist.data.shards.estimate import Estimate
from shortlist.train.forecast import Forecast, TableForecast

ROWS, USERS, ITEMS, DIM = 10**9, 10**8, 5 * 10**7, 32


def per_id(found: dict) -> float:
    """Returns bytes of memory that an id takes in training beside its row and accumulators, from the two largest runs."""
    small, large = (one["train"] for one in found["vocabulary"][-2:])
    ids = [one["queries"] + one["candidates"] for one in (small, large)]
    rest = [one["peak_memory"] - 2 * one["tables"] for one in (small, large)]
    return (rest[1] - rest[0]) / (ids[1] - ids[0])


def per_id_encoding(found: dict) -> float:
    """Returns bytes of memory that an id takes in encoding, from the two largest runs."""
    small, large = (one["encode"] for one in found["vocabulary"][-2:])
    return (large["peak_memory"] - small["peak_memory"]) / (
        large["queries"] + large["candidates"] - small["queries"] - small["candidates"]
    )


def estimate(found: dict) -> str:
    """Returns the table of the worked estimate."""
    ids = USERS + ITEMS
    table, own = ids * DIM * 4, ids * per_id(found)
    base = found["train"]["peak_memory"] - 2 * found["train"]["tables"]
    base -= (found["train"]["queries"] + found["train"]["candidates"]) * per_id(found)
    speed = found["vocabulary"][-1]["train"]["speed"]
    pace = found["encode"]["rows"] / found["encode"]["seconds"]
    index = found["index"]
    lines = [
        ("shards on the disk", "8 bytes a row", gb(8 * ROWS)),
        (
            "encoding: memory, without what grows with rows",
            f"{per_id_encoding(found):.0f} bytes an id",
            gb(ids * per_id_encoding(found)),
        ),
        ("encoding: time", f"{pace / 1e6:.1f} million rows a second", f"{ROWS / pace / 60:.0f} min"),
        ("tables, float32", f"{ids:,} × {DIM} × 4 bytes", gb(table)),
        ("optimizer state, Adagrad", "as much again", gb(table)),
        ("optimizer state, RowwiseAdagrad", "4 bytes an id", gb(4 * ids)),
        ("ids, vocabularies, codes", f"{per_id(found):.0f} bytes an id", gb(own)),
        (
            "**training, float32 and Adagrad**",
            "the sum, and the rest of the process",
            f"**{gb(2 * table + own + base)}**",
        ),
        (
            "**training, bfloat16 and RowwiseAdagrad**",
            "the same with half the tables",
            f"**{gb(table / 2 + 4 * ids + own + base)}**",
        ),
        (
            "an epoch",
            f"{speed:,.0f} examples a processor-second, as with {_ids(found):,} ids at dim 16",
            f"{ROWS / speed / 3600:.1f} h",
        ),
        (
            "index of the items, ScaNN",
            f"5 times that of 10 million of {DIM}",
            f"{gb(5 * index['peak'])}, built in {5 * index['build'] / 60:.0f} min",
        ),
        ("vectors of users and items, to serve", f"{ids:,} × {DIM} × 4 bytes", gb(table)),
    ]
    return "\n".join(["| | how | |", "|---|---|---|", *(f"| {name} | {how} | {value} |" for name, how, value in lines)])


def notes(found: dict) -> str:
    """Returns what the estimate means for both machines."""
    ids = USERS + ITEMS
    table, own = ids * DIM * 4, ids * per_id(found)
    full, small = 2 * table + own, table / 2 + 4 * ids + own
    fits = "fits" if full < 128e9 else "does not fit"
    here = "fits" if small < 24e9 else "does not fit, unless `table_folder` or `min_count` takes some of it away"
    return (
        f"So on 128 GB training {fits} in float32 with Adagrad; on 24 GB bfloat16 with RowwiseAdagrad {here}. Not "
        "measured: dim 32 at this vocabulary, the speed of more cores, and the disk of either machine. An epoch at dim 32 costs "
        "more than at dim 16, and more threads take less of the clock."
    )


def _ids(found: dict) -> int:
    one = found["vocabulary"][-1]["train"]
    return int(one["queries"] + one["candidates"])


PROCESSES = {"one of 128 GB": (1, 128e9), "four of 24 GB": (4, 24e9), "8 GPUs of 80 GB": (8, 80e9)}


def phases(found: dict) -> str:
    """Returns the memory of the largest process of three kinds of machine in every phase, and how many ids fill it."""
    names = list(PROCESSES)
    each = [_phases_of(found, *PROCESSES[name], on_gpus="GPU" in name) for name in names]
    lines = [f"| float32 and Adagrad | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {phase} | {' | '.join(one[phase] for one in each)} |" for phase in each[0]]
    return "\n".join(lines)


def forecast_of(found: dict, processes: int, memory: float) -> Forecast:
    """Returns what `shortlist plan` computes its phases from, at the size of the estimate: bytes of ids and index as measured."""
    ids, width = USERS + ITEMS, DIM * 4
    tables = tuple(
        TableForecast(name, rows, DIM, rows * width, rows * width)
        for name, rows in (("users", USERS), ("items", ITEMS))
    )
    own, index, vectors = round(ids * per_id(found)), round(5 * found["index"]["peak"]), ids * width
    speed = found["vocabulary"][-1]["train"]["speed"]
    return Forecast(
        rows=ROWS,
        files=None,
        sampled=0,
        queries=Estimate(USERS, USERS, USERS),
        candidates=Estimate(ITEMS, ITEMS, ITEMS),
        tables=tables,
        dense=0,
        ids=own,
        interactions_in_memory=ROWS * 40,
        interactions_from_disk=Shards.buffer_rows * 40,
        shards=8 * ROWS,
        ordered=0,
        vectors=vectors,
        stored=2 * ids * width
        + USERS * width
        + index,  # tables next to vectors, since those of the recipe have length 1
        index=index,
        index_kind="Scann",
        serving=ids * width + vectors + index + own,
        examples_per_second=speed,
        seconds_per_epoch=ROWS / speed,
        epochs=1,
        memory=round(memory),
        account=None,
        processes=processes,
    )


def _phases_of(found: dict, processes: int, memory: float, on_gpus: bool) -> dict[str, str]:
    plan = forecast_of(found, processes, memory)
    phases = {phase.name: phase for phase in plan.phases}
    ids, learned, own = USERS + ITEMS, plan.weights + plan.optimizer, plan.ids
    steps = phases["steps"].memory
    rest = steps - learned // processes  # ids, buffer and the process itself, in every process
    base = rest - own
    of_id = 2 * DIM * 4 / processes + per_id(found)  # bytes of one more id, in proportion, while training
    of_saved = of_id + per_id(found) + 2 * plan.index / ids
    shown = {
        "encode, one process": gb(ids * per_id_encoding(found)),
        "build, steps, checkpoint": gb(steps),
        "written by each for three checkpoints": gb(phases["checkpoint"].disk / processes),
        "the end: files of the first process": gb(phases["end"].disk) if processes > 1 else "none",
        "index": gb(phases["index"].memory),
        "save": gb(phases["save"].memory),
        "the bundle": gb(phases["save"].disk),
        "serving, one process": gb(phases["serving"].memory),
        "a swap": gb(phases["swap"].memory),
        "ids with which training fills it": f"{(memory - base) / of_id / 1e6:,.0f} million",
        "ids with which saving fills it": f"{(memory - base) / of_saved / 1e6:,.0f} million",
    }
    if on_gpus:
        shown["build, steps, checkpoint"] = f"{gb(learned / processes)} a GPU, {gb(processes * rest)} on the host"
        for phase in ("index", "save"):
            more = phases[phase].memory - steps
            shown[phase] = f"{gb(processes * rest + more)} on the host"
        shown["ids with which training fills it"] = (
            f"{memory / (2 * DIM * 4 / processes) / 1e6:,.0f} million, by its GPUs"
        )
        shown["ids with which saving fills it"] = (
            f"by its host: {processes * per_id(found) + per_id(found) + 2 * plan.index / ids:.0f} bytes an id"
        )
    return shown
