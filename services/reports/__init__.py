"""Modash reports about creators: each is bought once, booked in the ledger and kept."""
