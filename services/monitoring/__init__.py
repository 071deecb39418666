"""What GET /metrics shows: counts of every process together, and the state of the gateway."""
