# Firn on a laptop. `make` alone prints this help.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/ready
# One more than processors: much of a test is waiting for an account.
WORKERS := $$(( $$(getconf _NPROCESSORS_ONLN) + 1 ))

help:            ## what one can do here
	@grep -E '^[a-z-]+: .*##|^[a-z-]+:  *##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort | awk -F '\t' '{printf "  make %-8s %s\n", $$1, $$2}'

# The stamp is written last, so an interrupted install is begun again, not taken for a finished one.
$(READY): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Firn needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12 …"; exit 1; }
	@rm -rf $(VENV)
	@echo "installing into $(VENV) (once; about a minute)"
	@$(PYTHON) -m venv $(VENV) || { echo "python's venv module is missing (on Debian: apt install python3-venv)"; exit 1; }
	@$(VENV)/bin/python -m pip install --quiet --no-compile --disable-pip-version-check --requirement requirements.txt 2>$(VENV)/install.log || { grep -v WARNING $(VENV)/install.log; echo "the install failed; mend the cause above and run make again"; exit 1; }
	@printf '#!/bin/sh\n# the firn command of this clone\nPYTHONPATH="%s" PYTHONWARNINGS=ignore exec "%s/bin/python" -P -m local "$$@"\n' "$(CURDIR)" "$(CURDIR)/$(VENV)" > $(VENV)/bin/firn
	@chmod +x $(VENV)/bin/firn
	@touch $(READY)

install: $(READY) ## make the environment in .venv (the other targets do it by themselves)

demo: $(READY)   ## the whole of it, from files in S3 to monthly numbers, on this machine
	@$(VENV)/bin/firn demo

test: $(READY)   ## all tests
	@$(VENV)/bin/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-all: $(READY) ## all tests, and the properties on a thousand streams and more
	@$(VENV)/bin/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m 'nightly or not nightly'

bench: $(READY)  ## speed and memory beside hand-written SQL, as ratios (about 10 minutes)
	@$(VENV)/bin/python -W ignore -m tests.bench

console: $(READY) ## the operators' page of the running local account, in a browser
	@$(VENV)/bin/firn console

imports: $(READY) ## write the IMPORTS of app/sql/*.sql from what the handlers import
	@$(VENV)/bin/python -m local.imports

reference: $(READY) ## write docs/spec-reference.md and the JSON Schema of pipeline files
	@$(VENV)/bin/python -m local.spec_pages

check: $(READY)  ## lint
	@$(VENV)/bin/ruff check .

lock:            ## renew requirements.txt from requirements.in
	@rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/pip install --quiet --requirement requirements.in
	@(head -1 requirements.txt; $(VENV)-lock/bin/pip freeze) > requirements.new && mv requirements.new requirements.txt && rm -rf $(VENV)-lock

.PHONY: help install demo test test-all bench console imports reference check lock
