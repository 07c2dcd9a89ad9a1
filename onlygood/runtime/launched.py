"""Who was started together with this process, as torchrun, Accelerate or MPI say it in the environment."""

import os

# Of each launcher the process's rank, and how many there are. A number without a rank is not of a launcher.
_NAMES = {
    "RANK": "WORLD_SIZE",
    "OMPI_COMM_WORLD_RANK": "OMPI_COMM_WORLD_SIZE",  # Open MPI
    "PMI_RANK": "PMI_SIZE",  # MPICH and Intel MPI
    "MV2_COMM_WORLD_RANK": "MV2_COMM_WORLD_SIZE",  # MVAPICH
}


def launched() -> int:
    """How many processes there are, this one among them."""
    return max([1, *(int(os.environ.get(size, "1")) for rank, size in _NAMES.items() if rank in os.environ)])


def helping() -> bool:
    """Whether there are several, and this is not the first."""
    return launched() > 1 and any(os.environ.get(rank, "0") != "0" for rank in _NAMES)
