"""Several processes behind one socket: a supervisor, workers that answer, and one that writes changes.

The supervisor owns the listening socket, loads nothing and forks the others. Workers answer from the same files, which
are mapped, so that their pages are in memory once. The writing process owns the log of changes; workers send changes to it
and follow it. docs/decisions/047 has the reasons.
"""

from shortlist.serve.processes.children import Plan
from shortlist.serve.processes.messages import Ready
from shortlist.serve.processes.supervisor import Supervisor

__all__ = ["Plan", "Ready", "Supervisor"]
