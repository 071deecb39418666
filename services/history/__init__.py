"""The account's past: the snapshots, repairs and back-fill that keep it, and the days, weeks and months read of it."""
