"""The engine: expressions in, finished stages out."""
