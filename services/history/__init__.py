"""The account's past: daily snapshots, the repair of missing days, and the back-fill of what Instagram still has."""
