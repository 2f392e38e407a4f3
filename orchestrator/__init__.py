"""What to run, where, and what came of it. Never imports torch."""
