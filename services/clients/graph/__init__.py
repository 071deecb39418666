"""Instagram's Graph API: client, models, error codes and usage headers."""
