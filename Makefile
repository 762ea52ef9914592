# Set-up, tests and the demonstration. Needs Python 3.11 or later and make; everything else goes into $(VENV).

VENV ?= .venv
DEMO_FLAGS ?=
STUDY_FLAGS ?=
WORKERS ?= 2
SLOW_FLAGS ?=
PIP_FLAGS ?= --quiet --disable-pip-version-check
BIN := $(VENV)/bin

.PHONY: help demo study test test-slow test-long test-interop lint types format bench guard docs clean-demo
.DEFAULT_GOAL := help

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

demo: $(VENV)/.demo ## Run the main job: small LLaVA, easy-VQA, layer-wise decomposition, page in demo/
	@$(BIN)/pid-jax demo --out demo $(DEMO_FLAGS)

study: $(VENV)/.demo ## Run a whole study: two small LLaVAs, six tasks, knockouts, verdicts, report in study/
	@$(BIN)/pid-jax small-study --out study $(STUDY_FLAGS)

# The tests of a file stay together: they share fixtures and compiled programs.
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

test: $(VENV)/.test ## Run the tests (fast tier, five minutes on two cores)
	@$(PYTEST)

test-slow: $(VENV)/.docs ## Run the slow tier
	@$(PYTEST) -m slow --timeout 600 $(SLOW_FLAGS)

test-long: $(VENV)/.docs ## Run what takes hours
	@$(PYTEST) -m long

test-interop: $(VENV)/.test ## Read what other tools write, each installed in an environment of its own
	@python3 -m venv $(VENV)-interop && $(VENV)-interop/bin/pip install $(PIP_FLAGS) -r tests/interop/requirements.txt
	@$(BIN)/python -m pytest -m long tests/interop --interop $(VENV)-interop/bin/python

lint: $(VENV)/.dev ## Check style and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.dev ## Check types
	@$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/.dev ## Format the code
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

bench: $(VENV)/.bench ## Run the benchmarks, and write their page
	@for name in gaussian discrete categorical pca flow flow_speed known_information coverage ranks bootstrap permutation comparison power posterior share_null controls warped paper store streaming extraction gqa small_gqa report many_models planted scaling; do $(BIN)/python -m benchmarks.$$name || exit 1; done
	@$(BIN)/python -m benchmarks.guard --write
	@$(BIN)/python -m benchmarks.page

guard: $(VENV)/.bench ## Compare the speed of the kernels with the stored one
	@$(BIN)/python -m benchmarks.guard

docs: $(VENV)/.docs ## Build the documentation into docs/_build/html and check it: links, examples, nothing left out
	@$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@$(BIN)/python -m pytest tests/test_docs.py
	@$(BIN)/python -m pytest tests/test_site.py -m slow
	@echo "Open docs/_build/html/index.html"

clean-demo: ## Delete what the demonstration made
	rm -rf demo

# One stamp an extra: installed again when the requirements change.
$(VENV)/.%: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing pid_jax[$*] into $(VENV) (once, a few minutes) ..."
	@$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints.txt -e ".[$*]"
	@touch $@

$(VENV)/bin/python:
	@for python in python3.11 python3.12 python3.13 python3.14 python3; do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Making $(VENV) with $$($$python --version)"; \
	    $$python -m venv --clear $(VENV) && exit 0; \
	    rm -rf $(VENV); \
	  fi; \
	done; \
	echo "error: no Python 3.11 or later with its venv module found: install them, then run make again" >&2; exit 1
