"""The command `backchannel`: the operator's interface of the service, at a terminal."""

__version__ = "0.1.0"
