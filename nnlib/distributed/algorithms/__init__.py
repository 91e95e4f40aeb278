"""Algorithms on top of the collectives, named as in torch.distributed.algorithms."""
