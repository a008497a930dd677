"""One logout token for one client: its record, its attempts, its outcome."""
