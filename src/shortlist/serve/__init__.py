"""HTTP over a Recommender, and its one static page."""

from shortlist.serve.app import App
from shortlist.serve.service import Service
from shortlist.serve.settings import Settings

__all__ = ["App", "Service", "Settings"]
