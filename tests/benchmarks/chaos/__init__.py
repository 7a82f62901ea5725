"""Chaos: the product under faults. `run` breaks things on a seeded schedule, `check` recounts what came of it."""
