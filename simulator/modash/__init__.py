"""Modash's Discovery API, as far as performance data goes."""
