"""The modules of `nnlib.nn`, a family a file."""

# ruff: noqa: F401, F403  (this file is the list of what there is)

from .activation import *
from .adaptive import AdaptiveLogSoftmaxWithLoss
from .batchnorm import *
from .channelshuffle import ChannelShuffle
from .container import *
from .conv import *
from .conv_lazy import *
from .distance import *
from .dropout import *
from .flatten import *
from .fold import *
from .instancenorm import *
from .lazy import LazyModuleMixin
from .linear import *
from .linear_cross_entropy import LinearCrossEntropyLoss
from .linear_cross_entropy_options import LinearCrossEntropyOptions
from .loss import *
from .module import Module
from .normalization import *
from .padding import *
from .pixelshuffle import *
from .pooling import *
from .rnn import *
from .sparse import *
from .transformer import *
from .upsampling import *

__all__ = sorted(name for name, value in list(globals().items()) if isinstance(value, type))
