"""The posts of an account: one list that top posts and growth share."""
