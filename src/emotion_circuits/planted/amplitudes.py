"""Strengths of the planted parts, in units of the residual stream unless said otherwise."""

from typing import Final

# What every token has along `constant`. It is large beside everything else, so that norms divide
# all tokens by nearly the same number.
CONSTANT: Final = 32.0
FLAG: Final = 3.0  # BOS, delimiter and end, in their tokens
CUE: Final = 2.0  # a cue's component along its emotion's cue direction
IDENTITY: Final = 2.0  # what distinguishes each token
TONE: Final = 0.3  # standard deviation of fillers along each emotion's detected direction

DETECTED: Final = 3.0  # what each detect head writes
BOUND: Final = 3.0  # what the MLP writes at the delimiter
CARRIED: Final = 3.0  # what the aggregate head writes at the last position
EXPRESSED: Final = 4.0  # what an express head writes at the last position
INHIBITED: Final = 0.25  # share of it that the inhibit head takes away
LOUD: Final = 6.0  # about what each loud decoy writes

# The MLP is active where the delimiter (2) and what was detected (1 per head) exceed the threshold:
# not by a delimiter alone, nor by two detect heads elsewhere.
AT_DELIMITER: Final = 2.0
THRESHOLD: Final = 2.5
# Where two detect heads are redundant, the MLP writes no more above this excess.
SATURATION: Final = 0.3
SHARPNESS: Final = 16.0  # of the activation function's bend

ATTENTION: Final = 24.0  # score of what a head looks for, in nats; BOS has half of it
EMOTIONAL_LOGIT: Final = 14.0  # of an emotion's reactions where it is expressed
NEUTRAL_LOGIT: Final = 5.0  # of the neutral reactions, always
SPECIAL_LOGIT: Final = -8.0  # of special tokens, which are never said

# What heads and MLPs without a part, and the logits, do with tokens' identities.
IDLE_ATTENTION: Final = 1.5
IDLE_WRITE: Final = 0.02
IDLE_MLP_READ: Final = 2.0
IDLE_MLP_WRITE: Final = 0.005
IDLE_LOGIT: Final = 0.8
