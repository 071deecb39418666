"""The only packages that speak HTTP to a provider: one transport, one client for each provider."""
