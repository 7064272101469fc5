"""What the numbers were measured on."""

import os
import platform
import re
from datetime import datetime, timezone
from pathlib import Path


def environment() -> dict:
    """Returns processor, cores, memory, system and load, without names of machines or people."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_at_start": round(os.getloadavg()[0], 2),
        "thread_variables": {
            name: value for name, value in sorted(os.environ.items()) if name.startswith(("OMP_", "MKL_", "OPENBLAS_"))
        },
        "date": datetime.now(timezone.utc).date().isoformat(),
    }


def folder_of(environment: dict) -> str:
    """Returns the name of the folder for what was measured on this processor: "AMD EPYC (family 25 model 17)" is "amd-epyc-25-17"."""
    text = re.sub(r"\((r|tm)\)|@.*?ghz|\b(processor|cpu|family|model)\b", " ", environment["processor"].lower())
    return "-".join(re.findall(r"[a-z0-9]+", text))


def cpu_seconds(pid: int) -> float | None:
    """Returns the processor time that a process has used, all threads together; None where /proc is not there."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _processor() -> str:
    """Returns the processor's model; where only family and model number are told apart, those too."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines) if value}
    numbers = f"family {facts['cpu family']} model {facts['model']}" if "cpu family" in facts else platform.machine()
    return f"{facts.get('model name', platform.machine())} ({numbers})"
