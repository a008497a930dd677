"""The command `backchannel`: the operator's interface of the service, at a terminal."""
