"""The table of cases, in the order of sending: the good token first, since it has a login to end."""

from backchannel_cli.receiver_check.claim_cases import CLAIM_CASES
from backchannel_cli.receiver_check.good_cases import GOOD_CASES
from backchannel_cli.receiver_check.signature_cases import SIGNATURE_CASES

CASES = (*GOOD_CASES, *SIGNATURE_CASES, *CLAIM_CASES)
