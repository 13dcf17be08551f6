"""Few-step causal video generation by adversarial self-distillation. Each name below is loaded when it is first used."""

__version__ = "0.1.0"

import sys

from .interface import HOME, Door

__all__ = list(HOME)
sys.modules[__name__].__class__ = Door
del sys, HOME, Door
