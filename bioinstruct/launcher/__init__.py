"""Sweeps: one fresh process per cell on leased GPUs or CPU slots, a dry run of the plan, and Slurm."""
