"""Tasks, their data and where it comes from."""
