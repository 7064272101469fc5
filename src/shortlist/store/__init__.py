"""Files and folders on disk that are complete and unaltered, or that are reported as damaged.

Bundles, indexes, shards, checkpoints, the cache of downloads and promotions are written and checked here; their
contents belong to their own rooms. A process that is killed at any moment leaves what was there before.
"""

from shortlist.store.disk import (
    DamageError,
    Entry,
    NamedEntry,
    in_one_step,
    is_scratch,
    is_written_in_place,
    make_folder,
    read_file,
    sync,
    write_file,
    write_result,
)
from shortlist.store.folder import (
    Additions,
    Mark,
    check,
    check_names,
    check_writable,
    check_writable_file,
    entries_of,
    in_use,
    locked,
    new_folder,
    set_aside,
    using,
)
from shortlist.store.mapped import LARGE, mapped_zeros, reserve, roomy_zeros
from shortlist.store.room import available_memory, device_of, existing, free_disk, held_memory, is_in_memory
from shortlist.store.seals import (
    TooNewError,
    checksum,
    open_first_line,
    open_zeros,
    read_json,
    seal_first_line,
    seal_zeros,
)

__all__ = [
    "LARGE",
    "Additions",
    "DamageError",
    "Entry",
    "Mark",
    "NamedEntry",
    "TooNewError",
    "available_memory",
    "check",
    "check_names",
    "check_writable",
    "check_writable_file",
    "checksum",
    "device_of",
    "entries_of",
    "existing",
    "free_disk",
    "held_memory",
    "in_one_step",
    "in_use",
    "is_in_memory",
    "is_scratch",
    "is_written_in_place",
    "locked",
    "make_folder",
    "mapped_zeros",
    "new_folder",
    "open_first_line",
    "open_zeros",
    "read_file",
    "read_json",
    "reserve",
    "roomy_zeros",
    "seal_first_line",
    "seal_zeros",
    "set_aside",
    "sync",
    "using",
    "write_file",
    "write_result",
]
