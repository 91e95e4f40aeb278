"""Benchmarks: ``python -m nnlib.bench`` times operators and models.

Each time stands beside the machine's limits, measured in the same run, and beside PyTorch's where that is installed.
``--memory`` measures peak memory and page faults, ``--load`` steps beside a process that keeps a core busy.
``python -m nnlib.bench --help`` lists the options.
"""
