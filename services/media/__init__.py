"""Insights of single media: which metrics there are, how they are read, and what Instagram refuses."""
