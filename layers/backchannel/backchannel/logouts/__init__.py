"""From the end of a session to its deliveries."""
