"""Where the workers of a sweep run: processes of this machine, Slurm, Ray; each a thin adapter."""
