SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Package indexes behind a private certificate authority need the system's certificates.
export UV_SYSTEM_CERTS ?= 1
# Debian keeps daemons (mosquitto, snmpd) out of an ordinary user's PATH.
export PATH := $(PATH):/usr/sbin:/sbin
# Without compiled modules every start of a program costs half a second more.
unexport PYTHONDONTWRITEBYTECODE
PYTHON := .venv/bin/python
ROOMS := inventory nms audio exporters tui
N ?= 5000
OUT ?= build/fleet-$(N)
SECONDS ?= 600
CHECKS := format lint types layers translations playbooks rules

.PHONY: help bootstrap demo test check $(CHECKS) collected bench fuzz fleet lab lab-down lab-vm clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

demo: ## the whole system on the sample province: 30 receivers, 4 bulletins, failures; ends in the TUI on a terminal
	@scripts/bootstrap demo
	@$(PYTHON) -m tests.sim.demo

test: ## everything a change must pass: check, then all tests
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target check collected
	@tmp=$$(mktemp -d -t loa-test-XXXXXX); trap 'rm -rf "$$tmp"' EXIT; \
	$(PYTHON) -m pytest -n 5 --dist loadfile --no-loadscope-reorder --basetemp "$$tmp/run"

check: $(CHECKS) ## format, lint, types, layers, translations, playbooks, alert rules
	@echo "check: ok"

bench: ## every benchmark in turn, each beside the peer it is measured against
	@scripts/bootstrap bench
	@failed=""; for file in benchmarks/bench_*.py; do \
	  name=$$(basename "$$file" .py); echo "== $$name"; $(PYTHON) -m "benchmarks.$$name" || failed="$$failed $$name"; \
	done; [ -z "$$failed" ] || { echo "bench: budgets not kept:$$failed"; exit 1; }

fuzz: bootstrap ## random bytes into all that reads the network: make fuzz SECONDS=60
	@env -u VIRTUAL_ENV .venv/bin/uv sync --quiet --locked --inexact --group fuzz
	@$(PYTHON) -m tests.fuzz.run --seconds "$(SECONDS)"

fleet: bootstrap ## a generated province of N devices in OUT: make fleet N=100000 OUT=build/big
	@$(PYTHON) -m tests.sim.province fleet --devices "$(N)" --out "$(OUT)"

lab: bootstrap ## loudspeakers, a modem and a router as real hosts in namespaces, to play with (root)
	@$(PYTHON) -m tests.lab.play up

lab-down: ## takes away what make lab started
	@$(PYTHON) -m tests.lab.play down

lab-vm: ## a provisioned receiver plays on a sound card, in a virtual machine (root)
	@scripts/bootstrap lab-vm
	@$(PYTHON) -m pytest -q -s -p no:cacheprovider tests/lab/vm_sound.py

bootstrap: ## system commands (apt when root), .venv, locked packages
	@scripts/bootstrap test

clean: ## remove what make made
	@rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(CHECKS) collected: bootstrap

# Every test is found, and compiled once: on a fresh clone each of the workers would do it again.
collected:
	@found=$$($(PYTHON) -m pytest --collect-only -qq 2>&1) || { echo "$$found"; exit 1; }

format:
	@.venv/bin/ruff format --check --quiet . || { echo "format: run .venv/bin/ruff format ."; exit 1; }

lint:
	@.venv/bin/ruff check --quiet .

types:
	@.venv/bin/mypy $(ROOMS) scripts tests $(wildcard benchmarks/*.py)

layers:
	@.venv/bin/lint-imports --no-logo

translations:
	@$(PYTHON) -m scripts.translations check

playbooks:
	@.venv/bin/ansible-lint --offline --nocolor playbooks

rules:
	@promtool check rules exporters/rules/*.yml
	@promtool test rules exporters/rules/tests/*.yml
