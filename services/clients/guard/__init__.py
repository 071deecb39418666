"""The guard in front of a provider: bulkhead, throttle, circuit breaker and probes."""
