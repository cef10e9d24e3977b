"""The program that runs on a device: verify, fetch, decode, play, report."""

VERSION = "0.1.0"
