"""Webhooks of identity providers: one module for each kind of signature, one for each format."""
