"""Account insights: which metrics there are, how they are requested, read, cached and stored."""
