"""Modash's Discovery API: client and error codes."""
