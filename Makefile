# make demo   everything once: data, training, evaluation, export, predictions
# make test   lint and the quick tests
# make test-long   whole trainings, exports and programs: CI runs these too
# make lint   ruff
# make models every precision of the model that ships, from its SavedModel, into models/
# make page   the page that finds hands in the browser, into site/ (needs npm); make page SERVE=1 shows it
# make bench  times hand layer and mask against plain implementations; fails where they are not far ahead
# make docs   the reference of all modules, from their docstrings, into build/reference/
# make mutants  changes the code in a copy, one operator or number at a time, and lists the changes that no test sees (hours)
# make test-page  the page in Chromium, one picture against Python
# make test-slow, make serving-check   the longest checks (hours); the client tests against a real server (Docker)
# make locks     requirements/*.lock: every package of the runtime and of each extra, with hashes
# make sbom      a CycloneDX list of what each lock installs, into build/
# make release-check   the wheel in an empty environment of each Python on the PATH; each must predict
# Each sets itself up first: a Python 3.9-3.11 is found, .venv is made, the pinned packages are installed.
# make PYTHON=... chooses the Python.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# They bring dozens of packages of their own, so they get an environment of their own.
RELEASE_TOOLS := uv==0.13.9 cyclonedx-bom==7.5.0
TOOLS := build/release-tools

.PHONY: locks sbom release-check mutants bench models page docs demo test test-long test-page test-slow serving-check lint clean
.DEFAULT_GOAL := demo

demo: $(READY)
	@$(BIN)/hiu demo --out demo $(if $(REAL),--real "$(REAL)") $(if $(PHOTOS),--photos "$(PHOTOS)")

test: $(READY) lint
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal

test-long: $(READY)
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "long and not slow"

test-slow: $(READY)
	@$(BIN)/python -m pytest -q -m slow

# The page in headless Chromium: its joints are those of Python. make test-slow has its other tests.
test-page: $(READY)
	@$(BIN)/python -m pytest -q -m slow tests/web/test_page.py -k in_python

# The client tests against the real server, where Docker is at hand.
serving-check: $(READY)
	@docker run -d --rm --name hiu-serving-check -p 8501:8501 -e MODEL_NAME=hiu \
	  -v "$(CURDIR)/savedmodels/hiu_mobile:/models/hiu:ro" tensorflow/serving:2.15.1 >/dev/null
	@trap 'docker stop hiu-serving-check >/dev/null' EXIT; \
	for k in $$(seq 60); do curl -s localhost:8501/v1/models/hiu | grep -q AVAILABLE && break; sleep 1; done; \
	HIU_SERVER=localhost:8501 $(BIN)/python -m pytest -q tests/serving -k real_server

models: $(READY)
	@$(BIN)/hiu export --run savedmodels/hiu_mobile --out models

page: $(READY)
	@$(BIN)/hiu page --out site $(if $(SERVE),--serve)

docs: $(READY)
	@$(BIN)/python -m pdoc --output-directory build/reference \
	  hiu_tf $(subst /,.,$(patsubst %/__init__.py,%,$(wildcard hiu_tf/*/__init__.py)) \
	  $(patsubst %.py,%,$(wildcard hiu_tf/[a-z]*.py))) pipelines
	@echo "look at build/reference/index.html"

bench: $(READY)
	@$(BIN)/python tools/benchmark.py hand --batches 32,256 --require ratio=2 --json build/bench/hand.json
	@$(BIN)/python tools/benchmark.py render --batches 8 --sizes 256 --require "splat / ours=20" --json build/bench/render.json

# cosmic-ray writes into the modules that it changes: in a copy.
mutants: $(READY)
	@$(BIN)/python -m pip install --quiet -e '.[mutants]'
	@rm -rf build/mutants && git clone --quiet . build/mutants
	@cd build/mutants && export PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONPATH="$(CURDIR)/build/mutants" && \
	cosmic-ray init tests/mutants.toml session.sqlite && cosmic-ray exec tests/mutants.toml session.sqlite && \
	cr-report session.sqlite --surviving-only --show-diff

locks: $(READY) $(TOOLS)/.ready
	@PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" $(BIN)/python -m tests.release.locks

sbom: $(TOOLS)/.ready
	@for lock in requirements/*.lock; do \
	  out=build/$$(basename $$lock .lock).cdx.json; \
	  $(TOOLS)/bin/cyclonedx-py requirements $$lock --output-reproducible --output-file $$out && echo $$out; \
	done

release-check: $(READY)
	@$(BIN)/python -m tests.release.check $(if $(PYTHONS),--pythons "$(PYTHONS)")

$(TOOLS)/.ready: Makefile
	@python3 -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --quiet $(RELEASE_TOOLS)
	@touch $@

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .

$(READY): setup.py
	@set -e; \
	for candidate in $(PYTHON) python3.11 python3.10 python3.9 python3 python; do \
	  if $$candidate -c 'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 11))' 2>/dev/null; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then echo "hiu-tf needs Python 3.9, 3.10 or 3.11 (TensorFlow 2.15); none is on the PATH" >&2; exit 1; fi; \
	echo "setting up $(VENV) with $$($$found --version) (a few minutes, once)"; \
	$$found -m venv $(VENV); \
	$(BIN)/python -m pip install --quiet --upgrade pip; \
	$(BIN)/python -m pip install --quiet -e '.[dev]'; \
	$(BIN)/python -m pip check
	@touch $(READY)

clean:
	rm -rf demo models site build dist *.egg-info
