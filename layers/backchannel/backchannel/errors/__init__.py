"""Every failure this service knows, as one tree with three branches: the caller's, the relying party's, and internal.

What happens next depends on the branch, never on the text of a message. Each leaf carries a stable ``code``, which is what
logs, metrics, problem documents and delivery records show.
"""

from backchannel.errors.callers import *  # noqa: F403 - one face for the tree: a branch is only where to look
from backchannel.errors.internal import *  # noqa: F403
from backchannel.errors.relying_parties import *  # noqa: F403
from backchannel.errors.root import BackchannelError as BackchannelError
from backchannel.errors.root import shown as shown
