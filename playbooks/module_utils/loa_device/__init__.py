"""The device's side of provisioning: runs on the device itself, with Python 3.9's standard library and nothing else."""
