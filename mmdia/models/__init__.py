from .attentions import *  # noqa: F403
from .backbones import *  # noqa: F403
from .cells import *  # noqa: F403
from .interactions import *  # noqa: F403
from .utils import record  # noqa: F401
