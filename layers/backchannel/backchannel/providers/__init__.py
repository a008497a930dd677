"""Who is configured: providers, their webhook sources and their clients."""
