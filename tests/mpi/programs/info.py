"""What `python -m nnlib.distributed.info` prints."""

from nnlib.distributed.info import main

main()
print("RANK DONE", flush=True)
