"""What `make` runs: programs for the terminal of a developer or operator."""
