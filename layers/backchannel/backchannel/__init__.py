"""Backchannel: OpenID Connect Back-Channel Logout 1.0 on behalf of an OpenID Provider."""

__version__ = "0.1.0"
