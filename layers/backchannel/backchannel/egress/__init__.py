"""Every request that leaves for a relying party or a provider, and the only way out: which addresses, for how long, how much."""
