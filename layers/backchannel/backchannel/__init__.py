"""Backchannel: OpenID Connect Back-Channel Logout 1.0 on behalf of an OpenID Provider."""
