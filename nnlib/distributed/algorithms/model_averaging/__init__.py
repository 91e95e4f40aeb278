"""Averages of the ranks' parameters, for training that does not average gradients in every step."""

from . import averagers

__all__ = ["averagers"]
