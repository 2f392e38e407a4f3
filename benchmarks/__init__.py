"""What the engine and the methods cost and achieve, measured; `make bench` runs them all."""
