# `make demo` and `make test` do all the set-up. They need only python3 (3.11+) and its venv module.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# One version of every dependency. pip 25.3 and newer read the second variable when they build, older ones the first. Not
# for .device, which builds with the backend from build.txt: the new pip refuses the second one there.
LOCKED := constraints/locked.txt
$(VENV)/.device $(VENV)/.test $(VENV)/.fuzz $(VENV)/.mutants $(VENV)/.lint $(VENV)/.docs: export PIP_CONSTRAINT := $(LOCKED)
$(VENV)/.test $(VENV)/.fuzz $(VENV)/.mutants $(VENV)/.lint $(VENV)/.docs: export PIP_BUILD_CONSTRAINT := $(LOCKED)
# The device install and the build backend, each file by its hash. What the other extras add is locked by version.
HASHED := constraints/device.txt constraints/build.txt
INSTALL := $(BIN)/python -m pip install --quiet

.PHONY: demo test slow soak fleet fuzz mutants arm arm-roots everywhere lint types site audit lock newest clean

demo: $(VENV)/.device
	$(BIN)/anyecg demo

# Several test processes, then the tests that need an idle machine; `make test ARGS="--workers 1"` uses one process.
test: $(VENV)/.test
	$(BIN)/python tests/helpers/run_tier.py fast $(ARGS)

slow: $(VENV)/.test
	$(BIN)/python tests/helpers/run_tier.py slow $(ARGS)

# Weeks of signal at full speed with faults, floods and lost links: `make soak SOAK="--days 1"`; docs/reliability.md has the figures.
soak: $(VENV)/.test
	PYTHONPATH=.:tests $(BIN)/python tests/soak/run.py $(SOAK)

# 200 simulated patients on 20 simulated Pis for an hour of signal, through a broker into PostgreSQL: `make fleet FLEET="--seconds 600"`.
# Needs mosquitto and PostgreSQL (.ci/install-slow).
fleet: $(VENV)/.test
	PYTHONPATH=.:tests $(BIN)/python tests/fleet/run.py $(FLEET)

# Fuzzing, ten minutes for each target; `make fuzz FUZZ="--seconds 60 csv edf"` shortens it, `FUZZ=--list` prints the targets.
FUZZ ?= --seconds 600
fuzz: $(VENV)/.fuzz
	$(BIN)/python tests/fuzz/run.py $(FUZZ)

# Mutation tests: change a module and check that its tests fail. `make mutants MUTANTS="quality --sample 100"`; see docs/testing.md.
mutants: $(VENV)/.mutants
	OPENBLAS_NUM_THREADS=1 $(BIN)/python tests/mutants/run.py $(MUTANTS)

# The device tier on emulated 64-bit and 32-bit ARM: downloads 150 MB from Debian and PyPI once, 450 MB in ~/.cache.
arm: arm-roots
	$(BIN)/python -m pytest -m slow --timeout=3600 tests/arm

arm-roots: $(VENV)/.test
	$(BIN)/python tests/arm/build_roots.py

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.lint $(VENV)/.test
	$(BIN)/mypy

# The documentation as a site in build/site: strict, every link checked, without the network (after the installation).
site: $(VENV)/.docs
	$(BIN)/python packaging/build_site.py build/site

# Known weaknesses of the dependencies (asks the network) and of the code, the wheel and its bill of materials; part of the slow tier.
audit: $(VENV)/.audit $(VENV)/.test
	$(BIN)/python -m pytest -m "slow or not slow" tests/unit/install

lock:
	$(PYTHON) packaging/lock.py

newest:
	$(PYTHON) packaging/newest.py

clean:
	rm -rf $(VENV) .venv-newest build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "anyecg-edge needs Python 3.11 or newer, but $(PYTHON) is older; use PYTHON=/path/to/python3 make ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "the venv module is missing; install it with: sudo apt-get install python3-venv"; exit 1; }

# With the stamp files, a second call does not query the package index again.
$(VENV)/.hashed: $(HASHED) | $(BIN)/python
	$(INSTALL) --require-hashes $(HASHED:%=-r %)
	@touch $@

$(VENV)/.device: pyproject.toml $(LOCKED) $(VENV)/.hashed
	$(INSTALL) --no-build-isolation -e .
	@touch $@

$(VENV)/.test: pyproject.toml $(LOCKED) $(VENV)/.hashed
	$(INSTALL) -e '.[test]'
	@touch $@ $(VENV)/.device

$(VENV)/.fuzz: pyproject.toml $(LOCKED) $(VENV)/.hashed
	$(INSTALL) -e '.[test,fuzz]'
	@touch $@ $(VENV)/.test $(VENV)/.device

$(VENV)/.mutants: pyproject.toml $(LOCKED) $(VENV)/.hashed
	$(INSTALL) -e '.[test,mutants]'
	@touch $@ $(VENV)/.test $(VENV)/.device

$(VENV)/.lint: pyproject.toml $(LOCKED) $(VENV)/.hashed
	$(INSTALL) -e '.[lint]'
	@touch $@

$(VENV)/.docs: pyproject.toml $(LOCKED) $(VENV)/.hashed
	$(INSTALL) -e '.[docs]'
	@touch $@ $(VENV)/.device

# Their own environment, because they would decide versions of the kit's.
$(VENV)/.audit: constraints/audit.txt | $(BIN)/python
	$(BIN)/python -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet --require-hashes -r constraints/audit.txt
	@touch $@

# Bare Debian 12 and 13, each Python of this machine, and ARM: .ci/everywhere/run says what it needs. STEPS=trixie runs one of them.
everywhere:
	@.ci/everywhere/run $(STEPS)
