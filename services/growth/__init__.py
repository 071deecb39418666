"""Growth of an account: what is read for it, the followers at both ends of a period, and the trends made of both."""
