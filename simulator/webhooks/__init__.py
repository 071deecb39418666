"""Webhooks: who subscribed to what, what happened, and its delivery to a callback."""
