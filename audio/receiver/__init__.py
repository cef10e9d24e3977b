"""The program that runs on a device: verify, fetch, decode, play, report."""
