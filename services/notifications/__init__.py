"""The outgoing webhook: what is announced to the operator's own program, and how that reaches it."""
