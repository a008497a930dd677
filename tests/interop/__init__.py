"""Logout with software that nobody here wrote: oidc-provider as the provider, express-openid-connect as its clients."""
