"""Webhooks: deliveries of Meta are kept first, then read into changes and applied in the background."""
