"""The invented world: accounts, their days, their posts and the creators, the same for the same seed."""
