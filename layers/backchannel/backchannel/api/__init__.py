"""The operator's interface: one module for each resource."""
