"""Distances and similarities between vectors."""

from nnlib import _C

cosine_similarity = _C.cosine_similarity
pairwise_distance = _C.pairwise_distance
pdist = _C.pdist
