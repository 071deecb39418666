"""The cache in front of every provider read: fresh, stale-while-revalidate, single flight, stale-if-error."""
