"""The POST to a relying party, and the only way out: which addresses, for how long, how much is read."""
