"""The loops that do the work, compiled by Numba; nothing in here checks its arguments."""
