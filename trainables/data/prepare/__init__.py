"""Original corpora turned into the JSON-lines layout, one file per corpus."""
