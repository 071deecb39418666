"""The object graph: `container` puts it together, the other modules build its parts."""
