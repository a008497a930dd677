"""Webhooks of identity providers: one module for each family of signatures, one for each format."""
