"""Access: the API keys of callers as each process knows them, and what a gateway needs to start."""
