"""Quality on public protocols: recipes of ours beside popularity, EASE, iALS and recency; see `docs/quality.md`."""
