"""What this service tells the operator's event bus."""
