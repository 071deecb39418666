"""The accounts that granted access: found by id or username, stored with their tokens, checked."""
