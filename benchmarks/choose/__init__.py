"""`shortlist train` without a recipe, on public tables: what it reaches, beside what is cheaper, and how long it takes."""
